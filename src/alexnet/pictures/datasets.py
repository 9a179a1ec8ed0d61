"""From what the user has to samples: a folder, archive, table or name → classes, parts, and a way to read pictures.

DATA is a folder of class folders; a folder with train*/, val*/, test*/ of class folders; a zip or tar of either; a csv
of path and label (and split); a prepared store; or a name. Wrapping folders are looked through.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import lzma
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import AlexNetError, PictureError, UsageError
from alexnet.pictures import chance, patterns
from alexnet.pictures.decode import LIMITS, decode, read

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = {
    TRAIN: re.compile(r"train(ing)?([-_ ]?(set|data|images?|\d+))?", re.IGNORECASE),
    VALIDATION: re.compile(r"val(id(ation)?)?([-_ ]?(set|data|images?|\d+))?", re.IGNORECASE),
    TEST: re.compile(r"test(ing)?([-_ ]?(set|data|images?|\d+))?", re.IGNORECASE),
}
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .pbm .pgm .ppm .pnm .avif".split()
)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz")

Read = Callable[[], Image.Image]
"""Decodes one picture; raises PictureError."""


class Source(Protocol):
    """Where pictures come from. `fingerprint` changes when the files do; `samples` sorts them into classes."""

    @property
    def name(self) -> str: ...

    def fingerprint(self) -> str: ...

    def samples(self) -> Samples: ...

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        """Index into `paths` and reader of each picture, in the order in which they lie in the source."""
        ...


@dataclass(frozen=True)
class Samples:
    """Which pictures there are: classes in order, and for each part the paths with their class index.

    `strays` are files that lie in the source but are no samples.
    """

    classes: tuple[str, ...]
    parts: dict[str, tuple[tuple[str, int], ...]]
    strays: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ paths to samples


def arrange(paths: Iterable[str], what: str) -> Samples:
    """Sort relative paths into parts and classes by the folders they lie in.

    Raises UsageError where there are no pictures, no class folders, or fewer than two classes.
    """
    files = [PurePosixPath(path) for path in sorted(paths)]
    pictures = [path for path in files if is_picture(path)]
    strays = tuple(str(path) for path in files if not is_picture(path) and not _is_hidden(path))
    if not pictures:
        raise UsageError(f"{what}: no pictures found; expected folders of pictures, one folder a class")
    labelled = list(_label(pictures, what))
    names = sorted({label for _, label, _ in labelled})
    if "" in names:
        example = next(str(path) for _, label, path in labelled if not label)
        raise UsageError(f"{what}: {example} lies in no class folder; expected one folder a class")
    if len(names) < 2:
        raise UsageError(f"{what}: only one class ({names[0]}) found; a classifier needs two folders or more")
    return _samples(labelled, names, strays)


def _samples(labelled: Sequence[tuple[str, str, PurePosixPath]], names: list[str], strays: tuple[str, ...]) -> Samples:
    number = {name: index for index, name in enumerate(names)}
    parts = {
        part: tuple((str(path), number[label]) for p, label, path in labelled if p == part)
        for part in PARTS
        if any(p == part for p, _, _ in labelled)
    }
    return Samples(tuple(names), parts, strays)


def _is_hidden(path: PurePosixPath) -> bool:
    return any(piece.startswith((".", "__MACOSX")) for piece in path.parts)


def is_picture(path: PurePosixPath) -> bool:
    """Whether a name is that of a picture, and of none that a system hid."""
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path)


def _label(paths: Sequence[PurePosixPath], what: str) -> Iterator[tuple[str, str, PurePosixPath]]:
    """(part, class, path) of each path; class is empty for a picture that lies in no class folder."""
    depth = _wrapping(paths, frozenset(PARTS))
    names = {path.parts[depth] for path in paths if len(path.parts) > depth + 1}
    parts = {name: part for name in names if (part := _part(name))}
    if TRAIN in parts.values() and len(set(parts.values())) > 1 and len(parts) < len(names):
        other = min(names - parts.keys())
        raise UsageError(
            f"{what}: the folder {other!r} lies beside {', '.join(sorted(parts))}: is it a class or a part?"
        )
    if not parts or len(parts) < len(names):  # no parts, or folders that are none beside them: all are classes
        for path in paths:
            yield TRAIN, _folder(path, depth), path
        return
    for name, part in parts.items():
        inside = [path for path in paths if path.parts[depth] == name]
        below = depth + 1 + _wrapping([PurePosixPath(*path.parts[depth + 1 :]) for path in inside])
        for path in inside:
            yield part, _folder(path, below), path
    yield from ((TRAIN, "", path) for path in paths if len(path.parts) == depth + 1)


def _folder(path: PurePosixPath, depth: int) -> str:
    return path.parts[depth] if len(path.parts) > depth + 1 else ""


def _wrapping(paths: Sequence[PurePosixPath], keep: frozenset[str] = frozenset()) -> int:
    """How many folders wrap everything: a lone folder is looked through if folders, not pictures, lie in it, and it
    is not one of the parts to `keep`."""
    depth = 0
    while all(len(path.parts) > depth + 2 for path in paths) and len({path.parts[depth] for path in paths}) == 1:
        if _part(paths[0].parts[depth]) in keep:
            break
        depth += 1
    return depth


def _part(name: str) -> str | None:
    return next((part for part, pattern in PARTS.items() if pattern.fullmatch(name)), None)


# --------------------------------------------------------------------------------------------------------- sources


@dataclass(frozen=True)
class Folder:
    """A folder of pictures."""

    root: Path

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
        return _digest(str(self.root.resolve()), self.listing)

    def samples(self) -> Samples:
        return arrange((path for path, _, _ in self.listing), str(self.root))

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        for index, path in enumerate(paths):
            yield index, partial(_read_file, self.root / path)


def _scan(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # a dangling link: listed, and refused when it is read
                yield f"{prefix}{entry.name}", -1, 0
                continue
            identity = (status.st_dev, status.st_ino)
            if not stat.S_ISDIR(status.st_mode):
                yield f"{prefix}{entry.name}", status.st_size, status.st_mtime_ns
            elif identity not in above:  # a link may lead back up
                yield from _scan(entry.path, f"{prefix}{entry.name}/", above | {identity})


def _read_file(path: Path) -> Image.Image:
    return decode(read(path))


@dataclass(frozen=True)
class Archive:
    """A zip or tar file, read in one pass from front to back."""

    file: Path

    @property
    def name(self) -> str:
        return self.file.name.split(".")[0]

    def fingerprint(self) -> str:
        status = self.file.stat()
        return _digest(str(self.file.resolve()), [(self.file.name, status.st_size, status.st_mtime_ns)])

    def samples(self) -> Samples:
        with self._whole():
            return arrange({name for name, _, _ in self._members()}, str(self.file))

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        wanted = {path: index for index, path in enumerate(paths)}
        with self._whole():
            for name, size, contents in self._members():
                if name in wanted:
                    read = partial(decode, contents()) if size <= LIMITS.bytes else partial(_refuse, size)
                    yield wanted[name], read

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Turn whatever a damaged archive raises into our error; the libraries below raise a dozen kinds."""
        try:
            yield
        except (AlexNetError, GeneratorExit):
            raise
        except Exception as error:
            raise UsageError(f"{self.file}: not a whole zip or tar archive: {error}") from None

    def _members(self) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
        """Name, size and a way to read each file, from front to back; a tar may hold newer copies further back."""
        return self._zip() if zipfile.is_zipfile(self.file) else self._tar()

    def _zip(self) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
        with zipfile.ZipFile(self.file) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    yield str(PurePosixPath(member.filename)), member.file_size, partial(archive.read, member)

    def _tar(self) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
        with _decompressed(self.file) as whole, tarfile.open(fileobj=whole, mode="r|") as archive:
            for member in archive:
                if member.isfile():
                    stream = archive.extractfile(member)
                    assert stream is not None
                    yield str(PurePosixPath(member.name)), member.size, stream.read
            while whole.read(2**20):  # to the end, where a compressed file that was cut off is found out
                pass


