"""What the drawing shows of a network: its blocks in order, each with what is written about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from alexnet.network.architecture import (
    AdaptivePool,
    AveragePool,
    BatchNorm,
    Conv,
    Dropout,
    Layer,
    Linear,
    Local,
    MaxPool,
    ReLU,
    ResponseNorm,
    Row,
    Shape,
    Variant,
    Weighted,
    Windowed,
    ZeroLogit,
    walk,
)
from alexnet.network.fields import Field, fields, of_pixels

Kind = Literal["input", "convolutions", "untied convolutions", "fully connected layers", "without weights"]


@dataclass(frozen=True)
class Step:
    """A layer that has weights or gives another shape, together with what follows it up to the next such layer.

    `columns`: towers in which its maps stand, 1 for a vector. `apart`: each tower sees only its own below. `words`:
    what happens, line by line. `field`: what its values see of the picture; None for vectors, which see all. `layer` is
    None for the picture itself.
    """

    name: str
    kind: Kind
    layer: Layer | None
    shape: Shape
    columns: int
    apart: bool
    words: tuple[str, ...]
    field: Field | None
    parameters: int = 0
    macs: int = 0


def steps(variant: Variant, size: int | None = None) -> tuple[Step, ...]:
    """The picture and every block after it, for pictures of `size` (default: the variant's own)."""
    rows = walk(variant, size)
    columns = _columns(rows)
    picture = rows[0].input
    seen = fields(variant, size)
    colours = {1: "grey", 3: "red, green, blue"}.get(picture[0], f"{picture[0]} channels")
    words = (f"{picture[1]:,} × {picture[2]:,} pixels", colours)
    first = Step("input", "input", None, picture, 1, False, words, of_pixels(picture[1]))
    return (first, *(_step(group, columns, seen.get(group[-1].name)) for group in _groups(rows)))


def _columns(rows: tuple[Row, ...]) -> int:
    """In how many towers all maps can stand: as many as the layers with most groups have groups."""
    most = max((row.layer.groups for row in rows if isinstance(row.layer, Conv)), default=1)
    return most if all(row.output[0] % most == 0 for row in rows if len(row.output) == 3) else 1


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows, each that is drawn with those after it that are only named."""
    group: list[Row] = []
    for row in rows:
        drawn = isinstance(row.layer, Weighted | Windowed) or row.input != row.output
        if drawn and group:
            yield group
            group = []
        group.append(row)
    yield group


def _step(group: list[Row], columns: int, field: Field | None) -> Step:
    layer, shape = group[0].layer, group[0].output
    columns = columns if len(shape) == 3 else 1
    return Step(
        group[0].name,
        _kind(layer),
        layer,
        shape,
        columns,
        apart=columns > 1 and not (isinstance(layer, Weighted) and getattr(layer, "groups", 1) < columns),
        words=tuple(word for row in group for word in _words(row, columns)),
        field=field,
        parameters=sum(row.parameters + row.statistics for row in group),
        macs=sum(row.macs for row in group),
    )


def _kind(layer: Layer) -> Kind:
    match layer:
        case Conv():
            return "convolutions"
        case Local():
            return "untied convolutions"
        case Linear():
            return "fully connected layers"
    return "without weights"


def _words(row: Row, columns: int) -> Iterator[str]:
    """What a layer does, in lines short enough for a column of the sheet."""
    match row.layer:
        case Conv() as layer:
            each = f"{columns} × {layer.channels // columns:,}" if columns > 1 else f"{layer.channels:,}"
            yield f"{each} kernels of"
            yield f"{layer.kernel} × {layer.kernel} × {row.input[0] // layer.groups:,}"
            yield from _windows(layer)
        case Local() as layer:
            yield f"{layer.channels:,} kernels of"
            yield f"{layer.kernel} × {layer.kernel} × {row.input[0]:,}"
            yield "for each place"
            yield from _windows(layer)
        case Linear():
            yield "each unit sees"
            yield f"all {math.prod(row.input):,} values"
        case MaxPool() as layer:
            yield "mean" if isinstance(layer, AveragePool) else "largest"
            yield f"of {layer.kernel} × {layer.kernel}"
            yield from _windows(layer)
        case AdaptivePool() as layer:
            yield f"means of {layer.size} × {layer.size} parts"
        case ResponseNorm() as layer:
            yield "normalised over"
            yield f"{layer.size} maps" if layer.over == "maps" else f"{layer.size} × {layer.size} pixels"
        case BatchNorm():
            yield "normalised over"
            yield "the batch"
        case Dropout() as layer:
            yield f"dropout {layer.p:g}"
        case ZeroLogit():
            yield "a 0 beside it"
        case layer:
            yield "ReLU" if isinstance(layer, ReLU) else type(layer).__name__.lower()


def _windows(layer: Conv | Local | MaxPool) -> Iterator[str]:
    if layer.stride > 1:
        yield f"stride {layer.stride}"
    if padding := getattr(layer, "padding", 0):
        yield f"padding {padding}"
