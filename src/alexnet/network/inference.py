"""A trained network in the form in which it answers fastest: batch normalisation folded away, weights in few bits.

Where the processor multiplies int8, products over values that are not negative, which is all but the first, have int8
weights and take uint8; what is left is bfloat16 where it multiplies that, else float32. The last product stays in
float32, since rounded logits may tie. The form follows from the processor alone and a picture's answer does not depend
on those beside it, so that answers repeat.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from alexnet.network import layers

Precision = Literal["auto", "float32", "bfloat16", "int8"]
LEVELS = 255  # of what goes into an int8 product, from 0 to the largest value of each picture; uint8
LARGEST = 127  # of an int8 weight
AT_ONCE = 8  # pictures whose maps are in memory
# How a product comes out: unit, zero, type, and nothing done to it.
AS_IT_IS: tuple[Any, ...] = (1.0, 0, torch.float32, "none", [], "")

Rows = Callable[[str], Iterable[Tensor]]
"""The rows of a weight, by its name, in consecutive blocks; float32."""


def quantised(x: Tensor) -> tuple[Tensor, Tensor]:
    """Values that are not negative, as uint8 in units of each picture's own, and the largest value of each picture."""
    dims = tuple(range(1, x.dim()))
    most = x.amax(dims, keepdim=True).float().clamp_(min=torch.finfo(torch.float32).tiny)
    return x.mul(LEVELS / most).round_().to(torch.uint8), most


class Int8Linear(nn.Module):
    """Fully connected layer over values that are not negative: weights int8 [out, in], each row in units of its own.

    Products are summed exactly, in int32.
    """

    unit: Tensor
    zero: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, unit: Tensor, bias: Tensor) -> None:
        """`weight` int8 [out, in], to be multiplied by `unit` float32 [out]; `bias` float32 [out]."""
        super().__init__()
        self.weight = torch.ops.onednn.qlinear_prepack(weight, None)  # in the order that its products want
        self.register_buffer("unit", unit)
        self.register_buffer("zero", torch.zeros_like(unit, dtype=torch.int32))
        self.register_buffer("bias", bias)

    def product(self, levels: Tensor) -> Tensor:
        """uint8 [N, in] in units of 1 / LEVELS → float32 [N, out]."""
        picture, layer = (1 / LEVELS, 0), (self.weight, self.unit, self.zero, None)
        result: Tensor = torch.ops.onednn.qlinear_pointwise(levels, *picture, *layer, *AS_IT_IS)
        return result

    def forward(self, x: Tensor) -> Tensor:
        levels, most = quantised(x)
        return torch.addcmul(self.bias, self.product(levels), most).to(x.dtype)


class Int8Conv2d(nn.Module):
    """Convolution over values that are not negative, in the manner of `Int8Linear`; one unit for each map."""

    unit: Tensor
    zero: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        unit = layer.weight.abs().amax((1, 2, 3)).clamp_(min=torch.finfo(torch.float32).tiny) / LARGEST
        weight = (layer.weight / unit[:, None, None, None]).round_().to(torch.int8)
        self.window = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self.weight = torch.ops.onednn.qconv_prepack(weight, unit, 1 / LEVELS, 0, *self.window)
        self.register_buffer("unit", unit)
        self.register_buffer("zero", torch.zeros_like(unit, dtype=torch.int32))
        bias = torch.zeros_like(unit) if layer.bias is None else layer.bias
        self.register_buffer("bias", bias.clone()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        levels, most = quantised(x)
        picture, layer = (1 / LEVELS, 0), (self.weight, self.unit, self.zero, None)
        product = torch.ops.onednn.qconv_pointwise(levels, *picture, *layer, *self.window, *AS_IT_IS)
        return torch.addcmul(self.bias, product, most).to(x.dtype)


class Cast(nn.Module):
    """What comes in, in another type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


class WideLinear(nn.Linear):
    """Fully connected layer in float32, whatever comes in."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float())


class SparseLinear(nn.Module):
    """Fully connected layer whose weights are mostly zeros: float32 [out, in], in compressed rows."""

    bias: Tensor

    def __init__(self, weight: Tensor, factor: Tensor, bias: Tensor) -> None:
        """`weight` sparse float32 [out, in], its rows to be multiplied by `factor` [out]; `bias` float32 [out]."""
        super().__init__()
        starts = weight.crow_indices()
        values = weight.values() * factor.repeat_interleave(starts.diff())
        scaled = torch.sparse_csr_tensor(starts, weight.col_indices(), values, weight.shape, check_invariants=False)
        self.weight = nn.Parameter(scaled, requires_grad=False)
        self.register_buffer("bias", bias[:, None])

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, self.weight, x.float().t()).t().to(x.dtype)


class InForm(nn.Sequential):
    """A network in the form in which it answers."""

    def answer(self, first: nn.Module, pictures: Tensor) -> Tensor:
        """Pictures through `first` and the network. On a CPU maps are computed for a few at a time, which fit the
        cache, and vectors for all, since the matrices are large."""
        children = [first, *self]
        here = pictures.device.type == "cpu"
        cut = next((i for i, child in enumerate(children) if here and isinstance(child, nn.Flatten)), 0)
        maps = [_through(children[:cut], some) for some in pictures.split(AT_ONCE)] if cut else [pictures]
        return _through(children[cut:], torch.cat(maps))


def _through(children: Iterable[nn.Module], x: Tensor) -> Tensor:
    for child in children:
        x = child(x)
    return x


