"""Folders of features that shards wrote, as one: what `alexnet features --merge` writes again, in order."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import AlexNetError, PictureError, UsageError
from alexnet.insight.features import folder as feature_folder
from alexnet.insight.features import parquet
from alexnet.insight.features.folder import Found
from alexnet.insight.features.layers import Values
from alexnet.pictures.jobs import Parts
from alexnet.progress import progress
from alexnet.weights.model import BATCH

ALIKE = ("model", "layers", "precision", "form")  # of a document; may not differ between parts
Plan = dict[str, Any]


def batches(folder: Path, plan: Plan, paths: Sequence[str], start: int) -> Iterator[Found]:
    """What the parts in a folder hold, from a place among the pictures on. Raises UsageError as `in_order` does."""
    order = in_order(folder, plan, paths)
    yield from islice(chain.from_iterable(map(_found, progress(order, len(order), "merging"))), start // BATCH, None)


def in_order(folder: Path, plan: Plan, paths: Sequence[str]) -> list[Path]:
    """The parts that lie in a folder. Raises UsageError where one is missing, twice there, not complete or made of
    something else."""
    if not os.path.isdir(folder):
        raise UsageError(f"--merge {folder}: no such folder")
    names = sorted(path.parent for path in folder.glob(f"*/{feature_folder.DOCUMENT}"))
    parts = Parts(folder, ((next((path for path, _, _ in _listing(name)), None), name) for name in names))
    return list(_fitting(parts, plan, paths))


def _fitting(parts: Parts, plan: Plan, paths: Sequence[str]) -> Iterator[Path]:
    place = 0
    while place < len(paths):
        part = parts.at(paths, place)
        document = feature_folder.read(part)
        if "state" in document:
            raise UsageError(f"{part}: begun and not finished; repeat the command that makes it with --resume")
        feature_folder.compare(part, plan, document, ALIKE, "differs from what is merged: {}; make it anew")
        count = document["pictures"]["count"]
        if feature_folder.listing(paths[place : place + count]) != document["pictures"]["sha256"]:
            raise UsageError(f"{part}: made of other pictures than those from {paths[place]} on; make it anew")
        yield part
        place += count
    parts.finish()


def _found(part: Path) -> Iterator[Found]:
    """All of a part, in batches as they were computed. Raises UsageError where it is damaged."""
    document, entries = feature_folder.read(part), _listing(part)
    try:
        rows = _Rows(part, document)
        while some := list(islice(entries, BATCH)):
            found = [(path, label, _refusal(error, document["code"])) for path, label, error in some]
            yield found, rows.next(sum(error is None for _, _, error in found))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise UsageError(f"{part}: damaged: {error}; make it anew with alexnet features") from None


def _listing(part: Path) -> Iterator[tuple[str, str | None, str]]:
    """Path, class and error of each picture."""
    with (part / feature_folder.TABLE).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        for entry in csv.DictReader(file):
            yield entry["path"], entry["label"] or None, entry["error"]


def _refusal(reason: str, code: int) -> AlexNetError | None:
    if not reason:
        return None
    error = PictureError(reason)
    error.exit_code = code  # the gravest of the part, which is all that is kept
    return error


class _Rows:
    """The rows of a part, some at a time."""

    def __init__(self, part: Path, document: Plan) -> None:
        shapes: dict[str, list[int]] = document["layers"]
        self.left: Values = {name: np.empty((0, *shape), np.float32) for name, shape in shapes.items()}
        self.blocks = parquet.blocks(part, shapes) if document["form"] == "parquet" else _mapped(part, document)

    def next(self, count: int) -> Values:
        while len(next(iter(self.left.values()))) < count:
            block = next(self.blocks, None)
            if block is None:
                raise ValueError("it holds fewer rows than its index.csv lists")
            self.left = {
                name: np.concatenate([rest, block[name]]) if len(rest) else block[name]
                for name, rest in self.left.items()
            }
        some = {name: rest[:count] for name, rest in self.left.items()}
        self.left = {name: rest[count:] for name, rest in self.left.items()}
        return some


def _mapped(part: Path, document: Plan) -> Iterator[Values]:
    if document["rows"]:  # else there is nothing that could be mapped
        yield {name: np.load(part / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in document["layers"]}
