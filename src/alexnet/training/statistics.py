"""What is known of the training pictures as a whole: their mean, and the directions in which their colours vary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet.network.architecture import Input
from alexnet.pictures import views
from alexnet.pictures.store import Part

EVERY = 4  # pixels, down and across: of neighbours one tells enough about colours


def colour_components(part: Part) -> tuple[tuple[float, ...], ...]:
    """The principal axes of a part's RGB values in 0..255, each times the deviation along it; the largest first."""
    count, total, products = 0, np.zeros(3), np.zeros((3, 3))
    for pictures in part.spread():
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
    return np.asarray(views.centre(part.mean[None], rule.size)[0], np.float32)
