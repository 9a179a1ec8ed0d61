"""Pictures in a zip or tar file."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from alexnet.errors import AlexNetError, PictureError, UsageError, reason
from alexnet.pictures.layout import Samples, arrange
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.sources import File, Read, digest

Kind = Literal["file", "folder", "link", "special"]
Contents = Callable[[], bytes]
Member = tuple[str, Kind, int, Contents]  # name, kind, bytes, and a way to read it
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz")


@dataclass(frozen=True)
class Archive:
    """A zip or tar file, read in one pass from front to back."""

    file: Path
    limits: Limits = LIMITS

    @property
    def name(self) -> str:
        return self.file.name.split(".")[0]

    def fingerprint(self) -> str:
        status = self.file.stat()
        return digest(str(self.file.resolve()), [(self.file.name, status.st_size, status.st_mtime_ns)])

    @cached_property
    def listing(self) -> list[tuple[str, Kind]]:
        """Name and kind of everything in it, from front to back."""
        with self.whole():
            return [(name, kind) for name, kind, _, _ in self._all()]

    def samples(self) -> Samples:
        return arrange({name for name, kind in self.listing if kind == "file"}, str(self.file))

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        wanted = {path: index for index, path in enumerate(paths)}
        left = Counter(name for name, kind in self.listing if kind == "file")
        with self.whole():
            for name, size, contents in self.members():
                left[name] -= 1
                if name in wanted and not left[name]:  # of several of one name the last counts, as when it is unpacked
                    yield wanted[name], File(_kept(contents, size, self.limits), self.limits)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Turn whatever a damaged archive raises into our error; the libraries below raise a dozen kinds."""
        try:
            yield
        except (AlexNetError, GeneratorExit):
            raise
        except Exception as error:
            raise UsageError(f"{self.file}: not a whole zip or tar archive: {reason(error)}") from None

    def members(self) -> Iterator[tuple[str, int, Contents]]:
        """Name, size and a way to read each file, from front to back; a tar may hold newer copies further back."""
        yield from ((name, size, contents) for name, kind, size, contents in self._all() if kind == "file")

    def _all(self) -> Iterator[Member]:
        return self._zip() if zipfile.is_zipfile(self.file) else self._tar()

    def _zip(self) -> Iterator[Member]:
        with zipfile.ZipFile(self.file) as archive:
            for member in archive.infolist():
                kind: Kind = "folder" if member.is_dir() else "file"
                name = str(PurePosixPath(member.filename))
                yield name, kind, member.file_size, partial(_from_zip, archive, member)

    def _tar(self) -> Iterator[Member]:
        with _decompressed(self.file) as whole, tarfile.open(fileobj=whole, mode="r|") as archive:
            for member in archive:
                name = str(PurePosixPath(member.name))
                yield name, _kind(member), member.size, partial(_from_tar, archive, member)
            # tarfile takes a cut between two files for the end, which is two blocks of zeros; it has read one.
            if archive.fileobj is None or archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it does not end as a tar does: it was cut off")
            while whole.read(2**20):  # to the end, where a compressed file that was cut off is found out
                pass


def _kind(member: tarfile.TarInfo) -> Kind:
    if member.isfile():
        return "file"
    return "folder" if member.isdir() else "link" if member.issym() or member.islnk() else "special"


def _decompressed(file: Path) -> IO[bytes]:
    with file.open("rb") as stream:
        head = stream.read(6)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(file))
    return cast(IO[bytes], lzma.open(file)) if head == b"\xfd7zXZ\0" else file.open("rb")


def _kept(contents: Contents, size: int, limits: Limits) -> Contents:
    """The contents, read now and given later, on any thread; or why there are none."""
    try:
        limits.check_bytes(size)
        return partial(bytes, contents())  # of bytes that makes no copy
    except PictureError as error:
        return partial(_raise, str(error))


def _from_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A file of a zip. One that is damaged, encrypted or packed in an unknown way does not spoil the others."""
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError) as error:
        raise PictureError(f"cannot be read from the zip: {error}") from None


def _from_tar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()


def _raise(reason: str) -> bytes:
    raise PictureError(reason)
