"""Charts as SVG for a page: drawn in the page's own colours, so that they are right by day, by night and on paper.

Each is made for the width of a phone and as clear when larger. What a chart shows also stands in a table near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from alexnet.evaluation.certainty import Calibration, wilson
from alexnet.insight.reports.thumbnails import png

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 38
DOTS = 30  # points up to which a line shows each of them
ERROR, HIT = (190, 60, 50), (52, 108, 176)  # of matrices; strength is opacity, so that they suit any paper


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` along the pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 2)

    def ticks(self, most: int, whole: bool = False) -> list[float]:
        """Round values between the ends, about so many."""
        locator = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=whole)
        slack = 1e-9 * (self.high - self.low)
        return [
            float(t) for t in locator.tick_values(self.low, self.high) if self.low - slack <= t <= self.high + slack
        ]


@dataclass(frozen=True)
class Line:
    """Points to be joined, (epoch, value); `style` is the place of its colour and dashes in the page's style."""

    points: Sequence[tuple[float, float]]
    style: int


def curves(lines: Sequence[Line], name: str, unit: str, said: str, mark: float | None = None) -> Markup:
    """Lines over the epochs; `said` is what it shows, for those who do not see it, `mark` an epoch to point out."""
    epochs = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    x = Axis(min(epochs), max(epochs), LEFT + 6, WIDTH - RIGHT - 6)
    margin = 0.06 * (max(values) - min(values)) or 0.5
    y = Axis(max(0.0, min(values) - margin), max(values) + margin, HEIGHT - BOTTOM, TOP)
    parts = [*_frame(x, y, x.ticks(6, whole=True), y.ticks(5), "epoch", f"{name}, {unit}")]
    if mark is not None:
        parts.append(f'<line class="mark" x1="{x(mark)}" x2="{x(mark)}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for line in lines:
        parts += _line(line, x, y)
    return _svg(parts, WIDTH, HEIGHT, said)


def _line(line: Line, x: Axis, y: Axis) -> list[str]:
    places = [f"{x(epoch)},{y(value)}" for epoch, value in line.points]
    style = f"series s{line.style % 8}"
    parts = [f'<polyline class="{style}" points="{" ".join(places)}"/>'] if len(places) > 1 else []
    if len(places) <= DOTS:
        pairs = (place.split(",") for place in places)
        parts += [f'<circle class="{style}" cx="{across}" cy="{down}" r="2.6"/>' for across, down in pairs]
    return parts


def _frame(
    x: Axis, y: Axis, across: Sequence[float], up: Sequence[float], below: str, beside: str, to: float = HEIGHT - BOTTOM
) -> list[str]:
    """Grid lines, numbers and names of the axes."""
    parts = [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t)}" y2="{y(t)}"/>' for t in up]
    parts += [_text(LEFT - 7, y(t) + 4, f"{t:g}", "end") for t in up]
    parts += [_text(x(t), to + 16, f"{t:g}") for t in across]
    parts.append(_text((x.start + x.end) / 2, to + 33, below))
    parts.append(_text(11, (y.start + y.end) / 2, beside, turned=True))
    return parts


# --------------------------------------------------------------------------------------------------------- calibration

PLOT, STRIP = 290, 60  # heights of the two parts: how often right, how many answers


def reliability(found: Calibration, said: str) -> Markup:
    """How often answers are right (with 95 % intervals) over how probable they were; below, how many there are."""
    x, y = Axis(0, 100, LEFT + 4, WIDTH - RIGHT - 4), Axis(0, 100, PLOT, TOP)
    fifths = (0, 20, 40, 60, 80, 100)
    base = PLOT + 14 + STRIP
    parts = _frame(x, y, fifths, fifths, "how probable it found its answer, %", "right, %", base)
    parts.append(f'<line class="ideal" x1="{x(0)}" y1="{y(0)}" x2="{x(100)}" y2="{y(100)}"/>')
    places = np.flatnonzero(found.counts)
    width, most = 100 / len(found.counts), found.counts.max()
    for place in places:
        height = round(STRIP * found.counts[place] / most, 2)
        left, right = x(place * width) + 1, x((place + 1) * width) - 1
        parts.append(f'<rect class="bar" x="{left}" y="{base - height}" width="{right - left:.2f}" height="{height}"/>')
    for place in places:
        across, count = x(100 * found.confidence[place]), int(found.counts[place])
        low, high = wilson(round(found.accuracy[place] * count), count)
        parts.append(f'<line class="whisker" x1="{across}" x2="{across}" y1="{y(100 * low)}" y2="{y(100 * high)}"/>')
        parts.append(f'<circle class="dot" cx="{across}" cy="{y(100 * found.accuracy[place])}" r="4"/>')
    return _svg(parts, WIDTH, base + BOTTOM, said)


