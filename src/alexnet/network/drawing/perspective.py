"""Blocks of maps seen from their left front, windows upon them, and what leads from a window to one value.

Lengths are millimetres on the sheet; places on a map are counted in its pixels from its nearest upper corner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Polygon
from matplotlib.path import Path

from alexnet.network.drawing.thread import Window
from alexnet.network.drawing.tones import PAPER, Colour, blend, dark

Point = tuple[float, float]
LEFT, UP = 0.36, 0.30  # where a millimetre of depth leads on the sheet


@dataclass(frozen=True)
class Block:
    """Maps of `pixels` x `pixels`, drawn `side` high and deep, in a stack `thick`, or, with 0 pixels, a vector, drawn
    flat and `side` long. `x`, `y`: its nearest lower corner."""

    x: float
    y: float
    thick: float
    side: float
    pixels: int

    @property
    def lean(self) -> float:
        """How deep it is."""
        return self.side if self.pixels else 0.0

    @property
    def left(self) -> float:
        return self.x - self.lean * LEFT

    @property
    def right(self) -> float:
        return self.x + self.thick

    @property
    def top(self) -> float:
        return self.y + self.side + self.lean * UP

    def at(self, through: float, row: float, column: float) -> Point:
        """A place `through` (0..1) the stack, `row` pixels below the top and `column` pixels behind the front."""
        pixel = self.side / max(1, self.pixels)
        behind, below = column * pixel, row * pixel
        return self.x + through * self.thick - behind * LEFT, self.y + self.side - below + behind * UP

    def window(self, through: float, window: Window) -> list[Point]:
        """The corners of a window on the map that lies so far through the stack."""
        start, stop = window
        return [self.at(through, *place) for place in ((start, start), (start, stop), (stop, stop), (stop, start))]

    def beam(self, window: Window) -> tuple[list[Point], list[Point], list[Point]]:
        """The window carried on through the whole stack: what one sees of its left, its front and its top."""
        near, far = self.window(0, window), self.window(1, window)
        return near, [near[0], far[0], far[3], near[3]], [near[0], far[0], far[1], near[1]]


def draw_block(axis: Axes, block: Block, colour: Colour) -> None:
    """Map, front and top of a block, or the bar of a vector. The map, on the left, is what the layer before makes."""
    if not block.pixels:
        bar = [(block.x, block.y), (block.right, block.y), (block.right, block.top), (block.x, block.top)]
        axis.add_artist(Polygon(bar, facecolor=colour, edgecolor=PAPER, linewidth=0.6))
        return
    for face, pale in zip(block.beam((0, block.pixels)), (0.28, 0.0, 0.5), strict=True):
        _face(axis, face, blend(colour, PAPER, pale), PAPER, 0.7)


def draw_channels(axis: Axes, block: Block, colours: Sequence[Colour]) -> None:
    """The fronts of the first maps in colours of their own."""
    for number, colour in enumerate(colours):
        near, far = number / len(colours), (number + 1) / len(colours)
        corners = [block.at(near, 0, 0), block.at(far, 0, 0), block.at(far, block.pixels, 0)]
        _face(axis, [*corners, block.at(near, block.pixels, 0)], colour, PAPER, 0.2)


def draw_kernel(axis: Axes, block: Block, window: Window, colour: Colour, within: Colour) -> None:
    """A window through all maps of a block coloured `within`, as if they were of glass."""
    fill = PAPER if dark(within) else colour
    for face, alpha in zip(block.beam(window), (0.75, 0.22, 0.34), strict=True):
        _face(axis, face, (*fill, alpha), (*blend(fill, PAPER, 0.4), 0.9), 0.45)


def draw_window(axis: Axes, block: Block, window: Window, colour: Colour, width: float) -> None:
    """The outline of a window on the nearest map."""
    _face(axis, block.window(0, window), "none", colour, width)


def draw_cone(axis: Axes, base: Sequence[Point], tip: Point, colour: Colour) -> None:
    """From the corners of a window to the one value that comes of it."""
    for start, end in zip(base, [*base[1:], base[0]], strict=True):
        _face(axis, [start, end, tip], (*colour, 0.10), "none", 0)
    draw_lines(axis, ((corner, tip) for corner in base), colour, 0.45)


def draw_mesh(axis: Axes, below: Block, block: Block, colour: Colour, count: int = 9) -> None:
    """Everything of one block leads to everything of another."""

    def ends(x: float, block: Block) -> list[Point]:
        return [(x, block.y + block.side * (i + 0.5) / count) for i in range(count)]

    lines = ((start, end) for start in ends(below.right, below) for end in ends(block.x, block))
    draw_lines(axis, lines, colour, 0.3, 0.55)


def draw_lines(
    axis: Axes, lines: Iterable[tuple[Point, Point]], colour: Colour, width: float, alpha: float = 1
) -> None:
    """Straight lines, as one thing."""
    ends = [end for line in lines for end in line]
    path = Path(ends, [Path.MOVETO, Path.LINETO] * (len(ends) // 2))
    axis.add_artist(PathPatch(path, fill=False, edgecolor=colour, linewidth=width, alpha=alpha))


def _face(axis: Axes, corners: Sequence[Point], fill: object, edge: object, width: float) -> None:
    axis.add_artist(Polygon(corners, facecolor=fill, edgecolor=edge, linewidth=width, joinstyle="round"))