def _decompressed(file: Path) -> IO[bytes]:
    with file.open("rb") as stream:
        head = stream.read(6)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(file))
    return cast(IO[bytes], lzma.open(file)) if head == b"\xfd7zXZ\0" else file.open("rb")


def _refuse(size: int) -> Image.Image:
    raise PictureError(f"{size:,} bytes are more than the limit of {LIMITS.bytes:,}")


@dataclass(frozen=True)
class Table:
    """A csv file of path and label, and optionally split, with or without a heading; paths relative to the file."""

    file: Path

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
            raise UsageError(f"{self.file}: not a readable csv file: {error}") from None
        if lines and lines[0][0].lower() in ("path", "file", "filename", "image"):
            del lines[0]
        for number, line in enumerate(lines, start=1):
            if len(line) < 2 or not line[0] or not line[1]:
                raise UsageError(f"{self.file}: row {number} is not 'path,label' or 'path,label,split'")
        return [(line[0], line[1], self._part(line[2] if len(line) > 2 else "")) for line in lines]

    def _part(self, name: str) -> str:
        part = _part(name) if name else TRAIN
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
        return _digest(str(self.file.resolve()), [*files, *labels])

    def samples(self) -> Samples:
        labelled = [(part, label, PurePosixPath(path)) for path, label, part in self.rows]
        names = sorted({label for _, label, _ in labelled})
        if len(names) < 2:
            raise UsageError(f"{self.file}: {len(names)} classes found; a classifier needs two or more")
        return _samples(labelled, names, ())

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        for index, path in enumerate(paths):
            yield index, partial(_read_file, self.file.parent / path)


