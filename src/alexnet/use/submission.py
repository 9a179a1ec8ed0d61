"""Answers for the server of ILSVRC-2012, which alone knows what the test pictures show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.evaluation.evaluate import BATCH, PathLike, view_probabilities
from alexnet.pictures.batches import in_order
from alexnet.pictures.imagenet.devkit import KIT, NUMBER
from alexnet.pictures.layout import TEST
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.prepare import open_for
from alexnet.pictures.store import Part, Store
from alexnet.progress import progress
from alexnet.storage import write_text
from alexnet.weights.model import Model

ANSWERS = 5  # that count for a picture, at most
PICTURE = re.compile(r"ILSVRC2012_(?:val|test)_(\d{8})[^/]*")


def submission(
    model: Model, data: PathLike, views: int = 1, split: str = TEST, limits: Limits = LIMITS
) -> Iterator[list[int]]:
    """The numbers (1 to 1,000, the development kit's) of the five most probable classes of each test picture, most
    probable first, in the order of the pictures' numbers.

    `data`: a store of the challenge's pictures, or the folder in which they lie. Raises UsageError.
    """
    store = open_for(model.input, data, limits=limits)
    part = _by_number(store, split, data)
    numbers = _numbers(store, model.classes, data)
    for pictures, _ in progress(in_order(part, BATCH), -(-len(part) // BATCH), f"predicting {split}"):
        best = np.argsort(-view_probabilities(model, pictures, views), axis=1, kind="stable")[:, :ANSWERS]
        yield from numbers[best].tolist()


def _by_number(store: Store, split: str, data: PathLike) -> Part:
    """The pictures of a part, by the numbers in their names."""
    part = store.all_parts.get(split)
    if part is None:
        raise UsageError(f"{data}: no split {split!r}; there is {', '.join(store.all_parts)}")
    if gone := len(part.all_labels) - len(part):
        raise UsageError(
            f"{data}: {gone} {split} pictures were skipped, and a submission has a line for each; mend them"
        )
    matches = [PICTURE.search(path) for path in part.paths]
    if not all(matches):
        raise UsageError(
            f"{data}: its {split} pictures are not called as the challenge's, ILSVRC2012_test_00000001.JPEG"
        )
    return part.take(np.argsort([int(match[1]) for match in matches if match], kind="stable"))


def _numbers(store: Store, classes: Sequence[str], data: PathLike) -> NDArray[np.int64]:
    """The development kit's number of each class of a model."""
    if NUMBER not in store.codes:
        raise UsageError(
            f"{data}: the development kit's numbers of its classes are not known; put {KIT}.tar.gz beside the pictures "
            "and prepare them anew"
        )
    known = dict(zip(store.classes, store.codes[NUMBER], strict=True))
    if missing := [name for name in classes if name not in known]:
        raise UsageError(f"{data}: the challenge has no class {missing[0]!r}, which the model answers with")
    return np.array([known[name] for name in classes], np.int64)


def write(answers: Iterator[list[int]], out: Path) -> int:
    """A line for each picture, the numbers divided by blanks; how many there are. Whole or not at all."""
    lines = [" ".join(map(str, numbers)) for numbers in answers]
    write_text(out, "\n".join(lines) + "\n")
    return len(lines)
