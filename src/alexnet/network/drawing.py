"""A drawing of a network: its maps as boxes in perspective, its vectors as bars, with shapes and kernels written in."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from alexnet.network.architecture import Conv, Local, Row, Shape, Variant, Weighted, Windowed, walk
from alexnet.network.summary import activation
from alexnet.storage import whole

MAPS, VECTOR, INPUT = "#4c78a8", "#f58518", "#9aa5b1"
SLANT = 0.35  # how far depth leans to the right and up


def draw(variant: Variant, size: int | None, path: Path, dpi: int) -> None:
    """Draw the layers that change the shape, left to right, to an .svg or .png file."""
    rows = walk(variant, size)
    shapes: list[tuple[Shape, str]] = [(rows[0].input, "input")]
    shapes += [(row.output, _caption(rows, i)) for i, row in enumerate(rows) if _changes(row)]
    figure = Figure(figsize=(1.55 * len(shapes), 4.6))
    axis = figure.subplots()
    left = 0.0
    for number, (shape, caption) in enumerate(shapes):
        left = _box(axis, left, shape, caption, rows[0].input[1], number % 2 == 1)
    axis.set(xlim=(-0.5, left), ylim=(-2.2, 4.2), aspect="equal")
    axis.set_axis_off()
    axis.set_title(
        f"{variant.name}: {variant.title}, {sum(row.parameters + row.statistics for row in rows):,} parameters",
        fontsize=12,
    )
    with whole(path) as partial:
        figure.savefig(partial, dpi=dpi, bbox_inches="tight")


def _changes(row: Row) -> bool:
    return isinstance(row.layer, Weighted | Windowed) or row.input != row.output


def _caption(rows: tuple[Row, ...], index: int) -> str:
    row, layer = rows[index], rows[index].layer
    lines = [row.name]
    if isinstance(layer, Windowed):
        lines.append(f"{layer.kernel}x{layer.kernel}, stride {layer.stride}")
    if isinstance(layer, Conv) and layer.groups > 1:
        lines.append(f"{layer.groups} groups")
    if isinstance(layer, Local):
        lines.append("untied")
    if kind := activation(rows, index):
        lines.append("ReLU" if kind == "relu" else kind)
    return "\n".join(lines)


def _box(axis: Axes, left: float, shape: Shape, caption: str, side: int, low: bool) -> float:
    """One block with its shape above and its caption below; returns where the next one starts."""
    if len(shape) == 3:
        height = 0.25 + 2.6 * math.sqrt(shape[1] / side)
        width, depth = 0.12 + 0.055 * math.sqrt(shape[0]), height * SLANT
        colour = INPUT if caption == "input" else MAPS
    else:
        height, width, depth, colour = 0.6 + 0.5 * math.log10(shape[0]), 0.16, 0.0, VECTOR
    bottom = 1.2 - height / 2
    _faces(axis, left, bottom, width, height, depth, colour)
    middle = left + (width + depth) / 2
    axis.text(middle, bottom + height + depth * 0.6 + 0.12, " x ".join(map(str, shape)), ha="center", fontsize=8)
    axis.text(middle, -0.55 if low else -1.35, caption, ha="center", va="top", fontsize=8, linespacing=1.3)
    return left + width + depth + 0.95


def _faces(axis: Axes, x: float, y: float, width: float, height: float, depth: float, colour: str) -> None:
    lean = depth * 0.6
    front = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    top = [
        (x, y + height),
        (x + width, y + height),
        (x + width + depth, y + height + lean),
        (x + depth, y + height + lean),
    ]
    side = [
        (x + width, y),
        (x + width + depth, y + lean),
        (x + width + depth, y + height + lean),
        (x + width, y + height),
    ]
    for corners, alpha in ((front, 0.95), (top, 0.55), (side, 0.75)):
        axis.add_patch(Polygon(corners, closed=True, facecolor=colour, alpha=alpha, edgecolor="white", linewidth=0.8))
