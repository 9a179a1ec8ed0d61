"""One value of each block of maps, on one thread: the window that each sees below, and the part of the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from alexnet.network.architecture import Windowed
from alexnet.network.drawing.steps import Step

Window = tuple[int, int]
"""From which pixel to which, the last one not included, along both sides of a map."""


def seen(step: Step, below: Step, window: Window) -> Window:
    """What a window on the maps of `step` sees of those below; padding too, so that it may reach over their edges."""
    start, stop = window
    if isinstance(step.layer, Windowed):
        stride, margin = step.layer.stride, getattr(step.layer, "padding", 0)
        return start * stride - margin, (stop - 1) * stride - margin + step.layer.kernel
    side, parts = below.shape[1], step.shape[1]  # the mean of each of so many parts
    return start * side // parts, -(-stop * side // parts)


def inside(window: Window, side: int) -> Window:
    """As much of a window as lies on maps of that side."""
    return max(window[0], 0), min(window[1], side)


def thread(maps: Sequence[Step]) -> list[Window]:
    """One pixel of each block, the last one's in its middle, each in the middle of what the next one's sees."""
    middle = (maps[-1].shape[1] - 1) // 2
    pixels = [(middle, middle + 1)]
    for below, step in pairwise(reversed(maps)):
        start, stop = seen(below, step, pixels[-1])
        middle = min(max((start + stop - 1) // 2, 0), step.shape[1] - 1)
        pixels.append((middle, middle + 1))
    return pixels[::-1]


def fields(maps: Sequence[Step]) -> Iterator[Window]:
    """The part of the picture that depends on each block's pixel of the thread; padding is not cut off."""
    for last, window in enumerate(thread(maps)):
        for index in range(last, 0, -1):
            window = seen(maps[index], maps[index - 1], window)
        yield window
