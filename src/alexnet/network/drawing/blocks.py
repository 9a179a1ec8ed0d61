"""The blocks of a network, and which of them sees what of those before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from alexnet.network.drawing import perspective
from alexnet.network.drawing.arrangement import Column
from alexnet.network.drawing.thread import Window, inside, seen, thread
from alexnet.network.drawing.tones import CHANNELS, GREY, INK


def draw_blocks(axis: Axes, columns: Sequence[Column]) -> None:
    """All blocks, then for one value in the middle of each the window that it sees, and the part of the picture."""
    for column in columns:
        for block in column.blocks:
            perspective.draw_block(axis, block, column.colour)
    maps = [column for column in columns if column.maps]
    pixels = thread([column.step for column in maps])
    _picture(axis, maps, pixels)
    for (below, column), pixel in zip(pairwise(maps), pixels[1:], strict=True):
        _windows(axis, below, column, pixel)
    for below, column in pairwise(columns):
        if not column.maps:
            for block in below.blocks:
                perspective.draw_mesh(axis, block, column.blocks[0], column.colour)


def _picture(axis: Axes, maps: Sequence[Column], pixels: Sequence[Window]) -> None:
    """The channels of a picture in colour, and outlines of what a value of each layer of weights depends on."""
    block = maps[0].blocks[0]
    if maps[0].step.shape[0] == len(CHANNELS):
        perspective.draw_channels(axis, block, CHANNELS)
    for column, (pixel, _) in zip(maps, pixels, strict=True):
        if column.step.macs and column.step.field:
            perspective.draw_window(axis, block, column.step.field.pixels(pixel), column.colour, 0.7)


def _windows(axis: Axes, below: Column, column: Column, pixel: Window) -> None:
    """What one value sees: kernels reach through all maps of a tower, and pooling only looks at one."""
    window = inside(seen(column.step, below.step, pixel), below.step.shape[1])
    weighted = column.step.macs > 0
    for block in below.blocks:
        if weighted:
            perspective.draw_kernel(axis, block, window, column.colour, below.colour)
        else:
            perspective.draw_window(axis, block, window, INK, 0.6)
    for number, block in enumerate(column.blocks):
        apart = column.step.apart and len(below.blocks) > 1
        for other in [below.blocks[number]] if apart else below.blocks:
            base, tip = other.window(weighted, window), block.at(0, pixel[0] + 0.5, pixel[0] + 0.5)
            perspective.draw_cone(axis, base, tip, column.colour if weighted else GREY)
        perspective.draw_window(axis, block, pixel, INK, 0.5)
