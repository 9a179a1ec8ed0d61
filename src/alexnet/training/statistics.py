"""What is known of the training pictures as a whole: their mean, and the directions in which their colours vary."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from alexnet.network.architecture import Input
from alexnet.pictures import views
from alexnet.pictures.decode import Pixels
from alexnet.pictures.store import Part

MOST = 10_000  # pictures, evenly spread, that a statistic is taken over
EVERY = 4  # pixels, down and across: of neighbours one tells enough about colours


def mean_picture(part: Part) -> NDArray[np.float64]:
    """Mean of a part's pictures, [S, S, 3] in 0..255, over at most MOST of them, evenly spread."""
    total = np.zeros(part.pictures.shape[1:], np.float64)
    for pictures in _spread(part):
        total += pictures.sum(axis=0, dtype=np.float64)
    return total / min(len(part), MOST)


def _spread(part: Part) -> Iterator[Pixels]:
    """At most MOST pictures of a part, evenly spread, in chunks."""
    places = np.linspace(0, len(part) - 1, min(len(part), MOST)).astype(np.int64)
    for chunk in np.array_split(places, max(1, len(places) // 256)):
        yield part.read(chunk)


def colour_components(part: Part) -> tuple[tuple[float, ...], ...]:
    """The principal axes of a part's RGB values in 0..255, each times the deviation along it; the largest first."""
    count, total, products = 0, np.zeros(3), np.zeros((3, 3))
    for pictures in _spread(part):
        values = pictures[:, ::EVERY, ::EVERY].reshape(-1, 3).astype(np.float64)
        count, total, products = count + len(values), total + values.sum(axis=0), products + values.T @ values
    mean = total / count
    variances, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    components = (np.sqrt(variances.clip(0)) * axes).T[::-1]
    # An axis has no direction of its own: its largest entry is made positive, and digits that rounding decides go.
    signs = np.sign(np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1))
    return tuple(tuple(row) for row in (signs * components).round(4).tolist())


def mean_view(part: Part, rule: Input) -> NDArray[np.float32]:
    """The centre of the mean picture, [size, size, 3]: the source subtracts it from a crop wherever that was cut."""
    return np.asarray(views.centre(mean_picture(part)[None], rule.size)[0], np.float32)
