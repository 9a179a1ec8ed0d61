"""Which pixels a value of a layer sees: receptive fields, reckoned from the list of layers. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet.network.architecture import AdaptivePool, Conv, Layer, Local, MaxPool, ResponseNorm, Variant, walk

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Field:
    """What the cells of a layer's maps see along one side of the picture, where pixel k covers k to k + 1.

    Cell i sees the pixels from `starts[i]` to before `ends[i]`, int64 [cells]: what there is, without padding. The
    middle of its window, that of padding and all, lies at `first + i * step`.
    """

    starts: Places
    ends: Places
    first: float
    step: float

    @property
    def size(self) -> int:
        """How many pixels a cell sees that sees most."""
        return int((self.ends - self.starts).max())

    def pixels(self, cell: int) -> tuple[int, int]:
        """The first pixel that a cell sees and the one after the last."""
        return int(self.starts[cell]), int(self.ends[cell])

    @property
    def middles(self) -> NDArray[np.float64]:
        """Where the middle of each cell's field lies in the picture, float64 [cells]; maybe outside of it."""
        return self.first + self.step * np.arange(len(self.starts), dtype=np.float64)

    def spread(self, size: int) -> NDArray[np.float64]:
        """[size, cells]: what brings values of the cells to the pixels of a picture, linearly between the middles of
        their fields. Beyond the outermost middles a value fades, to half of it within a step, so that the strongest
        pixel is always the middle of a cell and never a corner of the picture for want of cells there."""
        places = np.arange(size) + 0.5
        between = np.stack([np.interp(places, self.middles, row) for row in np.eye(len(self.starts))], axis=1)
        beyond = np.maximum(self.middles[0] - places, places - self.middles[-1]).clip(0)
        return np.asarray(between * (1 - beyond / (2 * self.step)).clip(0)[:, None])


def fields(variant: Variant, size: int | None = None) -> dict[str, Field]:
    """The field of each layer that gives maps, for pictures of `size`. A fully connected layer sees all there is."""
    size = size or variant.size
    found: dict[str, Field] = {}
    field = of_pixels(size)
    for row in walk(variant, size):
        if len(row.output) == 3:
            field = found[row.name] = _after(row.layer, field, np.arange(row.output[1]))
    return found


def of_pixels(size: int) -> Field:
    """The field of the picture's own pixels: each sees itself."""
    return Field(np.arange(size), np.arange(size) + 1, 0.5, 1.0)


def _after(layer: Layer, below: Field, cells: Places) -> Field:
    """The field of a layer's cells, given that of the cells it takes."""
    match layer:
        case Conv(kernel=kernel, stride=stride, padding=padding) | Local(kernel=kernel, stride=stride, padding=padding):
            return _windows(below, cells * stride - padding, kernel, stride)
        case MaxPool(kernel=kernel, stride=stride):
            return _windows(below, cells * stride, kernel, stride)
        case ResponseNorm(over="space", size=size):
            return _windows(below, cells - size // 2, size, 1)
        case AdaptivePool():
            return _bins(below, cells)
    return below


def _windows(below: Field, begin: Places, length: int, stride: int) -> Field:
    """Windows over so many cells below, each beginning at one of them, or before or after all."""
    first = below.first + below.step * (float(begin[0]) + (length - 1) / 2)
    return _over(below, begin, begin + length - 1, first, below.step * stride)


def _bins(below: Field, cells: Places) -> Field:
    """torch's bins of maybe unequal length, from floor(i · side / count) to ceil((i + 1) · side / count)."""
    side, count = len(below.starts), len(cells)
    first = below.first + below.step * (side / count - 1) / 2
    return _over(below, cells * side // count, -(-(cells + 1) * side // count) - 1, first, below.step * side / count)


def _over(below: Field, begin: Places, end: Places, first: float, step: float) -> Field:
    last = len(below.starts) - 1
    return Field(below.starts[begin.clip(0, last)], below.ends[end.clip(0, last)], first, step)
