"""One layer list divided over several ranks: what each of them has of every layer, and what passes between them.

Two ways, both of them executions of the variant as it stands. `towers`: the paper's two GPUs (§3.2, Figure 2), each
with half of every layer, for the same pictures. `one_weird_trick` (Krizhevsky 2014, arXiv 1404.5997): each rank has all
of the convolutions and a share of the pictures, and a share of every fully connected layer for all of the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from alexnet.errors import UsageError
from alexnet.network.architecture import (
    BatchNorm,
    Conv,
    Layer,
    Linear,
    Local,
    ResponseNorm,
    Row,
    Shape,
    Variant,
    walk,
)


@dataclass(frozen=True)
class JoinFeatures:
    """Each rank has a share of the features of every picture, and gets them all.

    `summed`: each makes something else of them, so that the gradient of a share is a sum over the ranks; otherwise all
    make the same of them, and know the gradient of their share by themselves.
    """

    shape: Shape  # of one picture's features on one rank
    summed: bool = True

    def sent(self, ranks: int, batch: int) -> tuple[int, int]:
        """Values that one rank sends forward and backward for so many pictures."""
        forward = (ranks - 1) * batch * math.prod(self.shape)
        return forward, forward * self.summed


@dataclass(frozen=True)
class JoinPictures:
    """Each rank has all features of a share of the pictures, and gets those of all pictures."""

    shape: Shape

    def sent(self, ranks: int, batch: int) -> tuple[int, int]:
        """Values that one rank sends forward and backward for so many pictures."""
        forward = (ranks - 1) * (batch // ranks) * math.prod(self.shape)
        return forward, forward


@dataclass(frozen=True)
class Transpose:
    """Each rank has a share of the features of every picture, and gets all features of a share of the pictures."""

    shape: Shape

    def sent(self, ranks: int, batch: int) -> tuple[int, int]:
        """Values that one rank sends forward and backward for so many pictures."""
        forward = (ranks - 1) * (batch // ranks) * math.prod(self.shape)
        return forward, forward


Crossing = JoinFeatures | JoinPictures | Transpose


@dataclass(frozen=True)
class Part:
    """What one rank has of a layer.

    `row`: the layer with that rank's share of channels or units, and the shapes of one picture there. `before`: what
    passes between the ranks before it. `split`: the rank has a share of its weights, along their first axis; otherwise
    it has them all. `features`, `pictures`: of which axes of its output each rank has a share.
    """

    row: Row
    before: Crossing | None
    split: bool
    features: bool
    pictures: bool


@dataclass(frozen=True)
class Division:
    """A network over `ranks`: the parts of one of them, which are alike on all, and the last crossing, after which
    each rank has all scores of the pictures that it was given.

    `sliced`: each rank is given a share of the pictures, and gradients of the layers that it has whole are summed;
    otherwise each is given all of them.
    """

    ranks: int
    sliced: bool
    parts: tuple[Part, ...]
    after: Crossing | None

    @property
    def crossings(self) -> Iterator[tuple[str, Crossing]]:
        """Every crossing, by the layer that it feeds; the last one by "scores"."""
        yield from ((part.row.name, part.before) for part in self.parts if part.before)
        if self.after:
            yield "scores", self.after

    @property
    def split(self) -> frozenset[str]:
        """Names of the layers of whose weights each rank has a share."""
        return frozenset(part.row.name for part in self.parts if part.split)

    @property
    def parameters(self) -> int:
        """Trained values on one rank."""
        return sum(part.row.parameters for part in self.parts)


# ------------------------------------------------------------------------------------------------------------- towers


def towers(variant: Variant, size: int | None = None, ranks: int = 2) -> Division:
    """The variant as Figure 2 draws it: each rank has one column of the convolutions and of what normalises and pools
    them, and a share of the units of the fully connected layers.

    What sees the maps of one column alone stays apart. Where a layer sees those of all (a convolution that is not
    grouped, a fully connected layer) every rank gets them from the others. A layer whose units do not divide stands
    whole on every rank. Raises UsageError for a variant without columns, or with others than that.
    """
    if not any(isinstance(layer, Conv) and layer.groups > 1 for _, layer in variant.layers):
        raise _refusal(variant, ranks, "it has no columns: none of its convolutions is grouped")
    parts: list[Part] = []
    apart = False  # whether each rank has a share of the features
    for row in walk(variant, size):
        before = None
        if _sees_all(row.layer):
            before = JoinFeatures(_share(row.input, ranks), summed=_divides(row.layer, ranks)) if apart else None
            apart = _divides(row.layer, ranks)
        elif isinstance(row.layer, Conv):
            if not apart or row.layer.groups % ranks:
                raise _refusal(variant, ranks, f"the {row.layer.groups} groups of {row.name} are not their columns")
        elif apart and isinstance(row.layer, ResponseNorm) and row.layer.over == "maps" and row.layer.columns % ranks:
            raise _refusal(variant, ranks, f"{row.name} normalises across the columns, which are to be apart")
        if apart and isinstance(row.layer, Conv) and row.layer.channels % ranks:
            raise _refusal(variant, ranks, f"the {row.layer.channels} channels of {row.name} do not divide")
        parts.append(_part(row, before, ranks, features=apart, pictures=False))
    after = JoinFeatures(parts[-1].row.output, summed=False) if apart else None
    return Division(ranks, sliced=False, parts=tuple(parts), after=after)


def _refusal(variant: Variant, ranks: int, reason: str) -> UsageError:
    remedy = "take krizhevsky-2012 or batch-norm, or train this one without --towers"
    remedy = remedy if ranks == 2 else "start torchrun with --nproc-per-node 2"
    return UsageError(f"{variant.name} cannot stand in {ranks} towers: {reason}; {remedy}")


def _sees_all(layer: Layer) -> bool:
    """Whether every output of a layer depends on all of its input features."""
    return isinstance(layer, Linear | Local) or (isinstance(layer, Conv) and layer.groups == 1)


def _divides(layer: Layer, ranks: int) -> bool:
    """Whether each rank can have the same share of what comes out of a layer."""
    return isinstance(layer, Conv) or (isinstance(layer, Linear) and layer.units % ranks == 0)


# ---------------------------------------------------------------------------------------------------- one weird trick


def one_weird_trick(variant: Variant, ranks: int, size: int | None = None) -> Division:
    """The variant with its convolutions over shares of the pictures and its fully connected layers over shares of the
    units. A fully connected layer whose units do not divide goes with the convolutions.

    Raises UsageError where no fully connected layer divides.
    """
    parts: list[Part] = []
    sliced = True  # whether each rank has a share of the pictures, rather than of the features
    for row in walk(variant, size):
        before: Crossing | None = None
        if isinstance(row.layer, Linear) and _divides(row.layer, ranks):
            before = JoinPictures(row.input) if sliced else JoinFeatures(_share(row.input, ranks))
            sliced = False
        elif isinstance(row.layer, Linear) and not sliced:
            before, sliced = Transpose(_share(row.input, ranks)), True
        parts.append(_part(row, before, ranks, features=not sliced, pictures=sliced))
    if not any(part.split for part in parts):
        reason = f"no fully connected layer has units that divide over {ranks} ranks"
        raise UsageError(f"{variant.name}: {reason}; take another number of ranks, or --set execution=data")
    after = None if sliced else Transpose(parts[-1].row.output)
    return Division(ranks, sliced=True, parts=tuple(parts), after=after)


# --------------------------------------------------------------------------------------------------------------- both


def _part(row: Row, before: Crossing | None, ranks: int, features: bool, pictures: bool) -> Part:
    """One rank's part of a layer; `features`: it has a share of what comes out."""
    if not features:
        return Part(row, before, split=False, features=False, pictures=pictures)
    layer, shape = row.layer, row.input
    if not _sees_all(layer):
        shape = _share(shape, ranks)
    layer = replace(layer, **{name: value // ranks for name, value in _divided(layer).items()})
    own = (layer.output(shape), layer.parameters(shape), layer.statistics(shape), layer.macs(shape))
    weighted = isinstance(layer, Conv | Linear | BatchNorm)
    return Part(Row(row.name, layer, shape, *own), before, split=weighted, features=True, pictures=pictures)


def _divided(layer: Layer) -> dict[str, Any]:
    """What of a layer's description is divided over the ranks."""
    match layer:
        case Conv(channels=channels, groups=groups):
            return {"channels": channels} | ({"groups": groups} if groups > 1 else {})
        case Linear(units=units):
            return {"units": units}
        case ResponseNorm(columns=columns, over="maps"):
            return {"columns": columns}
    return {}


def _share(shape: Shape, ranks: int) -> Shape:
    return (shape[0] // ranks, *shape[1:])


# ------------------------------------------------------------------------------------------------------------ traffic


def activation_values(division: Division, batch: int) -> dict[str, tuple[int, int]]:
    """Values that one rank sends in a step, forward and backward, by the layer that they feed. `batch`: pictures over
    all ranks.

    A gathering sends each rank's own share to the n - 1 others, whether round a ring or directly; so does a
    scattering, the other way. Gradients of weights come on top, see `gradient_values`.
    """
    return {name: crossing.sent(division.ranks, batch) for name, crossing in division.crossings}


def gradient_values(division: Division) -> float:
    """Values that one rank sends to sum the gradients of the layers that every rank has whole, by a ring all-reduce:
    2 (n - 1) / n of them."""
    whole = sum(part.row.parameters for part in division.parts if not part.split) if division.sliced else 0
    return _ring(whole, division.ranks)


def data_parallel_values(variant: Variant, ranks: int, size: int | None = None) -> float:
    """Values that one rank sends in a step where every rank has the whole network: all gradients, by a ring."""
    return _ring(sum(row.parameters for row in walk(variant, size)), ranks)


def _ring(values: int, ranks: int) -> float:
    return 2 * (ranks - 1) / ranks * values


def break_even(division: Division, activation: int = 4, gradient: int = 4) -> float:
    """The batch, over all ranks, at which a division sends as much in a step as data parallelism; below it, less.

    `activation`, `gradient`: bytes of a value that passes between layers, and of one of a weight's gradient.
    """
    ranks = division.ranks
    values = sum(part.row.parameters * (ranks if part.split else 1) for part in division.parts)
    a_picture = activation * sum(map(sum, activation_values(division, ranks).values())) / ranks
    return gradient * (_ring(values, ranks) - gradient_values(division)) / a_picture
