"""A trained network in the form in which it answers fastest: batch normalisation folded away, weights in few bits.

Products of few pictures wait for the weights to come from memory, so these are int8 there, one scale a row; products
of many pictures are bound by arithmetic, for which bfloat16 is best. The last product stays in float32, since rounded
logits may tie. Which form is used follows from the batch and the processor alone, so that answers repeat.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Precision = Literal["auto", "float32", "bfloat16", "int8"]
FEW = 4  # pictures up to which int8 products are the faster ones: results/bench-predict.json
LANES = 16  # values that torch's int8 product reads at a time, without a look at where a row ends

Rows = Callable[[str], Iterable[Tensor]]
"""The rows of a weight, by its name, in consecutive blocks; float32."""


class Int8Linear(nn.Module):
    """Fully connected layer with weights int8 [out, in], each row in units of its own `scale`; bfloat16 in and out."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("scale", scale.bfloat16()), ("bias", bias.bfloat16())):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x, self.weight, self.scale) + self.bias


class Narrow(nn.Module):
    """What comes in, in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return x.bfloat16()


class WideLinear(nn.Linear):
    """Fully connected layer in float32, whatever comes in."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float())


@dataclass
class Forms:
    """A network (in use, not in training) in its forms, each made when it is first needed."""

    network: nn.Sequential
    rows: Rows
    precision: Precision = "auto"
    made: dict[str, nn.Sequential] = field(default_factory=dict)

    def __call__(self, batch: int) -> nn.Sequential:
        """The form for `batch` pictures."""
        kind = self.kind(batch)
        if kind not in self.made:
            self.made[kind] = self.network if kind == "float32" else converted(self.network, self.rows, kind)
        return self.made[kind]

    def kind(self, batch: int) -> str:
        """float32, bfloat16, or int8 (fully connected layers; the rest in bfloat16)."""
        if self.precision != "auto":
            return self.precision
        device = next(self.network.parameters()).device
        if not has_bfloat16(device):
            return "float32"
        return "int8" if batch <= FEW and device.type == "cpu" else "bfloat16"


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def converted(network: nn.Sequential, rows: Rows, kind: str) -> nn.Sequential:
    """The network for use in bfloat16, its fully connected layers but the last in int8 if `kind` says so.

    Takes float [N, channels, size, size], returns float32 [N, classes].
    """
    last = [child for child in network.children() if isinstance(child, nn.Linear)][-1]
    children: OrderedDict[str, nn.Module] = OrderedDict(narrow=Narrow())
    named = [*network.named_children(), ("", nn.Identity())]
    folded = False
    for (name, child), (_, following) in pairwise(named):
        norm = following if isinstance(following, nn.BatchNorm1d | nn.BatchNorm2d) else None
        match child:
            case nn.Conv2d():
                fused = fuse_conv_bn_eval(child, norm) if norm else deepcopy(child)
                children[name] = fused.to(torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
            case nn.Linear() if child is last:
                children[name] = _linear(WideLinear, child.weight, child.bias)
            case nn.Linear():
                whole = child.in_features % LANES == 0
                make = _int8 if kind == "int8" and whole else _bfloat16
                children[name] = make(child, *_affine(child, norm), rows(f"{name}.weight"))
            case nn.ReLU():
                children[name] = nn.ReLU(inplace=True)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                children |= {} if folded else {name: child}
            case _:
                children[name] = deepcopy(child).bfloat16()
        folded = isinstance(child, nn.Conv2d | nn.Linear) and child is not last
    return nn.Sequential(children).eval()


def _affine(layer: nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """What the layer's rows are multiplied by and its bias once a batch normalisation is folded into it."""
    factor = torch.ones_like(layer.weight[:, 0])
    bias = torch.zeros_like(factor) if layer.bias is None else layer.bias
    if norm is None:
        return factor, bias
    assert norm.running_mean is not None and norm.running_var is not None
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return factor, (bias - norm.running_mean) * factor + norm.bias


def _bfloat16(layer: nn.Linear, factor: Tensor, bias: Tensor, rows: Iterable[Tensor]) -> nn.Module:
    weight = torch.empty_like(layer.weight, dtype=torch.bfloat16)
    for place, block in _placed(rows):
        weight[place] = block.to(factor.device) * factor[place, None]
    return _linear(nn.Linear, weight, bias.bfloat16())


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
        unit = block.abs().amax(1).clamp_(min=torch.finfo(torch.float32).tiny) / 127
        weight[place] = (block / unit[:, None]).round_()
        scale[place] = unit * factor[place]
    return Int8Linear(weight, scale, bias)


def _placed(rows: Iterable[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Each block with its place among the rows."""
    start = 0
    for block in rows:
        yield slice(start, start + len(block)), block
        start += len(block)
