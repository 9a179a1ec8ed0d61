"""Where each block of a network stands on the sheet, and how large: edges at the square root of what they count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alexnet.network.drawing.perspective import UP, Block
from alexnet.network.drawing.steps import Step
from alexnet.network.drawing.tones import Colour, tones

GAP = 10.0  # millimetres between blocks, where the cones are
LABEL = 6.0  # millimetres for the line above or below a block
BAR = 3.0  # millimetres, the breadth of a vector's bar


@dataclass(frozen=True)
class Scale:
    """Millimetres at the square root of one: `pixel` of a map's side, `unit` of a stack of maps or a vector."""

    pixel: float
    unit: float

    def block(self, step: Step) -> Block:
        """One of the towers of a step, placed at the corner of the sheet."""
        if len(step.shape) == 1:
            return Block(0, 0, BAR, max(1.0, self.unit * math.sqrt(step.shape[0])), 0)
        thick = max(0.6, self.unit * math.sqrt(step.shape[0] / step.columns))
        return Block(0, 0, thick, self.pixel * math.sqrt(step.shape[1]), step.shape[1])


@dataclass(frozen=True)
class Column:
    """A step with its own strip of the sheet: where its middle is, and the towers that stand in it, from the top."""

    step: Step
    colour: Colour
    middle: float
    blocks: tuple[Block, ...]

    @property
    def maps(self) -> bool:
        """Whether it holds maps and not a vector."""
        return len(self.step.shape) == 3


def arrange(
    steps: Sequence[Step], breadths: Sequence[float], across: tuple[float, float], up: tuple[float, float]
) -> tuple[Scale, list[Column]]:
    """The columns, each at least as broad as what is written in it (`breadths`), between these ends in millimetres."""
    room, (low, high) = across[1] - across[0], up
    scale = _tallest(steps, high - low)
    while sum(own := _breadths(steps, breadths, scale)) > room and scale.pixel > 0.1:
        scale = Scale(0.99 * scale.pixel, 0.97 * scale.unit)
    spare = (room - sum(own)) / len(own)
    columns, left = [], across[0]
    for step, colour, breadth in zip(steps, tones(steps), own, strict=True):
        middle = left + (breadth + spare) / 2
        columns.append(Column(step, colour, middle, _towers(step, scale, middle, up)))
        left += breadth + spare
    return scale, columns


def _tallest(steps: Sequence[Step], room: float) -> Scale:
    """The largest scale at which every block fits between floor and ceiling."""
    pixel, unit = 13.0, 1.8
    for step in steps:
        if len(step.shape) == 1:
            unit = min(unit, (room - 2 * LABEL) / math.sqrt(step.shape[0]))
        else:
            pixel = min(pixel, (room / step.columns - 2 * LABEL) / (1 + UP) / math.sqrt(step.shape[1]))
    return Scale(pixel, unit)


def _breadths(steps: Sequence[Step], written: Sequence[float], scale: Scale) -> list[float]:
    blocks = [scale.block(step) for step in steps]
    return [max(block.right - block.left + GAP, text) for block, text in zip(blocks, written, strict=True)]


def _towers(step: Step, scale: Scale, middle: float, up: tuple[float, float]) -> tuple[Block, ...]:
    """The blocks of a step one above the other, each in the middle of its storey."""
    low, high = up
    block, storey = scale.block(step), (high - low) / step.columns
    x = middle - (block.left + block.right) / 2
    floors = [high - (tower + 0.5) * storey - block.top / 2 for tower in range(step.columns)]
    return tuple(replace(block, x=x, y=y) for y in floors)
