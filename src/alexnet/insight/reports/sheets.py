"""The paper's figure 4: pictures with the five most probable classes under them, and pictures with their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from alexnet.insight.reports.plots import shorten, write
from alexnet.pictures.decode import Pixels

BAR = "#9db8d9"  # of a class that is not the true one, or where nobody knows
RIGHT_BAR = "#7fc29b"  # the green of `plots`, light enough for black letters
LINE = 0.13  # height of a line of text or a bar, in widths of a picture


@dataclass(frozen=True)
class Answer:
    """A picture, uint8 [S, S, 3], its true class if that is known, and the most probable ones with probabilities."""

    picture: Pixels
    true: str | None
    top: Sequence[tuple[str, float]]


def answers(shown: Sequence[Answer], title: str, path: Path, columns: int = 4) -> None:
    """Each picture with its true class and a bar for each probable class (paper, figure 4, left); the bar of the true
    class is green."""
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    bars = max(len(answer.top) for answer in shown)
    height = 1 + LINE * (1.6 + 1.15 * bars) + 0.12
    axis = _page(columns * 1.12, rows * height, 2.1, title)
    for place, answer in enumerate(shown):
        left, top = (place % columns) * 1.12, (place // columns) * height
        _picture(axis, answer.picture, left, top)
        known = answer.true is not None
        text = shorten(answer.true or "", 24)
        axis.text(left + 0.5, top + 1 + 0.8 * LINE, text, ha="center", va="center", fontsize=9, weight="bold")
        for line, (label, probability) in enumerate(answer.top):
            y = top + 1 + LINE * (1.6 + 1.15 * line)
            colour = RIGHT_BAR if known and label == answer.true else BAR
            axis.add_patch(Rectangle((left, y), probability, LINE, color=colour, linewidth=0))
            axis.text(left + 0.02, y + LINE / 2, shorten(label, 20), ha="left", va="center", fontsize=7.5)
            axis.text(
                left + 1, y + LINE / 2, f"{probability:.0%}", ha="right", va="center", fontsize=7.5, color="#444444"
            )
    write(axis.figure, path)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Captioned:
    """A picture, uint8 [S, S, 3], or None where it is not to be had, and the lines under it."""

    picture: Pixels | None
    lines: Sequence[str]


def neighbours(rows: Sequence[tuple[Captioned, Sequence[Captioned]]], title: str, path: Path) -> None:
    """Each query on the left and its neighbours to the right of it, nearest first (paper, figure 4, right)."""
    columns = max(len(found) for _, found in rows)
    lines = max(len(one.lines) for query, found in rows for one in (query, *found))
    height, apart = 1 + LINE * (lines + 0.6), 0.3
    axis = _page(1 + apart + 1.06 * columns - 0.06, len(rows) * height, 1.5, title)
    for row, (query, found) in enumerate(rows):
        _captioned(axis, query, 0, row * height)
        for column, one in enumerate(found):
            _captioned(axis, one, 1 + apart + 1.06 * column, row * height)
    axis.axvline(1 + apart / 2, color="#888888", linewidth=1)
    write(axis.figure, path)  # type: ignore[arg-type]


def _page(width: float, height: float, inches: float, title: str) -> Axes:
    """Axes in widths of a picture, each so many inches, from the top left corner."""
    figure = Figure(figsize=(max(width * inches, 3) + 0.2, height * inches + 0.5), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(-0.02, width + 0.02), ylim=(height, -0.02), aspect="equal")
    axis.set_axis_off()
    axis.set_title(title, fontsize=11)
    return axis


def _picture(axis: Axes, picture: Pixels, left: float, top: float) -> None:
    axis.imshow(picture, extent=(left, left + 1, top + 1, top), interpolation="antialiased")


def _captioned(axis: Axes, one: Captioned, left: float, top: float) -> None:
    if one.picture is None:
        axis.add_patch(Rectangle((left, top), 1, 1, facecolor="#eeeeee", edgecolor="#bbbbbb"))
        axis.text(left + 0.5, top + 0.5, "cannot be\nshown", ha="center", va="center", fontsize=7.5)
    else:
        _picture(axis, one.picture, left, top)
    for line, text in enumerate(one.lines):
        y = top + 1 + LINE * (line + 0.6)
        axis.text(left + 0.5, y, shorten(text), ha="center", va="center", fontsize=7.5)
