"""Evidence by covering: what a model's answer loses when a part of the picture is hidden (Zeiler and Fergus 2014).

Asks the model for answers alone, so that it works for every kind of model, in the form that answers fastest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.insight.explanations.targets import BATCH, Floats, logits
from alexnet.network.architecture import Input
from alexnet.pictures.decode import Pixels
from alexnet.weights.model import Model, softmax

GREY = (128, 128, 128)


def windows(size: int, window: int | None, stride: int | None) -> tuple[int, int]:
    """Side of the covered square and the step between two, in pixels; by default a sixth of the picture, in steps of a
    third of that. Raises UsageError."""
    window = max(1, size // 6) if window is None else window
    stride = max(1, round(window / 3)) if stride is None else stride
    if not 1 <= window <= size:
        raise UsageError(f"a window of {window} does not fit pictures of {size} x {size}: take 1 to {size}")
    if not 1 <= stride <= window:
        raise UsageError(f"a stride of {stride} leaves pixels uncovered: take 1 to the window, {window}")
    return window, stride


def drops(
    model: Model, pictures: Pixels, targets: NDArray[np.int64], window: int, stride: int, fill: tuple[int, ...]
) -> Floats:
    """How much the logarithm of the target's probability falls when a pixel is covered: float32 [N, size, size], the
    mean over the windows that cover it. Below 0 where covering helps.

    The logarithm, since the probability itself hardly moves where the model is sure. Windows begin at every `stride`
    pixels; the last ones may be cut off by the picture's edge. `fill`: red, green and blue of the cover.
    """
    covers = _covers(pictures.shape[1], window, stride)
    places = covers.shape[1]
    before = _scores(model, pictures, targets)
    after = np.empty(len(pictures) * places**2)
    for start in range(0, len(after), BATCH):
        chunk = np.arange(start, min(start + BATCH, len(after)))
        which, row, column = np.unravel_index(chunk, (len(pictures), places, places))
        covered = pictures[which]
        for picture, top, left in zip(covered, row * stride, column * stride, strict=True):
            picture[top : top + window, left : left + window] = fill
        after[chunk] = _scores(model, covered, targets[which])
    lost = np.repeat(before, places**2) - after
    total = covers @ lost.reshape(len(pictures), places, places) @ covers.T
    count = covers.sum(axis=1)
    return np.asarray(total / np.outer(count, count), np.float32)


def cover(rule: Input) -> tuple[int, ...]:
    """Red, green and blue of what pictures are covered with: the mean colour by the input rule, where it has one."""
    if rule.mean_picture or not any(rule.mean):
        return GREY
    mean = rule.mean[::-1] if rule.order == "BGR" else rule.mean
    return tuple(round(value) for value in (mean * 3 if len(mean) == 1 else mean))


def _covers(size: int, window: int, stride: int) -> NDArray[np.float64]:
    """[size, places]: 1 where a window at that place covers the pixel."""
    starts = np.arange(-(-(size - window) // stride) + 1) * stride
    pixels = np.arange(size)[:, None]
    return ((pixels >= starts) & (pixels < starts + window)).astype(np.float64)


def _scores(model: Model, pictures: Pixels, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logarithm of the targets' probabilities, float64 [N]."""
    chosen = softmax(logits(model, pictures))[np.arange(len(pictures)), targets]
    return np.asarray(np.log(chosen.clip(np.finfo(np.float64).tiny)), np.float64)