@dataclass(frozen=True)
class Patterns:
    """The embedded data set: pictures that the program draws."""

    name: str = "patterns"
    counts: dict[str, int] = field(default_factory=lambda: dict(patterns.COUNTS))

    def fingerprint(self) -> str:
        # Drawn, not stored: what may change is the drawer itself.
        code = Path(patterns.__file__).read_bytes()
        return _digest(hashlib.sha256(code).hexdigest(), [(part, count, 0) for part, count in self.counts.items()])

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


def _draw(index: int) -> Image.Image:
    return Image.fromarray(patterns.draw(index)[0])


def _digest(what: str, listing: Iterable[tuple[str, int, int]]) -> str:
    text = "\n".join([what, *(f"{path}\t{size}\t{time}" for path, size, time in listing)])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


NAMED: dict[str, Callable[[], Source]] = {"patterns": Patterns}


def source(data: str | os.PathLike[str]) -> Source:
    """The source that DATA names. Raises UsageError when there is none, with what was expected."""
    if str(data) in NAMED:
        return NAMED[str(data)]()
    path = Path(data)
    try:
        there = path.exists()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        raise UsageError(f"{data}: no such file or folder, and no data set of that name ({', '.join(NAMED)})")
    if path.is_dir():
        return Folder(path)
    if path.suffix.lower() == ".csv":
        return Table(path)
    if path.name.lower().endswith(ARCHIVES):
        return Archive(path)
    raise UsageError(f"{data}: not a data set; expected a folder, {', '.join(ARCHIVES)} or .csv")


# ---------------------------------------------------------------------------------------------------------- splits


def split(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of what stays for training and of what is set aside: `fraction` of each class, drawn by `seed`.

    At least one picture of every class that has two or more is set aside, and at least one stays.
    """
    drawn = chance.order(seed, 0, len(labels), "validation")
    by_class = drawn[np.argsort(labels[drawn], kind="stable")]
    counts = np.bincount(labels)
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)  # within its class
    wanted = np.minimum(np.maximum(1, np.rint(fraction * counts)), np.maximum(counts - 1, 0))
    aside = place < np.repeat(wanted, counts)
    return np.sort(by_class[~aside]), np.sort(by_class[aside])
