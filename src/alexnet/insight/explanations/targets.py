"""Which class of each picture is explained, and what a model says of any number of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, unknown
from alexnet.pictures.decode import Pixels
from alexnet.weights.model import Model

BATCH = 64  # pictures that go through a network for their answers alone

Floats = NDArray[np.float32]
Target = int | str | Sequence[int | str] | None
"""A class by index or name, for all pictures or one for each; None: the predicted class."""


def targets(model: Model, pictures: Pixels, target: Target = None) -> NDArray[np.int64]:
    """The class to explain for each picture, int64 [N]. Raises UsageError for a class that the model does not know."""
    if target is None:
        return np.asarray(logits(model, pictures).argmax(axis=1), np.int64)
    if isinstance(target, int | str):
        return np.full(len(pictures), class_index(model.classes, target), np.int64)
    if len(target) != len(pictures):
        raise UsageError(f"{len(target)} target classes for {len(pictures)} pictures; give one, or one for each")
    return np.array([class_index(model.classes, one) for one in target], np.int64)


def logits(model: Model, pictures: Pixels) -> Floats:
    """What `Model.logits` gives for any number of pictures, also for none, a batch at a time."""
    batches = (model.logits(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH))
    return stacked(batches, (len(pictures), len(model.classes)))


def class_index(classes: Sequence[str], target: int | str) -> int:
    """Place of a class that is given by name or, where no class has that name, by its index. Raises UsageError."""
    if str(target) in classes and not isinstance(target, int):
        return classes.index(str(target))
    try:
        index = int(target)
    except ValueError:
        raise unknown("class", str(target), classes) from None
    if not 0 <= index < len(classes):
        raise UsageError(f"no class {index}: the model's {len(classes)} classes are numbered from 0")
    return index


def stacked(batches: Iterable[Floats], shape: tuple[int, ...]) -> Floats:
    """Batches one after the other in one array, which may be of no rows."""
    whole, start = np.empty(shape, np.float32), 0
    for batch in batches:
        whole[start : start + len(batch)] = batch
        start += len(batch)
    return whole
