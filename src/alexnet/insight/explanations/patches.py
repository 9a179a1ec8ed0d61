"""What excites a unit most: the pictures, and the places in them, to which single maps or units answer strongest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.insight.explanations.explain import activations
from alexnet.insight.explanations.targets import Floats
from alexnet.network.fields import fields
from alexnet.pictures.decode import Pixels
from alexnet.weights.model import Model

Answers = NDArray[np.void]
ANSWER = np.dtype([("value", np.float32), ("picture", np.int64), ("row", np.int64), ("column", np.int64)])
"""How strongly a unit answered, to which picture of the stream, in which cell of its map."""

NONE = -1  # the picture's number where there are fewer pictures than were asked for

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the network's input."""


def strongest(model: Model, batches: Iterable[Pixels], layer: str, units: Sequence[int], count: int) -> Answers:
    """Stream pictures, uint8 [B, size, size, 3] at a time: the `count` strongest answers of each unit, each to another
    picture, strongest first; ANSWER [units, count].

    Takes memory for one batch's activations, whatever the number of pictures. Among equal answers the earlier picture
    wins. Raises UsageError.
    """
    best = np.full((len(units), count), np.array((-np.inf, NONE, 0, 0), ANSWER))
    seen = 0
    for pictures in batches:
        values = activations(model, pictures, layer)
        if wrong := [unit for unit in units if not 0 <= unit < values.shape[1]]:
            raise UsageError(f"{layer} has {values.shape[1]} units, numbered from 0; there is no unit {wrong[0]}")
        both = np.concatenate([best, _answers(values[:, list(units)], seen)], axis=1)
        order = np.argsort(-both["value"], axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(both, order, axis=1)
        seen += len(pictures)
    return best


def seen_by(model: Model, layer: str, answer: Any) -> Box:
    """What the cell of an answer saw of the picture; a fully connected unit sees all of it."""
    size, known = model.input.size, fields(model.variant, model.input.size)
    if layer not in known:
        return 0, 0, size, size
    field, row, column = known[layer], int(answer["row"]), int(answer["column"])
    return int(field.starts[column]), int(field.starts[row]), int(field.ends[column]), int(field.ends[row])


def around(box: Box, size: int) -> Box:
    """A square that shows a box with what lies about it: of twice its side, moved to lie inside the picture."""
    left, top, right, bottom = box
    side = min(size, max(2 * max(right - left, bottom - top), size // 6))
    x, y = (min(max(0, (low + high - side) // 2), size - side) for low, high in ((left, right), (top, bottom)))
    return x, y, x + side, y + side


def _answers(values: Floats, first: int) -> Answers:
    """Each unit's strongest answer to each picture, ANSWER [units, B]; the pictures are numbered from `first` on."""
    maps = values.reshape(*values.shape[:2], -1)
    found = np.empty(maps.shape[:2], ANSWER)
    cell = maps.argmax(axis=2)
    found["value"] = maps.max(axis=2)
    found["picture"] = first + np.arange(len(values))[:, None]
    found["row"], found["column"] = np.divmod(cell, values.shape[3] if values.ndim == 4 else 1)
    return found.T
