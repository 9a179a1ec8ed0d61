"""Batch normalisation over the whole step of several processes, where each would otherwise take its own share alone.

torch's own SyncBatchNorm refuses tensors on the processor. Mean and variance are combined from those of the shares
(Chan, Golub and LeVeque 1979), whatever their sizes; the backward pass adds up two sums for each channel.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from alexnet.training.parallel.group import Group


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(variance + eps) · weight + bias, both over all processes.

    x [N, C, …], weight and bias [C] → like x; mean, variance and count of the step, not to be differentiated.
    The gradients of weight and bias are this process's, to be added up like all others.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: Group) -> tuple[Tensor, ...]:
        others = [axis for axis in range(x.dim()) if axis != 1]
        count = torch.full((1,), x.numel() / x.shape[1], dtype=x.dtype, device=x.device)
        variance, mean = torch.var_mean(x, others, correction=0)
        counts, means, variances = group.each(torch.cat([count, mean, variance])).split([1, *2 * [x.shape[1]]], 1)
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / total
        inverse = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, inverse, total)
        ctx.others, ctx.group = others, group
        ctx.mark_non_differentiable(mean, variance, total)
        return (x - _wide(mean, x)) * _wide(inverse * weight, x) + _wide(bias, x), mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, total = ctx.saved_tensors
        gradient = gradients[0]
        normal = (x - _wide(mean, x)) * _wide(inverse, x)
        own = torch.stack([gradient.sum(ctx.others), (gradient * normal).sum(ctx.others)])
        sums = own.clone()
        ctx.group.sum(sums)()
        level, slope = sums / total
        inner = gradient - _wide(level, x) - normal * _wide(slope, x)
        return inner * _wide(inverse * weight, x), own[1], own[0], None, None


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """One value [C] for each channel, to be combined with x [N, C, …]."""
    return values.view(-1, *[1] * (x.dim() - 2))


class GlobalBatchNorm(_BatchNorm):
    """A batch normalisation with its parameters and running statistics, which in training takes the batch statistics
    of all processes."""

    def __init__(self, own: _BatchNorm, group: Group) -> None:
        super().__init__(own.num_features, own.eps, own.momentum, device="meta")
        self.load_state_dict(own.state_dict(), assign=True)
        self.weight, self.bias, self.group = own.weight, own.bias, group
        self.train(own.training)

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        arguments = x, self.weight, self.bias, self.eps, self.group
        normal, mean, variance, count = _Normalise.apply(*arguments)  # type: ignore[no-untyped-call]
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum or 0.0)
        return torch.as_tensor(normal).to(input.dtype)


def make_global(network: nn.Sequential, group: Group, but: Container[str] = ()) -> None:
    """Have the batch normalisations of a network, but those of some names, take the statistics of all processes."""
    for name, child in list(network.named_children()):
        if isinstance(child, _BatchNorm) and name not in but:
            setattr(network, name, GlobalBatchNorm(child, group))
