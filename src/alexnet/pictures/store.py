"""Pictures decoded once: uint8 arrays on disk that training, evaluation and prediction open memory-mapped.

A store is a folder: `store.json` (classes, resize rule, digests), and for each part `<part>.npy`, uint8
[N, size, size, 3] (or JPEGs: `forms`; beyond a gigabyte in several files: `store_pieces`); `<part>.labels.npy`, int64
[N]; `<part>.paths.txt`. One that is made on first use lies in the user's cache under a key: digest of the sorted paths,
sizes and modification times, and of the rule by which files become pictures.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import UsageError
from alexnet.pictures import store_pieces
from alexnet.pictures.decode import Decoding, Pixels, Resize
from alexnet.pictures.forms import Kept, Pictures, read
from alexnet.pictures.layout import UNKNOWN, Samples
from alexnet.pictures.sources import Read

FORMAT = 4
READABLE = (1, 2, 3, 4)  # 1 knew neither scaled decoding nor JPEGs, 2 no colour profiles, 3 no pieces
SPREAD = 10_000  # pictures of a part, at most, that a statistic is taken over
REFUSED = -1  # the label of a picture that could not be decoded and was skipped; its pixels are zero


@dataclass(frozen=True)
class Part:
    """Pictures of one part of a store, or a choice of them.

    `pictures`: uint8 [*, S, S, 3], memory-mapped or JPEGs; `rows` says which of them belong, in order; `labels`
    int64 [N].
    """

    pictures: Pictures
    all_labels: NDArray[np.int64]
    paths_file: Path
    rows: NDArray[np.int64]
    digest: str

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.all_labels[self.rows]

    @cached_property
    def paths(self) -> list[str]:
        """Path of each picture in its data set."""
        try:
            lines = self.paths_file.read_text("utf-8").split("\n")
            return [json.loads(lines[row]) for row in self.rows]
        except (OSError, ValueError, IndexError) as error:
            raise UsageError(f"{self.paths_file}: damaged: {error}; prepare the store anew") from None

    def take(self, places: NDArray[np.int64]) -> Part:
        """The part reduced to some of its places, in the order given."""
        return replace(self, rows=self.rows[places])

    def with_labels(self, labels: NDArray[np.int64]) -> Part:
        """The same pictures under other labels, given for every row of the store."""
        return replace(self, all_labels=labels)

    def read(self, places: NDArray[np.int64] | slice) -> Pixels:
        """Pictures at some places, copied into memory."""
        return read(self.pictures, self.rows[places])

    def spread(self) -> Iterator[Pixels]:
        """At most SPREAD of the pictures, evenly spread, in chunks."""
        places = np.linspace(0, len(self) - 1, min(len(self), SPREAD)).astype(np.int64)
        for chunk in np.array_split(places, max(1, len(places) // 256)):
            yield self.read(chunk)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Mean picture, [S, S, 3] in 0..255, over at most SPREAD of them; seconds the first time, kept from then on."""
        total = np.zeros(self.pictures.shape[1:], np.float64)
        for pictures in self.spread():
            total += pictures.sum(axis=0, dtype=np.float64)
        return total / min(len(self), SPREAD)


