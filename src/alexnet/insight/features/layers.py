"""What layers make of any number of pictures, one after the other. Needs torch only where the model does.

    from alexnet.insight.features.layers import features

    for path, found in features(alexnet.load("runs/photos"), ["holiday/"], ["fc7", "pool5"]):
        found["fc7"]                        # float32 [4096], or `found` is the error for which a picture is refused

A name is that of a layer of the network: `fc7` before its non-linearity, `relu7` behind it. Batches are cut by place
among the pictures, refused ones included, so that values do not depend on where somebody began. In memory at once are
the model, one batch with its layers, and a few decoded pictures.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import AlexNetError, UsageError
from alexnet.network.architecture import Input, walk
from alexnet.pictures import views
from alexnet.pictures.batches import ahead
from alexnet.pictures.decode import Pixels
from alexnet.pictures.inputs import Listing, chunks, class_of, listed, opened
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.prepare import open_for
from alexnet.pictures.store import Part
from alexnet.weights.model import BATCH, Model, layers_of

if TYPE_CHECKING:
    from alexnet.network.inference import Precision

Values = dict[str, NDArray[np.float32]]
"""By layer, float32 [N, channels, height, width] or [N, units]."""


class Pictures(Protocol):
    """What features are taken of: a name for each picture, its class where that is known, and a way to read them."""

    @property
    def paths(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[str | None]: ...

    def read(self, start: int) -> Iterator[Pixels | AlexNetError]:
        """uint8 [stored, stored, 3] of each from a place on, or why it is refused."""
        ...


@dataclass(frozen=True)
class Named:
    """Pictures that somebody names. Their class is that of the folder they lie in, if the model has one so called."""

    listing: Listing
    labels: Sequence[str | None]
    rule: Input
    limits: Limits

    @property
    def paths(self) -> Sequence[str]:
        return self.listing.names

    def read(self, start: int) -> Iterator[Pixels | AlexNetError]:
        return opened(self.listing.part(slice(start, None)).contents(), self.rule, self.limits)


@dataclass(frozen=True)
class Stored:
    """Pictures of a data set, decoded once."""

    parts: Sequence[Part]
    paths: Sequence[str]
    labels: Sequence[str | None]

    def read(self, start: int) -> Iterator[Pixels | AlexNetError]:
        ends = accumulate(map(len, self.parts))
        for part, end in zip(self.parts, ends, strict=True):
            first = max(0, start - end + len(part))
            for pictures in ahead(part.read, _slices(first, len(part))):
                yield from pictures


@dataclass(frozen=True)
class Some:
    """Those of `all` from place `first` on."""

    all: Pictures
    first: int
    paths: Sequence[str]
    labels: Sequence[str | None]

    def read(self, start: int) -> Iterator[Pixels | AlexNetError]:
        return islice(self.all.read(self.first + start), len(self.paths) - start)


def at(pictures: Pictures, places: slice) -> Some:
    """Those of some pictures at the places, one after the other."""
    return Some(pictures, places.start, pictures.paths[places], pictures.labels[places])


def _slices(start: int, end: int) -> Iterator[slice]:
    return (slice(first, first + BATCH) for first in range(start, end, BATCH))


def named(inputs: Sequence[str], model: Model, limits: Limits = LIMITS) -> Named:
    """The pictures that files, folders, patterns of names and URLs stand for."""
    return of_listing(listed(inputs), model, limits)


def of_listing(listing: Listing, model: Model, limits: Limits) -> Named:
    """Pictures by name."""
    return Named(listing, [class_of(path, model.classes) for path in listing.names], model.input, limits)


def of_data(data: str | os.PathLike[str], split: str | None, model: Model, limits: Limits = LIMITS) -> Stored:
    """The pictures of DATA: of one part, or of all. Raises UsageError."""
    store = open_for(model.input, data, limits=limits)
    if split is not None and split not in store.parts:
        raise UsageError(f"{data}: no split {split!r}; there is {', '.join(store.parts)}")
    parts = [part for name, part in store.parts.items() if split in (None, name)]
    labels = [store.classes[label] for part in parts for label in part.labels]
    return Stored(parts, [path for part in parts for path in part.paths], labels)


def features(
    model: Model,
    inputs: Sequence[str],
    layers: Sequence[str] = (),
    precision: Precision = "float32",
    limits: Limits = LIMITS,
) -> Iterator[tuple[str, Values | AlexNetError]]:
    """Each picture's path and what the layers make of it, without the dimension of the batch; or why it is refused.

    `inputs` as `alexnet predict` takes them; `layers` by default the last hidden one. Raises UsageError for a layer
    that there is not.
    """
    pictures = named(inputs, model, limits)
    paths = iter(pictures.paths)
    for chunk in chunks(pictures.read(0), BATCH):
        values = of_batch(model, chunk, layers_of(model.variant, layers), precision)
        row = 0
        for picture in chunk:
            if isinstance(picture, AlexNetError):
                yield next(paths), picture
            else:
                yield next(paths), {name: some[row] for name, some in values.items()}
                row += 1


def of_batch(
    model: Model, chunk: Sequence[Pixels | AlexNetError], layers: Sequence[str], precision: Precision
) -> Values:
    """What layers make of those of some pictures that are not refused; of none, arrays of no rows."""
    good = [picture for picture in chunk if not isinstance(picture, AlexNetError)]
    if not good:
        return {name: np.empty((0, *shape), np.float32) for name, shape in shapes(model, layers).items()}
    return model.engine.features(views.centre(np.stack(good), model.input.size), layers, precision)


def shapes(model: Model, layers: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """What each layer gives of one picture: [channels, height, width] or [units]."""
    given = {row.name: row.output for row in walk(model.variant, model.input.size)}
    return {name: given[name] for name in layers}


def size_of(model: Model, layers: Sequence[str]) -> int:
    """Bytes of one picture's features."""
    return sum(4 * math.prod(shape) for shape in shapes(model, layers).values())
