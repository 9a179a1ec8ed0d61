"""What passes between ranks inside a network, as modules: torch.distributed's collectives, with their gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alexnet.network import division as d

Map = Callable[[Tensor], Tensor]


@dataclass
class Wire:
    """The collectives of `ranks` processes, of which this is number `rank`, and what this one has sent by them.

    `sent`: bytes by purpose, counted as the tensors are handed over: a gathering sends the own part to every other
    rank, a dealing each other rank its own part, a sum twice (n - 1) / n of its tensor, as a ring does it.
    """

    rank: int
    ranks: int
    sent: Counter[str] = field(default_factory=Counter)

    def gather(self, part: Tensor, purpose: str) -> Tensor:
        """Every rank's part, [ranks, *shape], on every rank."""
        part = part.contiguous()
        parts = part.new_empty((self.ranks, *part.shape))
        dist.all_gather_single(parts.view(-1), part.view(-1))  # Gloo wants nothing but the length to differ
        self.sent[purpose] += (self.ranks - 1) * part.nbytes
        return parts

    def deal(self, parts: Tensor, purpose: str) -> Tensor:
        """From parts [ranks, …], one for each rank: those for this one, by sender."""
        parts = parts.contiguous()
        mine = torch.empty_like(parts)
        dist.all_to_all_single(mine, parts)
        self.sent[purpose] += (self.ranks - 1) * parts[0].nbytes
        return mine

    def sum(self, tensor: Tensor, purpose: str) -> None:
        """The sum over the ranks, in place."""
        dist.all_reduce(tensor)
        self.sent[purpose] += 2 * (self.ranks - 1) * tensor.nbytes // self.ranks


class _Linear(torch.autograd.Function):
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
    """One crossing of a division; `name` of the layer that it feeds."""

    def __init__(self, name: str, crossing: d.Crossing, wire: Wire) -> None:
        super().__init__()
        self.name, self.crossing, self.wire = name, crossing, wire
        self.there, self.back = _maps(crossing, wire, f"{name} forward", f"{name} backward")

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Linear.apply(x, self.there, self.back)  # type: ignore[no-untyped-call]
        return result

    def extra_repr(self) -> str:
        return f"{self.crossing}, {self.wire.ranks} ranks"


def _maps(crossing: d.Crossing, wire: Wire, forward: str, backward: str) -> tuple[Map, Map]:
    """What a crossing does with features, and with their gradients."""
    match crossing:
        case d.JoinFeatures(summed=True):
            return (
                lambda x: joined(wire.gather(last(x), forward)),
                # A sum of dealt parts is a reduce-scatter; Gloo's own sends twice as much, since it reduces everything.
                lambda g: first(wire.deal(parted(last(g), wire.ranks), backward).sum(0)),
            )
        case d.JoinFeatures():
            return (
                lambda x: joined(wire.gather(last(x), forward)),
                lambda g: first(parted(last(g), wire.ranks)[wire.rank]),
            )
        case d.JoinPictures():
            return (
                lambda x: wire.gather(x, forward).flatten(0, 1),
                lambda g: wire.deal(g.unflatten(0, (wire.ranks, -1)), backward).sum(0),
            )
        case d.Transpose():
            return (
                lambda x: joined(wire.deal(last(x).unflatten(0, (wire.ranks, -1)), forward)),
                lambda g: wire.deal(parted(last(g), wire.ranks), backward).flatten(0, 1),
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
    """Dropout of one rank's share of a tensor that one device would have whole, along `axis`, with the very mask that
    it would draw there; so every rank draws it whole, from the same seed."""

    def __init__(self, whole: nn.Dropout, axis: int, wire: Wire) -> None:
        super().__init__()
        self.whole, self.axis, self.rank, self.ranks = whole, axis, wire.rank, wire.ranks

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            used: Tensor = self.whole(x)
            return used
        factors = self.whole(torch.cat([torch.ones_like(x)] * self.ranks, self.axis))
        own: Tensor = factors.chunk(self.ranks, self.axis)[self.rank]
        return x * own
