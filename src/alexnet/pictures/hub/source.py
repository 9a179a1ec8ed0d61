"""Pictures that are rows of a table, as Hugging Face's hub has them: a column of encoded pictures, one of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import PictureError, UsageError
from alexnet.pictures.imagenet import classes as imagenet
from alexnet.pictures.imagenet.devkit import NUMBER, kit
from alexnet.pictures.layout import UNKNOWN, Samples, part_of
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.sources import File, Read
from alexnet.progress import say

Codes = dict[str, tuple[str | int, ...]]


@dataclass(frozen=True)
class Split:
    """Rows of a split: names of the classes, labels int64 [N] (below zero: not known), what the pictures' files were
    called, "" where nothing says so; `contents` gives the files of some rows, which ascend, or None for none."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    files: Sequence[str]
    contents: Callable[[NDArray[np.int64]], Iterator[bytes | None]]


class Tables(Protocol):
    """Where rows come from: a repository of the hub, or parquet files on the disk."""

    @property
    def name(self) -> str: ...

    @property
    def beside(self) -> Path | None:
        """The folder in which the files lie, if it is the user's."""
        ...

    def fingerprint(self) -> str: ...

    def splits(self) -> dict[str, Split]: ...


@dataclass(frozen=True)
class HubSource:
    """A data set in tables. The picture of a row is called `<part>/<row>`, and then what its file was called."""

    tables: Tables
    limits: Limits = LIMITS

    @property
    def name(self) -> str:
        return self.tables.name

    def fingerprint(self) -> str:
        return self.tables.fingerprint()

    @cached_property
    def parts(self) -> dict[str, Split]:
        splits = self.tables.splits()
        if strange := [name for name in splits if not part_of(name)]:
            say(f"{self.name}: passed by, as neither train, validation nor test: {', '.join(strange)}")
        parts = {part: split for name, split in splits.items() if (part := part_of(name))}
        if not parts:
            raise UsageError(f"{self.name}: no train, validation or test split; there is {', '.join(splits) or 'none'}")
        if len({split.classes for split in parts.values()}) > 1:
            raise UsageError(f"{self.name}: its splits differ in their classes; prepare them one by one")
        return parts

    def samples(self) -> Samples:
        names = next(iter(self.parts.values())).classes
        if len(names) < 2:
            raise UsageError(f"{self.name}: {len(names)} classes found; a classifier needs two or more")
        parts = {}
        for part, split in self.parts.items():
            if (split.labels >= len(names)).any() or 0 < (split.labels < 0).sum() < len(split.labels):
                raise UsageError(f"{self.name}: its {part} split has labels of no class; download it anew")
            labels = np.where(split.labels < 0, UNKNOWN, split.labels).tolist()
            paths = (
                f"{part}/{row:07d}{'/' if file else ''}{file.rpartition('/')[2]}"
                for row, file in enumerate(split.files)
            )
            parts[part] = tuple(zip(paths, labels, strict=True))
        if not self.is_imagenet:
            return Samples(names, parts)
        wnids = tuple(imagenet.synsets())
        return Samples(imagenet.names(), parts, codes={"WNID": wnids, **self._numbers(wnids)})

    @property
    def is_imagenet(self) -> bool:
        """Whether the classes are those of ILSVRC 2012, which the hub numbers by WNID, as all do but the challenge."""
        names = next(iter(self.parts.values())).classes
        return len(names) == len(imagenet.names()) and names[0].startswith("tench")

    def _numbers(self, wnids: tuple[str, ...]) -> Codes:
        """The development kit's numbers, where the kit lies beside."""
        found = kit(self.tables.beside) if self.tables.beside else None
        numbers = {synset.wnid: synset.number for synset in found.synsets} if found else {}
        return {NUMBER: tuple(numbers[wnid] for wnid in wnids)} if all(map(numbers.get, wnids)) else {}

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        wanted: dict[str, list[tuple[int, int]]] = {part: [] for part in self.parts}
        for index, path in enumerate(paths):
            part, row = path.split("/")[:2]
            wanted[part].append((int(row), index))
        for part, entries in wanted.items():
            entries.sort()
            rows = np.array([row for row, _ in entries], np.int64)
            for (_, index), data in zip(entries, self.parts[part].contents(rows), strict=True):
                yield index, File(partial(_given, data), self.limits)


def _given(data: bytes | None) -> bytes:
    if data is None:
        raise PictureError("its row holds no picture")
    return data
