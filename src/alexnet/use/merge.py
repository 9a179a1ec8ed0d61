"""Answers of shards made those of all pictures: the bytes that one command without --shard would have written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alexnet.errors import UsageError
from alexnet.pictures.inputs import listed
from alexnet.pictures.jobs import WHOLE, Parts, Shard
from alexnet.progress import progress
from alexnet.use.writing import FORMS, Entry, Form, writing
from alexnet.weights.model import BATCH


def merge(inputs: Sequence[str], folder: Path, out: Path, shard: Shard = WHOLE) -> dict[str, Any]:
    """Write to `out` what shards of the same inputs wrote to files of its kind in a folder: {path, pictures, refused,
    parts}. Raises UsageError where one is missing, twice there or of other pictures, and StorageError."""
    form = FORMS[out.suffix.lower()]
    names = listed(inputs).names
    paths = [form.name(path) for path in names[shard.places(len(names), BATCH)]]
    files = sorted(file for file in folder.glob(f"[!.]*{out.suffix}") if file.resolve() != out.resolve())
    parts = Parts(folder, ((_first(form, file), file) for file in files))
    refused = 0
    with writing(out) as put:
        for entry in progress(_entries(form, paths, parts), len(paths), "merging"):
            put(entry)
            refused += bool(entry.get("error"))
    return {"path": str(out), "pictures": len(paths), "refused": refused, "parts": parts.count}


def _entries(form: Form, paths: Sequence[str], parts: Parts) -> Iterator[Entry]:
    """Every entry, in the order of the pictures."""
    place = 0
    while place < len(paths):
        file = parts.at(paths, place)
        for entry in _read(form, file):
            if place == len(paths) or entry["path"] != paths[place]:
                raise UsageError(f"{file}: {entry['path']} is not the picture {place + 1:,} of {len(paths):,}")
            yield entry
            place += 1
    parts.finish()


def _first(form: Form, file: Path) -> str | None:
    return next((entry["path"] for entry in _read(form, file)), None)


def _read(form: Form, file: Path) -> Iterator[Entry]:
    """The entries of a part. Raises UsageError where it is damaged."""
    try:
        for entry in form.read(file):
            entry["path"]  # of a table of something else
            yield entry
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: not answers of alexnet predict: {type(error).__name__}: {error}") from None
