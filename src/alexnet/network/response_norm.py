"""Local response normalisation as one function with its own backward, the same on every device.

b = a / (k + alpha * S)^beta, where S sums a^2 over `size` neighbouring maps of the same column, or over `size` x
`size` neighbouring places of the same map. Backward, with
d = k + alpha * S, p = d^-beta and g the gradient of b: g * p - 2 * alpha * beta * a * W, where W sums g * a * p / d
over the same window. Nothing is kept for it but the input.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from alexnet.compiled import RESPONSE_NORM, loaded

KERNEL_TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
MOST_CHANNELS, WIDEST_HALF = 1024, 16  # of a column and of a window, that the kernel has room for


class Shape(ctypes.Structure):
    """As in the C source: rows, columns of a row, channels of a column, half the window; the formula's constants."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("rows", "columns", "channels", "half")),
        *((name, ctypes.c_float) for name in ("alpha", "beta", "k")),
    )


class Norm(NamedTuple):
    """The constants of the formula."""

    size: int
    alpha: float
    beta: float
    k: float
    columns: int
    over: Literal["maps", "space"] = "maps"


def response_norm(
    x: Tensor,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    columns: int = 1,
    over: Literal["maps", "space"] = "maps",
) -> Tensor:
    """float [N, C, H, W] → the same shape, dtype and memory layout; sums in float32 at least.

    `alpha` multiplies the plain sum; windows are clipped at the ends of each of the `columns`, or at the map's edges.
    """
    result: Tensor = _ResponseNorm.apply(x, Norm(size, alpha, beta, k, columns, over))  # type: ignore[no-untyped-call]
    return result


class _ResponseNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: Norm) -> Tensor:
        ctx.save_for_backward(x)
        ctx.norm = norm
        if _fits(x, norm):
            return _compiled("forward", norm, x)
        return _best(_forward, x)(x, norm) if ctx.needs_input_grad[0] else _forward(x, norm)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        if _fits(x, ctx.norm):
            return _compiled("backward", ctx.norm, x, gradient.contiguous(memory_format=torch.channels_last)), None
        return _best(_backward, x)(x, gradient, ctx.norm), None


# ------------------------------------------------------------------------------------------------- the kernel in C


def _fits(x: Tensor, norm: Norm) -> bool:
    """Whether the compiled kernel can take this tensor."""
    channels = x.shape[1] // norm.columns
    small = channels <= MOST_CHANNELS and norm.size // 2 <= WIDEST_HALF and norm.size % 2 == 1
    laid_out = x.dtype in KERNEL_TYPES and x.is_contiguous(memory_format=torch.channels_last)
    here = norm.over == "maps" and x.device.type == "cpu" and not torch.compiler.is_compiling()
    return here and small and laid_out and loaded(RESPONSE_NORM) is not None


def _compiled(name: str, norm: Norm, x: Tensor, *more: Tensor) -> Tensor:
    library, out = loaded(RESPONSE_NORM), torch.empty_like(x)
    assert library is not None
    batch, channels, height, width = x.shape
    rows = (batch * height * width, norm.columns, channels // norm.columns, norm.size // 2)
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (x, *more, out)]
    getattr(library, f"{name}_{KERNEL_TYPES[x.dtype]}")(*pointers, Shape(*rows, norm.alpha, norm.beta, norm.k))
    return out


# ------------------------------------------------------------------------------------------------- the same in torch


def _best(form: Callable[..., Tensor], x: Tensor) -> Callable[..., Tensor]:
    """On a GPU in training the form as one kernel of torch's compiler, which reads and writes each value once; built
    at first use. What compiles the whole network compiles the form with it."""
    return _fused(form) if x.device.type == "cuda" and not torch.compiler.is_compiling() else form


@cache
def _fused(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(form, dynamic=True)


def _forward(x: Tensor, norm: Norm) -> Tensor:
    wide = _wide(x)
    result: Tensor = wide * _denominator(wide, norm).pow(-norm.beta)
    return result.to(x.dtype)


def _backward(x: Tensor, gradient: Tensor, norm: Norm) -> Tensor:
    wide = _wide(x)
    d = _denominator(wide, norm)
    scaled = _wide(gradient) * d.pow(-norm.beta)
    around = _window_sum(scaled * wide / d, norm)
    return (scaled - 2 * norm.alpha * norm.beta * wide * around).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _denominator(wide: Tensor, norm: Norm) -> Tensor:
    return norm.alpha * _window_sum(wide.square(), norm) + norm.k


def _window_sum(values: Tensor, norm: Norm) -> Tensor:
    """Sums over the window around each value. Over maps a sum of shifted slices: torch's own norm pools over a copy."""
    if norm.over == "space":
        return norm.size**2 * F.avg_pool2d(values, norm.size, stride=1, padding=norm.size // 2)
    maps = values.shape[1] // norm.columns
    columnwise: Tensor = values.unflatten(1, (norm.columns, maps))
    total = columnwise.clone()
    for shift in range(1, min(norm.size // 2, maps - 1) + 1):
        total[:, :, shift:] += columnwise[:, :, :-shift]
        total[:, :, :-shift] += columnwise[:, :, shift:]
    return total.flatten(1, 2)
