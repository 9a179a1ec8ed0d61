"""Where pictures come from: what every source can do, and the two plain ones, a folder and the drawer of patterns."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

from PIL import Image

from alexnet.errors import UsageError
from alexnet.pictures import patterns
from alexnet.pictures.decode import decode, read
from alexnet.pictures.layout import Samples, arrange
from alexnet.pictures.limits import LIMITS, Limits


class Read(Protocol):
    """Decodes one picture, a JPEG no smaller than `least` (see `decode`); raises PictureError."""

    def __call__(self, least: int = 0) -> Image.Image: ...


@dataclass(frozen=True)
class File:
    """A picture in a file; `contents` gives the file's bytes or raises PictureError."""

    contents: Callable[[], bytes]
    limits: Limits = LIMITS

    def __call__(self, least: int = 0) -> Image.Image:
        return decode(self.contents(), self.limits, least)


class Source(Protocol):
    """Where pictures come from. `fingerprint` changes when the files do; `samples` sorts them into classes.

    Sources of files have `limits`, beyond which a picture is refused when it is read.
    """

    @property
    def name(self) -> str: ...

    def fingerprint(self) -> str: ...

    def samples(self) -> Samples: ...

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        """Index into `paths` and reader of each picture, in the order in which they lie in the source."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder of pictures."""

    root: Path
    limits: Limits = LIMITS

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @cached_property
    def listing(self) -> list[tuple[str, int, int]]:
        """(relative path, bytes, modification time in ns) of every file."""
        try:
            status = self.root.stat()
            return sorted(_scan(str(self.root), "", frozenset({(status.st_dev, status.st_ino)})))
        except OSError as error:
            raise UsageError(f"{error.filename}: cannot be listed: {error.strerror}") from None

    def fingerprint(self) -> str:
        return digest(str(self.root.resolve()), self.listing)

    def samples(self) -> Samples:
        return arrange((path for path, _, _ in self.listing), str(self.root))

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        for index, path in enumerate(paths):
            yield index, File(partial(read, os.path.join(self.root, path), self.limits), self.limits)


def _scan(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> list[tuple[str, int, int]]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # a dangling link: listed, and refused when it is read
                found.append((prefix + entry.name, -1, 0))
                continue
            if not stat.S_ISDIR(status.st_mode):
                found.append((prefix + entry.name, status.st_size, status.st_mtime_ns))
            elif (identity := (status.st_dev, status.st_ino)) not in above:  # a link may lead back up
                found += _scan(entry.path, f"{prefix}{entry.name}/", above | {identity})
    return found


@dataclass(frozen=True)
class Patterns:
    """The embedded data set: pictures that the program draws."""

    name: str = "patterns"
    counts: dict[str, int] = field(default_factory=lambda: dict(patterns.COUNTS))

    def fingerprint(self) -> str:
        # Drawn, not stored: what may change is the drawer itself.
        code = Path(patterns.__file__).read_bytes()
        return digest(hashlib.sha256(code).hexdigest(), [(part, count, 0) for part, count in self.counts.items()])

    def samples(self) -> Samples:
        parts, first = {}, 0
        for part, count in self.counts.items():
            indices = range(first, first + count)
            parts[part] = tuple(
                (f"{part}/{patterns.CLASSES[patterns.label(i)]}/{i:05d}", patterns.label(i)) for i in indices
            )
            first += count
        return Samples(patterns.CLASSES, parts)

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        for index, path in enumerate(paths):
            yield index, partial(_draw, int(path.rsplit("/", 1)[1]))


def _draw(index: int, least: int = 0) -> Image.Image:
    return Image.fromarray(patterns.draw(index)[0])


def digest(what: str, listing: Iterable[tuple[str, int, int]]) -> str:
    """A fingerprint of (path, bytes, modification time) entries."""
    text = "\n".join([what, *[f"{path}\t{size}\t{time}" for path, size, time in listing]])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