# -------------------------------------------------------------------------------------------------------------- matrix

NAMED = 100  # classes up to which a matrix names each
CELL = 11  # pixels of one then


def matrix(shares: NDArray[np.float64], names: Sequence[str], said: str) -> Markup:
    """Shares [true, predicted] in 0..1, as cells whose strength is the root of their share, so that rare errors show.

    The diagonal is blue, the rest red; where `names` are given, rows and columns bear them.
    """
    side = CELL * len(shares) if names else 480
    edge = 10 + round(5.4 * max((len(name) for name in names), default=0)) if names else 34
    parts = [
        f'<image x="{edge}" y="{edge}" width="{side}" height="{side}" preserveAspectRatio="none" '
        f'href="{png(_cells(shares, diagonal=bool(names)))}"/>',
        f'<rect class="edge" x="{edge}" y="{edge}" width="{side}" height="{side}"/>',
    ]
    if names:
        parts += _names(names, edge)
    else:
        parts += _numbers(len(shares), edge, side)
    return _svg(parts, edge + side + 14, edge + side + 8, said, min_width=edge + side if names else 0)


def _cells(shares: NDArray[np.float64], diagonal: bool) -> NDArray[np.uint8]:
    """uint8 [n, n, 4]; errors are as strong as they are next to the largest of them."""
    own = np.eye(len(shares), dtype=bool) & diagonal
    largest = shares[~own].max(initial=0) or 1.0
    strength = np.sqrt(np.where(own, shares, shares / largest))
    colours = np.where(own[..., None], np.array(HIT), np.array(ERROR))
    return np.dstack([colours, 255 * strength]).round().astype(np.uint8)


def _names(names: Sequence[str], edge: int) -> list[str]:
    parts = []
    for place, name in enumerate(names):
        middle = edge + CELL * (place + 0.5) + 3
        parts.append(_text(edge - 5, middle, name, "end", style="small"))
        parts.append(_text(middle, edge - 5, name, "start", turned=True, style="small"))
    return parts


def _numbers(groups: int, edge: int, side: float) -> list[str]:
    """The number of every tenth group, along both sides."""
    parts = []
    for number in [1, *range(10, groups + 1, 10)]:
        middle = round(edge + side / groups * (number - 0.5), 1)
        parts.append(_text(edge - 6, middle + 4, str(number), "end"))
        parts.append(_text(middle, edge - 8, str(number)))
    return parts


def grouped(matrix: NDArray[np.int64], groups: int) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Neighbouring classes of a confusion matrix joined to so many groups: of each group's pictures the share that was
    wrongly answered with a class of each group; and which classes each group holds."""
    members = np.array_split(np.arange(len(matrix)), groups)
    starts = [group[0] for group in members]
    errors = matrix * ~np.eye(len(matrix), dtype=bool)
    joined = np.add.reduceat(np.add.reduceat(errors, starts, axis=0), starts, axis=1)
    images = np.add.reduceat(matrix.sum(axis=1), starts)
    return joined / np.maximum(1, images)[:, None], members


def _text(x: float, y: float, text: str, anchor: str = "middle", turned: bool = False, style: str = "") -> str:
    """Text that begins, ends or has its middle at a place; `turned`: to be read from the right."""
    place = f'transform="translate({x:g} {y:g}) rotate(-90)"' if turned else f'x="{x:g}" y="{y:g}"'
    return f'<text class="{style}" {place} text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], width: float, height: float, said: str, min_width: int = 0) -> Markup:
    style = f' style="min-width:{min_width}px"' if min_width else ""
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(said)}"{style}>'
    return Markup("".join([head, *parts, "</svg>"]))