def in_form(network: nn.Sequential, rows: Rows, precision: Precision = "auto") -> nn.Sequential:
    """A network (in use, not in training) in the form in which its device answers fastest, or as `precision` says.

    float32: as it is. bfloat16: all of it. int8: products that can be, the rest in bfloat16 where there is such.
    Takes float [N, channels, size, size], returns float32 [N, classes].
    """
    device = next(network.parameters()).device
    narrow = torch.bfloat16 if has_bfloat16(device) else torch.float32
    match precision:
        case "auto" if device.type == "cpu" and torch.cpu._is_vnni_supported():
            return converted(network, rows, narrow, int8=True)
        case "auto" if narrow == torch.bfloat16:
            return converted(network, rows, narrow)
        case "bfloat16":
            return converted(network, rows, torch.bfloat16)
        case "int8":
            return converted(network, rows, narrow, int8=True)
        case _:
            return network


def values(network: nn.Sequential, x: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
    """What some layers give, by name, each float32 [N, …] in memory of its own; nothing behind the last is computed."""
    found: dict[str, Tensor] = {}
    for name, child in network.named_children():
        if len(found) == len(layers):
            break
        x = child(x)
        if name in layers:  # copied: a layer behind it may write over it
            found[name] = x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return found


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def converted(network: nn.Sequential, rows: Rows, dtype: torch.dtype, int8: bool = False) -> nn.Sequential:
    """The network for use in `dtype`; with `int8`, every product over values that are not negative but the last.

    A product into which a normalisation is folded has the normalisation's name, since it gives what that gave.
    """
    last = [child for child in network.children() if isinstance(child, nn.Linear)][-1]
    children: OrderedDict[str, nn.Module] = OrderedDict(cast=Cast(dtype))
    named = [*network.named_children(), ("", nn.Identity())]
    folded = positive = False
    for (name, child), (after, following) in pairwise(named):
        norm = following if isinstance(following, nn.BatchNorm1d | nn.BatchNorm2d) else None
        folds = isinstance(child, nn.Conv2d | nn.Linear) and child is not last
        given = after if folds and norm else name
        match child:
            case nn.Conv2d():
                fused = fuse_conv_bn_eval(child, norm) if norm else deepcopy(child)
                if int8 and positive and not isinstance(child, layers.CeilConv2d):
                    children[given] = Int8Conv2d(fused)
                else:
                    children[given] = fused.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
            case nn.Linear() if child.weight.layout == torch.sparse_csr:
                children[given] = SparseLinear(child.weight, *_affine(child, norm))
            case nn.Linear() if child is last:
                children[name] = _linear(WideLinear, child.weight, child.bias)
            case nn.Linear() if int8 and positive:
                children[given] = _int8(child, *_affine(child, norm), rows(f"{name}.weight"))
            case nn.Linear():
                children[given] = _plain(child, *_affine(child, norm), rows(f"{name}.weight"), dtype)
            case nn.ReLU():
                children[name] = nn.ReLU(inplace=True)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                children |= {} if folded else {name: child}
            case _:
                children[name] = deepcopy(child).to(dtype)
        folded = folds
        positive = _positive(child, positive)
    return InForm(children).eval()


def _positive(layer: nn.Module, before: bool) -> bool:
    """Whether nothing that comes out of a layer is negative, given whether nothing that goes in is."""
    keeps = nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d | nn.Flatten | nn.Dropout | layers.ResponseNorm
    return isinstance(layer, nn.ReLU | nn.Sigmoid) or (before and isinstance(layer, keeps))


def _affine(layer: nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """What the layer's rows are multiplied by and its bias once a batch normalisation is folded into it."""
    if norm is not None:
        return fold(layer.bias, norm.state_dict(), norm.eps)
    factor = torch.ones(layer.out_features, device=layer.weight.device)
    return factor, torch.zeros_like(factor) if layer.bias is None else layer.bias


def fold(bias: Tensor | None, norm: Mapping[str, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    """A batch normalisation, by the names of its tensors, as what the weights of each output of the product before it
    are multiplied by, and the product's new bias; both [out], as exact as `running_var`'s type."""
    factor = norm["weight"] / (norm["running_var"] + eps).sqrt()
    centre = -norm["running_mean"] if bias is None else bias - norm["running_mean"]
    return factor, centre * factor + norm["bias"]


def _plain(layer: nn.Linear, factor: Tensor, bias: Tensor, rows: Iterable[Tensor], dtype: torch.dtype) -> nn.Module:
    weight = torch.empty_like(layer.weight, dtype=dtype)
    for place, block in _placed(rows):
        weight[place] = block.to(factor.device) * factor[place, None]
    return _linear(nn.Linear, weight, bias.to(dtype))


def _linear(kind: type[nn.Linear], weight: Tensor, bias: Tensor | None) -> nn.Linear:
    with torch.device("meta"):
        layer = kind(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
    return layer


def _int8(layer: nn.Linear, factor: Tensor, bias: Tensor, rows: Iterable[Tensor]) -> nn.Module:
    weight, scale = torch.empty_like(layer.weight, dtype=torch.int8), torch.empty_like(factor)
    for place, block in _placed(rows):
        block = block.to(factor.device)
        unit = block.abs().amax(1).clamp_(min=torch.finfo(torch.float32).tiny) / LARGEST
        weight[place] = (block / unit[:, None]).round_()
        scale[place] = unit * factor[place]
    return Int8Linear(weight, scale, bias)


def _placed(rows: Iterable[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Each block with its place among the rows."""
    start = 0
    for block in rows:
        yield slice(start, start + len(block)), block
        start += len(block)
