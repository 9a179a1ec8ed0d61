"""Where the weights are and where the arithmetic is: two bars of one length, each layer's shares of them joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from alexnet.network.drawing.steps import Step
from alexnet.network.drawing.tones import INK, PAPER, Colour, blend, dark
from alexnet.network.drawing.writing import NAME, spread, width, write

THICK = 8.0  # a bar, in millimetres


@dataclass(frozen=True)
class Share:
    """A layer's part of a bar, from `start` to `stop` millimetres, and as a part of the whole, 0..1."""

    step: Step
    colour: Colour
    start: float
    stop: float
    part: float


def draw_shares(
    axis: Axes, steps: Sequence[tuple[Step, Colour]], across: tuple[float, float], up: tuple[float, float]
) -> None:
    """Weights above, multiply-adds below, from `across[0]` to `across[1]` and `up[0]` to `up[1]` millimetres."""
    low, high = up
    weights = _shares(steps, [step.parameters for step, _ in steps], across)
    sums = _shares(steps, [step.macs for step, _ in steps], across)
    for above, below in zip(weights, sums, strict=True):
        _ribbon(axis, above, high - THICK, below, low + THICK)
    _bar(axis, weights, high - THICK)
    _bar(axis, sums, low)
    _kinds(axis, weights, "of the weights", across, high + 2, "baseline")
    _kinds(axis, sums, "of the arithmetic", across, low - 1.5, "top")


def _shares(steps: Sequence[tuple[Step, Colour]], counts: Sequence[int], across: tuple[float, float]) -> list[Share]:
    left, right = across
    total = sum(counts)
    ends = [left + (right - left) * end / total for end in accumulate(counts, initial=0)]
    parts = zip(steps, counts, ends, ends[1:], strict=False)
    return [Share(*step, start, stop, count / total) for step, count, start, stop in parts if step[0].macs]


def _bar(axis: Axes, shares: Sequence[Share], y: float) -> None:
    for share in shares:
        wide = share.stop - share.start
        axis.add_artist(
            Rectangle((share.start, y), wide, THICK, facecolor=share.colour, edgecolor=PAPER, linewidth=0.4)
        )
        texts = (f"{share.step.name}   {100 * share.part:.1f} %", share.step.name)
        text = next((text for text in texts if width(text) < wide - 2), "")
        colour = PAPER if dark(share.colour) else INK
        write(axis, (share.start + share.stop) / 2, y + THICK / 2 - 1.2, text, color=colour)


def _ribbon(axis: Axes, above: Share, high: float, below: Share, low: float) -> None:
    """From a layer's part of one bar to its part of the other."""
    middle = (high + low) / 2
    down = [(above.start, high), (above.start, middle), (below.start, middle), (below.start, low)]
    up = [(below.stop, low), (below.stop, middle), (above.stop, middle), (above.stop, high)]
    curve = [Path.CURVE4] * 3
    path = Path([*down, *up, down[0]], [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
    axis.add_artist(PathPatch(path, facecolor=blend(above.colour, PAPER, 0.7), edgecolor=PAPER, linewidth=0.3))


def _kinds(axis: Axes, shares: Sequence[Share], what: str, across: tuple[float, float], y: float, va: str) -> None:
    """What part each kind of layer has, beside its part of the bar as far as there is room."""
    kinds = [list(group) for _, group in groupby(shares, lambda share: share.step.kind)]
    texts = [f"{group[0].step.kind}: {100 * sum(share.part for share in group):.1f} % {what}" for group in kinds]
    middles = [(group[0].start + group[-1].stop) / 2 for group in kinds]
    places = spread(middles, [width(text, NAME, "bold") for text in texts], *across)
    for x, text, group in zip(places, texts, kinds, strict=True):
        write(axis, x, y, text, fontsize=NAME, weight="bold", va=va, color=blend(group[-1].colour, INK, 0.3))
