"""Lines of text on a sheet that is measured in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from alexnet.network.drawing.tones import INK

TITLE, LARGE, NAME, TEXT = 34.0, 14.0, 12.0, 10.0  # sizes in points
LINE = 4.2  # from line to line of text, in millimetres
FAMILY = "STIXGeneral"  # comes with matplotlib, and is narrow
# What a reader of an .svg file may have instead: letters of the same widths.
ALIKE = f"{FAMILY}, 'STIX Two Text', 'Times New Roman', Tinos, 'Liberation Serif', 'Nimbus Roman', Times, serif"
MILLIMETRES = 25.4 / 72  # in a point


@cache
def width(text: str, size: float = TEXT, weight: str = "normal") -> float:
    """Of a line of text, in millimetres."""
    font = FontProperties(family=FAMILY, weight=weight, size=size)
    return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]) * MILLIMETRES


def write(axis: Axes, x: float, y: float, text: str, **how: Any) -> None:
    """A line of text at a place of the sheet, its middle on `x` and its foot on `y` unless `how` says otherwise."""
    usual: dict[str, Any] = {"fontsize": TEXT, "color": INK, "ha": "center", "va": "baseline", "parse_math": False}
    axis.text(x, y, text, family=FAMILY, **usual | how)


def spread(middles: Sequence[float], widths: Sequence[float], left: float, right: float) -> list[float]:
    """Middles near those wanted, in the same order, so that nothing so wide meets its neighbour or leaves the room."""
    gap = 4.0
    places: list[float] = []
    end = left - gap
    for middle, wide in zip(middles, widths, strict=True):
        places.append(max(middle, end + gap + wide / 2))
        end = places[-1] + wide / 2
    end = right + gap
    for index in reversed(range(len(places))):
        places[index] = min(places[index], end - gap - widths[index] / 2)
        end = places[index] - widths[index] / 2
    return places
