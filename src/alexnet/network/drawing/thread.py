"""One value of each block of maps, on one thread: the window that each sees below."""

from __future__ import annotations

from collections.abc import Sequence
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
