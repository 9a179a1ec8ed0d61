"""A network on one sheet of A3: its blocks to scale, what each does and costs, and where weights and arithmetic are."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet.network.architecture import Variant
from alexnet.network.drawing.arrangement import Column, Scale, arrange
from alexnet.network.drawing.blocks import draw_blocks
from alexnet.network.drawing.perspective import draw_lines
from alexnet.network.drawing.shares import draw_shares
from alexnet.network.drawing.steps import Step, steps
from alexnet.network.drawing.tones import GREY, INK, PAPER, blend
from alexnet.network.drawing.writing import ALIKE, FAMILY, LARGE, LINE, NAME, TITLE, width, write
from alexnet.storage import whole

WIDE, HIGH, MARGIN = 420.0, 297.0, 18.0  # millimetres
ACROSS = (MARGIN, WIDE - MARGIN)
CEILING = 256.0  # of the blocks
TABLE, ROW = 81.5, 4.9  # where the last line of the table stands, and from line to line
BARS = (37.5, 69.5)  # from where to where the shares reach up the sheet
FOOT = 24.0  # where the first line below them stands
HEADS = ("a value sees", "parameters", "multiply-adds")
MARKS = (1, 10, 50, 100, 200, 500, 1000, 2000, 4000, 10000, 20000)  # of the rulers
SOURCE = 145  # letters of a line about the source


def draw(variant: Variant, size: int | None, path: Path, dpi: int) -> None:
    """Draw a network for pictures of `size` (default: its own) to an .svg or .png file; the same bytes each time."""
    figure = sheet(variant, size)
    about = {"Title": f"{variant.name}: {variant.title}", "Description": variant.source}
    settings = mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": variant.name, "text.hinting": "no_hinting"})
    with settings, whole(path) as partial:
        if path.suffix.lower() == ".svg":
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={**about, "Date": None})
            partial.write_text(text.getvalue().replace(f"'{FAMILY}'", ALIKE), encoding="utf-8")
        else:
            figure.savefig(partial, dpi=dpi, metadata=about)


def sheet(variant: Variant, size: int | None = None) -> Figure:
    """The drawing, on axes that count in millimetres from the lower left corner. Raises UsageError as `walk` does."""
    figure = Figure(figsize=(WIDE / 25.4, HIGH / 25.4), facecolor=PAPER)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, WIDE), ylim=(0, HIGH))
    axis.set_axis_off()
    found = steps(variant, size)
    rows = _rows(found)
    floor = TABLE + ROW * len(HEADS) + LINE * max(len(step.words) for step in found) + 12
    breadths = [_breadth(step, row) for step, row in zip(found, rows, strict=True)]
    scale, columns = arrange(found, breadths, ACROSS, (floor, CEILING))
    _head(axis, variant, found)
    draw_blocks(axis, columns)
    _shapes(axis, columns)
    _words(axis, columns, floor - 7)
    _table(axis, columns, rows)
    draw_shares(axis, [(column.step, column.colour) for column in columns], ACROSS, BARS)
    _source(axis, variant)
    _lengths(axis, found, scale)
    return figure


def _rows(found: Sequence[Step]) -> list[tuple[str, ...]]:
    """What the table says of each step, from its first line to its last; of the picture, what the lines are."""
    return [
        HEADS,
        *((_sees(step, found[0].shape[1]), _count(step.parameters), _count(step.macs)) for step in found[1:]),
    ]


def _sees(step: Step, size: int) -> str:
    side = step.field.size if step.field else size
    return f"{side:,} × {side:,}" if side < size else "all"


def _count(count: int) -> str:
    return f"{count:,}" if count else ""


def _shape(step: Step) -> str:
    """Of one of its towers."""
    return " × ".join(f"{count:,}" for count in (step.shape[0] // step.columns, *step.shape[1:]))


def _breadth(step: Step, row: Sequence[str]) -> float:
    """Millimetres for all that is written in its column."""
    return max(width(step.name, NAME, "bold"), *map(width, (_shape(step), *step.words, *row))) + 4.5


def _head(axis: Axes, variant: Variant, found: Sequence[Step]) -> None:
    size = TITLE * min(1, (ACROSS[1] - ACROSS[0]) / width(variant.title, TITLE, "bold"))
    write(axis, MARGIN, HIGH - 25, variant.title, fontsize=size, weight="bold", ha="left")
    counts = (
        f"{sum(step.parameters for step in found):,} parameters",
        f"{sum(step.macs for step in found):,} multiply-adds a picture",
        f"{variant.classes:,} class{'es' * (variant.classes > 1)}",
    )
    write(axis, MARGIN, HIGH - 34, "   ·   ".join((variant.name, *counts)), fontsize=LARGE, color=GREY, ha="left")


def _shapes(axis: Axes, columns: Sequence[Column]) -> None:
    """The shape of each block above it, of those of lower towers below: between the towers lines may cross."""
    for column in columns:
        for tower, block in enumerate(column.blocks):
            y, va = (block.y - 1.5, "top") if tower else (block.top + 1.8, "baseline")
            write(axis, (block.left + block.right) / 2, y, _shape(column.step), va=va)


def _words(axis: Axes, columns: Sequence[Column], top: float) -> None:
    """Under each block its name and what happens in it."""
    for column in columns:
        step, colour = column.step, blend(column.colour, INK, 0.25) if column.step.macs else GREY
        write(axis, column.middle, top, step.name, fontsize=NAME, weight="bold", color=colour)
        for line, word in enumerate(step.words, 1):
            write(axis, column.middle, top - 0.5 - LINE * line, word)


def _table(axis: Axes, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    for line, texts in enumerate(reversed(list(zip(*rows, strict=True)))):
        y, rule = TABLE + ROW * line, TABLE + ROW * (line + 1) - 1.6
        draw_lines(axis, [((ACROSS[0], rule), (ACROSS[1], rule))], blend(GREY, PAPER, 0.7), 0.4)
        write(axis, MARGIN, y, texts[0], ha="left", color=GREY)
        for column, text in zip(columns[1:], texts[1:], strict=True):
            write(axis, column.middle, y, text)


def _source(axis: Axes, variant: Variant) -> None:
    """Where the numbers come from, and how well the network was published to do."""
    ranks = {"top-1": variant.top1, "top-5": variant.top5}
    accuracy = ", ".join(f"{rank} {100 * value:.1f} %" for rank, value in ranks.items() if value is not None)
    published = f"Published: {accuracy}, {variant.measured}. " if accuracy else ""
    for number, line in enumerate(textwrap.wrap(f"{published}Source: {variant.source}.", SOURCE)):
        write(axis, MARGIN, FOOT - LINE * number, line, ha="left", color=GREY)


def _lengths(axis: Axes, found: Sequence[Step], scale: Scale) -> None:
    """What is to scale, and how long how many are."""
    notes = (
        "Edges go with the square root of what they count; windows are true parts of their maps.",
        "Outlined on the picture: what one value of each layer of kernels sees of it.",
    )
    for number, note in enumerate(notes):
        write(axis, ACROSS[1], FOOT - LINE * number, note, ha="right", color=GREY)
    start = _ruler(axis, ACROSS[1], scale.unit, max(step.shape[0] // step.columns for step in found), "maps or units")
    _ruler(axis, start - 8, scale.pixel, found[0].shape[1], "pixels along a side")


def _ruler(axis: Axes, right: float, scale: float, most: int, what: str) -> float:
    """A ruler whose last number ends at `right`, for counts up to about `most`; returns where it starts."""
    marks = [mark for mark in MARKS if mark <= most]
    right -= width(f"{marks[-1]:,}") / 2
    left, low, high = right - scale * math.sqrt(marks[-1]), 9.5, 11.5
    shown: list[float] = []
    edge = math.inf
    for mark in reversed(marks):
        x, half = left + scale * math.sqrt(mark), width(f"{mark:,}") / 2
        if x + half < edge:
            write(axis, x, high + 1.2, f"{mark:,}", color=GREY)
            shown.append(x)
            edge = x - half - 1.5
    ticks = [((x, low), (x, high)) for x in (left, *shown)]
    draw_lines(axis, [((left, low), (right, low)), *ticks], GREY, 0.6)
    write(axis, (left + right) / 2, low - 4, what, color=GREY)
    return min(left, (left + right - width(what)) / 2)
