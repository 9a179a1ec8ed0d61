"""What torch lacks or does slowly, as modules: response normalisation, two convolutions, the fully connected layer in
bfloat16, dropout, the first stage."""

from __future__ import annotations

from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from alexnet.network.architecture import LUMA, Input, Shape
from alexnet.network.response_norm import Norm, response_norm

BLOCK = 512  # rows or columns of a matrix


class ResponseNorm(nn.Module):
    """`response_norm` as a module."""

    def __init__(
        self, size: int, alpha: float, beta: float, k: float, columns: int, over: Literal["maps", "space"] = "maps"
    ) -> None:
        super().__init__()
        self.arguments = Norm(size, alpha, beta, k, columns, over)

    def forward(self, x: Tensor) -> Tensor:
        return response_norm(x, *self.arguments)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.arguments._asdict().items())


class FirstConv2d(nn.Conv2d):
    """Convolution of pictures: on a GPU they get a fourth channel of zeros, since its units take them by fours."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cuda" or self.groups > 1:
            return super().forward(input)
        missing = (0, 0, 0, 0, 0, -self.in_channels % 4)
        result: Tensor = self._conv_forward(F.pad(input, missing), F.pad(self.weight, missing), self.bias)
        return result


class CeilConv2d(FirstConv2d):
    """Convolution whose last window may overhang the right and bottom edge, where it sees zeros."""

    def forward(self, input: Tensor) -> Tensor:
        overhang = [self._overhang(side, axis) for axis, side in ((1, input.shape[3]), (0, input.shape[2]))]
        if any(overhang):
            input = F.pad(input, (0, overhang[0], 0, overhang[1]))
        return super().forward(input)

    def _overhang(self, side: int, axis: int) -> int:
        room = side + 2 * int(self.padding[axis]) - self.kernel_size[axis]
        steps = -(-room // self.stride[axis])
        return max(0, steps * self.stride[axis] - room)


class LocalConv2d(nn.Module):
    """Untied convolution: like `nn.Conv2d`, but each place has kernels and biases of its own.

    `weight` [places, channels, C * kernel * kernel] with places row by row, `bias` [channels, H', W'], for pictures of
    exactly the shape `input` [C, H, W] to `output` [channels, H', W']. No initial values are drawn.
    """

    def __init__(self, input: Shape, output: Shape, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        channels, height, width = output
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.weight = nn.Parameter(torch.empty(height * width, channels, input[0] * kernel**2))
        self.bias = nn.Parameter(torch.empty(output))

    def forward(self, x: Tensor) -> Tensor:
        windows = _Windows.apply(x, self.kernel, self.stride, self.padding)  # type: ignore[no-untyped-call]
        weight = self.weight.to(x.dtype)  # which autocast would do later, to a copy
        if not torch.compiler.is_compiling() and len(x) < weight.shape[1]:  # the smaller takes the order of the other
            windows = windows.unflatten(2, (-1, x.shape[1])).transpose(2, 3).flatten(2)
        else:
            weight = weight.unflatten(2, (x.shape[1], -1)).transpose(2, 3).flatten(2)
        maps: Tensor = torch.bmm(windows, weight.mT).permute(1, 2, 0)
        return maps.reshape(-1, *self.bias.shape) + self.bias

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}, padding={self.padding}"


class _Windows(torch.autograd.Function):
    """What each place sees: [N, C, H, W] → [places, N, kernel * kernel * C], channels innermost, so that whole rows
    are copied, which takes a third of `F.unfold` and its backward; gradients are added up in float32 at least, and have
    no gradients of their own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        hem = (0, 0, *(padding,) * 4)
        views = F.pad(x.permute(0, 2, 3, 1), hem).unfold(1, kernel, stride).unfold(2, kernel, stride)
        windows = views.permute(1, 2, 0, 4, 5, 3)  # [H', W', N, kernel, kernel, C]
        ctx.shapes, ctx.stride, ctx.hem = (x.shape, windows.shape), stride, hem
        return windows.flatten(3).flatten(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,), ((number, channels, *sides), windows), stride = gradients, ctx.shapes, ctx.stride
        wide = torch.promote_types(gradient.dtype, torch.float32)
        total = F.pad(gradient.new_zeros((number, *sides, channels), dtype=wide), ctx.hem)
        seen, (height, width, _, kernel, *_) = gradient.view(windows), windows
        for row, column in product(range(kernel), repeat=2):
            rows, columns = (slice(at, at + stride * n, stride) for at, n in ((row, height), (column, width)))
            total[:, rows, columns] += seen[:, :, :, row, column].permute(2, 0, 1, 3)
        inner = F.pad(total, [-edge for edge in ctx.hem])
        return inner.permute(0, 3, 1, 2).to(gradient.dtype), None, None, None


