"""Pictures listed in a csv file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from alexnet.errors import UsageError, reason
from alexnet.pictures.decode import read
from alexnet.pictures.layout import TRAIN, Samples, part_of, samples_of
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.sources import File, Read, digest


@dataclass(frozen=True)
class Table:
    """A csv file of path and label, and optionally split, with or without a heading; paths relative to the file."""

    file: Path
    limits: Limits = LIMITS

    @property
    def name(self) -> str:
        return self.file.stem

    @cached_property
    def rows(self) -> list[tuple[str, str, str]]:
        """(path, label, part) of each line."""
        try:
            with self.file.open(newline="", encoding="utf-8-sig") as stream:
                lines = [[cell.strip() for cell in line] for line in csv.reader(stream) if line]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{self.file}: not a readable csv file: {reason(error)}") from None
        if lines and lines[0][0].lower() in ("path", "file", "filename", "image"):
            del lines[0]
        for number, line in enumerate(lines, start=1):
            if len(line) < 2 or not line[0] or not line[1]:
                raise UsageError(f"{self.file}: row {number} is not 'path,label' or 'path,label,split'")
        return [(line[0], line[1], self._part(line[2] if len(line) > 2 else "")) for line in lines]

    def _part(self, name: str) -> str:
        part = part_of(name) if name else TRAIN
        if part is None:
            raise UsageError(f"{self.file}: unknown split {name!r}: there is train, validation, test")
        return part

    def fingerprint(self) -> str:
        files = []
        for path, _, _ in self.rows:
            try:
                status = os.stat(self.file.parent / path)
                files.append((path, status.st_size, status.st_mtime_ns))
            except OSError:
                files.append((path, -1, 0))
        labels = [(f"{label} {part}", 0, 0) for _, label, part in self.rows]
        return digest(str(self.file.resolve()), [*files, *labels])

    def samples(self) -> Samples:
        labelled = [(part, label, PurePosixPath(path)) for path, label, part in self.rows]
        names = sorted({label for _, label, _ in labelled})
        if len(names) < 2:
            raise UsageError(f"{self.file}: {len(names)} classes found; a classifier needs two or more")
        return samples_of(labelled, names, ())

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        for index, path in enumerate(paths):
            yield index, File(partial(read, os.path.join(self.file.parent, path), self.limits), self.limits)
