"""Which pixels a value of a layer sees: receptive fields in closed form, from the list of layers. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet.network.architecture import AdaptivePool, Conv, Layer, Local, MaxPool, ResponseNorm, Variant, walk


@dataclass(frozen=True)
class Field:
    """Along one side of the picture: cell i of a layer's maps sees `size` pixels, the first of them `first + i * step`.

    Pixel k covers k to k + 1. What lies outside the picture is padding.
    """

    first: float
    step: float
    size: float
    cells: int

    @property
    def middles(self) -> NDArray[np.float64]:
        """Where the middle of each cell's field lies in the picture, float64 [cells]."""
        return self.first + self.size / 2 + self.step * np.arange(self.cells, dtype=np.float64)

    def pixels(self, cell: int) -> tuple[int, int]:
        """The first pixel that a cell sees and the one after the last; both may lie outside the picture."""
        start = self.first + cell * self.step
        return int(np.floor(start)), int(np.ceil(start + self.size))

    def spread(self, size: int) -> NDArray[np.float64]:
        """[size, cells]: what brings values of the cells to the pixels of a picture, linearly between the middles of
        their fields. Beyond the outermost middles their values stay."""
        places = np.arange(size) + 0.5
        return np.stack([np.interp(places, self.middles, row) for row in np.eye(self.cells)], axis=1)


def fields(variant: Variant, size: int | None = None) -> dict[str, Field]:
    """The field of each layer that gives maps, for pictures of `size`. A fully connected layer sees all there is."""
    size = size or variant.size
    found: dict[str, Field] = {}
    field = Field(0, 1, 1, size)
    for row in walk(variant, size):
        if len(row.output) == 3:
            field = found[row.name] = _after(row.layer, field, row.output[1])
    return found


def _after(layer: Layer, below: Field, cells: int) -> Field:
    """The field of a layer's cells, given that of the cells it takes."""
    match layer:
        case Conv(kernel=kernel, stride=stride, padding=padding) | Local(kernel=kernel, stride=stride, padding=padding):
            return _windows(below, cells, kernel, stride, padding)
        case MaxPool(kernel=kernel, stride=stride):
            return _windows(below, cells, kernel, stride, 0)
        case ResponseNorm(over="space", size=size):
            return _windows(below, cells, size, 1, size // 2)
        case AdaptivePool():
            stretch = below.cells / cells
            uneven = (
                0.0 if below.cells % cells == 0 else 1 - 1 / cells
            )  # windows of unequal length: what holds them all
            return _windows(below, cells, stretch + 2 * uneven, stretch, uneven)
    return Field(below.first, below.step, below.size, cells)


def _windows(below: Field, cells: int, length: float, stride: float, before: float) -> Field:
    """Windows over the cells below: so long, so far apart, the first beginning so far before the first cell."""
    first = below.first - before * below.step
    return Field(first, below.step * stride, below.size + (length - 1) * below.step, cells)
