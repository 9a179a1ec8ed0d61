"""What passes between processes inside a network, as modules: torch.distributed's collectives, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alexnet.network import division as d
from alexnet.training.parallel.group import Group

Map = Callable[[Tensor], Tensor]


class _Passed(torch.autograd.Function):
    """A linear map, and its transpose for gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Map, back: Map) -> Tensor:
        ctx.back = back
        return there(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(gradients[0]), None, None


class Crossing(nn.Module):
    """One crossing of a division."""

    def __init__(self, crossing: d.Crossing, group: Group) -> None:
        super().__init__()
        self.crossing, self.group = crossing, group
        self.there, self.back = _maps(crossing, group)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Passed.apply(x, self.there, self.back)  # type: ignore[no-untyped-call]
        return result

    def extra_repr(self) -> str:
        return f"{self.crossing}, {self.group.size} processes"


def _maps(crossing: d.Crossing, group: Group) -> tuple[Map, Map]:
    """What a crossing does with features, and with their gradients."""
    match crossing:
        case d.JoinFeatures(summed=True):
            return (
                lambda x: joined(group.each(last(x))),
                # A sum of dealt parts is a reduce-scatter; Gloo's own sends twice as much, since it reduces everything.
                lambda g: first(group.deal(parted(last(g), group.size)).sum(0)),
            )
        case d.JoinFeatures():
            return (
                lambda x: joined(group.each(last(x))),
                lambda g: first(parted(last(g), group.size)[group.rank]),
            )
        case d.JoinPictures():
            return (
                lambda x: group.each(x).flatten(0, 1),
                lambda g: group.deal(g.unflatten(0, (group.size, -1))).sum(0),
            )
        case d.Transpose():
            return (
                lambda x: joined(group.deal(last(x).unflatten(0, (group.size, -1)))),
                lambda g: group.deal(parted(last(g), group.size)).flatten(0, 1),
            )


# The features go last while they are divided: there whole maps in channels-last memory, and vectors, lie already.


def last(x: Tensor) -> Tensor:
    """[N, C, …] → [N, …, C]."""
    return x.movedim(1, -1)


def first(x: Tensor) -> Tensor:
    """[N, …, C] → [N, C, …]."""
    return x.movedim(-1, 1)


def joined(parts: Tensor) -> Tensor:
    """[ranks, N, …, C] → [N, ranks · C, …]."""
    together: Tensor = parts.movedim(0, -2).flatten(-2)
    return first(together)


def parted(whole: Tensor, ranks: int) -> Tensor:
    """[N, …, ranks · C] → [ranks, N, …, C]."""
    parts: Tensor = whole.unflatten(-1, (ranks, -1))
    return parts.movedim(-2, 0)


class OwnDropout(nn.Module):
    """Dropout of one process's share of a tensor that one device would have whole, along `axis`, with the very mask
    that it would draw there; so every process draws it whole, from the same seed."""

    def __init__(self, whole: nn.Dropout, axis: int, group: Group) -> None:
        super().__init__()
        self.whole, self.axis, self.group = whole, axis, group

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            used: Tensor = self.whole(x)
            return used
        factors = self.whole(torch.cat([torch.ones_like(x)] * self.group.size, self.axis))
        own: Tensor = factors.chunk(self.group.size, self.axis)[self.group.rank]
        return x * own


class Together(nn.Module):
    """A network whose processes each take a share of the pictures, given all of them by each: [N, …] → logits of all.

    Where they do not divide the last is taken several times, which makes no difference to a network in use.
    """

    def __init__(self, network: nn.Module, group: Group) -> None:
        super().__init__()
        self.network, self.group = network, group

    def forward(self, x: Tensor) -> Tensor:
        missing = -len(x) % self.group.size
        filled = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])
        own = filled.unflatten(0, (self.group.size, -1))[self.group.rank]
        return self.group.each(self.network(own)).flatten(0, 1)[: len(x)]