@dataclass(frozen=True)
class Store:
    """An open store.

    `unlabelled` are parts whose classes nobody tells, as of a challenge's test pictures: they can be predicted, not
    trained on or scored. `codes` says what else the classes are called, a list as long as theirs for each naming.
    """

    folder: Path
    name: str
    classes: tuple[str, ...]
    size: int
    resize: Resize
    decode: Decoding
    kept: Kept
    parts: dict[str, Part]
    skipped: dict[str, str]
    strays: int
    repeated: dict[str, int]
    unlabelled: dict[str, Part] = field(default_factory=dict)
    codes: dict[str, tuple[str | int, ...]] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """By which files became pictures, in words."""
        return rule_text(self.resize, self.decode)

    @property
    def digest(self) -> str:
        """Of everything that training can see: classes, and pictures and labels of every part."""
        seen = [*self.classes, *(f"{name}:{part.digest}" for name, part in sorted(self.parts.items()))]
        return hashlib.sha256("\n".join(seen).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures of each class in each part."""
        return {name: class_counts(self.classes, part.labels) for name, part in self.parts.items()}

    @property
    def all_parts(self) -> dict[str, Part]:
        """Those with labels and those without."""
        return {**self.parts, **self.unlabelled}

    def __getitem__(self, part: str) -> Part:
        return self.all_parts[part]


def rule_text(resize: Resize, decode: Decoding) -> str:
    """The rule by which files become pictures, in words."""
    return resize if decode == "full" else f"{resize} and {decode} decoding"


def class_counts(classes: Sequence[str], labels: NDArray[np.int64]) -> dict[str, int]:
    """How many pictures each class has."""
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def is_store(data: str | os.PathLike[str]) -> bool:
    """Whether DATA is a prepared store."""
    return os.path.isfile(os.path.join(data, "store.json"))


def opened(folder: Path) -> Store:
    """The store in a folder. Raises UsageError for one that is not whole."""
    try:
        document = json.loads((folder / "store.json").read_text("utf-8"))
        if document["format"] not in READABLE:
            raise UsageError(f"{folder}: a store of format {document['format']}; this version reads {FORMAT}")
        classes, size, kept = tuple(document["classes"]), document["size"], document.get("store", "raw")
        parts = {
            name: _open_part(folder, name, kept, entry, size, len(classes)) for name, entry in document["parts"].items()
        }
        unlabelled = {name: part for name, part in parts.items() if len(part) and part.labels[0] == UNKNOWN}
        labelled = {name: part for name, part in parts.items() if name not in unlabelled}
        codes = {naming: tuple(names) for naming, names in document.get("codes", {}).items()}
        fields = (document["name"], classes, size, document["resize"], document.get("decode", "full"), kept)
        beside = document["skipped"], document["strays"], document.get("repeated", {})
        return Store(folder, *fields, labelled, *beside, unlabelled, codes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise UsageError(f"{folder}: not a whole store: {error}; prepare it anew") from None


def _open_part(folder: Path, name: str, kept: Kept, entry: dict[str, Any], size: int, classes: int) -> Part:
    count = entry["count"]
    pieces = [(piece["name"], piece["count"]) for piece in entry.get("shards", [{"name": name, "count": count}])]
    pictures = store_pieces.opened(folder, kept, pieces, (size, size, 3))
    labels = np.load(folder / f"{name}.labels.npy", allow_pickle=False)
    if labels.shape != (count,) or pictures.shape[0] != count or labels.dtype != np.int64:
        raise ValueError(f"{name}.labels.npy is {labels.dtype} {labels.shape}, not int64 {(count,)}")
    rows = np.flatnonzero(labels != REFUSED)
    known = labels[rows]
    if len(rows) and not (0 <= known.min() <= known.max() < classes or (known == UNKNOWN).all()):
        raise ValueError(f"{name}.labels.npy holds labels of no class")
    return Part(pictures, labels, folder / f"{name}.paths.txt", rows, entry["digest"])


def store_of(part: Part) -> Store:
    """The store in which the pictures of a part lie."""
    return opened(part.paths_file.parent)


@dataclass(frozen=True)
class Stored:
    """A prepared store as a source of pictures, for a store of another size."""

    store: Store

    @property
    def name(self) -> str:
        return self.store.name

    def fingerprint(self) -> str:
        status = (self.store.folder / "store.json").stat()
        return f"{self.store.folder.resolve()} {status.st_mtime_ns} {self.store.digest}"

    def samples(self) -> Samples:
        parts = {
            name: tuple(zip(part.paths, part.labels.tolist(), strict=True))
            for name, part in self.store.all_parts.items()
        }
        return Samples(self.store.classes, parts, codes=self.store.codes)

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        rows = {
            path: (part, row)
            for part in self.store.all_parts.values()
            for row, path in zip(part.rows, part.paths, strict=True)
        }
        for index, path in enumerate(paths):
            part, row = rows[path]
            yield index, partial(_stored_picture, part.pictures, row)


def _stored_picture(pictures: Pictures, row: int, least: int = 0) -> Image.Image:
    return Image.fromarray(read(pictures, slice(row, row + 1))[0])