class Linear(nn.Linear):
    """Fully connected layer that in training, where autocast has a CPU compute in bfloat16, keeps no copy of its
    weights in that type: the matrices are large, and the copies would stay until the backward pass."""

    def forward(self, input: Tensor) -> Tensor:
        here = input.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
        if not here or input.dim() != 2 or torch.compiler.is_compiling():
            return super().forward(input)
        narrow = torch.get_autocast_dtype("cpu")
        bias = None if self.bias is None else self.bias.to(narrow)
        result: Tensor = _NarrowProduct.apply(input.to(narrow), self.weight, bias)  # type: ignore[no-untyped-call]
        return result


class _NarrowProduct(torch.autograd.Function):
    """x Wᵀ + b of narrow x [N, in] and b [out] and float32 W [out, in]; what autocast gives.

    A block of W at a time, which fits the cache in the narrow type, and so for the gradients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        out = x.new_empty(len(x), len(weight))
        for first in range(0, len(weight), BLOCK):
            rows = slice(first, first + BLOCK)
            out[:, rows] = F.linear(x, weight[rows].to(x.dtype), None if bias is None else bias[rows])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (x, weight), (up,) = ctx.saved_tensors, gradients
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = torch.empty_like(x)
            for place, columns in zip(of_x.split(BLOCK, 1), weight.split(BLOCK, 1), strict=True):
                place.copy_(up @ columns.to(x.dtype))
        if ctx.needs_input_grad[1]:
            of_weight = torch.empty_like(weight)
            for place, rows in zip(of_weight.split(BLOCK), up.split(BLOCK, 1), strict=True):
                place.copy_(rows.t() @ x)
        return of_x, of_weight, up.sum(0) if ctx.needs_input_grad[2] else None


class MaskDropout(nn.Dropout):
    """Dropout that only zeroes in training and multiplies by 1 - p in use."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * (1 - self.p)


class ZeroLogit(nn.Module):
    """float [N, 1] → [N, 2]: the logit of class 1 beside a zero for class 0."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (1, 0))


class Pixels(nn.Module):
    """The network's first stage: pictures as decoded to what the first layer takes.

    uint8 or float [N, H, W, 3] in 0..255, RGB → float32 [N, C, H, W] in channels-last memory: channels in the order
    of the input rule, mean subtracted, scaled. `mean_picture`: float [H, W, C], subtracted instead of the means.
    """

    mean: Tensor
    scale: Tensor
    luma: Tensor

    def __init__(self, rule: Input, mean_picture: Tensor | None = None) -> None:
        super().__init__()
        self.order = rule.order
        mean = torch.tensor(rule.mean) if mean_picture is None else mean_picture.float()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("scale", torch.tensor(rule.scale), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA), persistent=False)

    @property
    def rgb_mean(self) -> Tensor:
        """What is subtracted, [..., 3] as red, green and blue; of grey pictures [1]."""
        return self.mean.flip(-1) if self.order == "BGR" else self.mean

    def forward(self, pictures: Tensor) -> Tensor:
        if self.order == "grey":
            pictures = (pictures * self.luma).sum(-1, keepdim=True)
        elif self.order == "BGR":
            pictures = pictures.flip(-1)
        x = (pictures - self.mean).mul_(self.scale).permute(0, 3, 1, 2)
        narrow = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        return x.to(torch.get_autocast_dtype("cpu")) if narrow else x  # now, so that the wide ones do not stay
