"""Pictures in a zip or tar file."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from PIL import Image

from alexnet.errors import AlexNetError, UsageError
from alexnet.pictures.decode import decode
from alexnet.pictures.layout import Samples, arrange
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.sources import Read, digest

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

    def samples(self) -> Samples:
        with self.whole():
            return arrange({name for name, _, _ in self.members()}, str(self.file))

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        wanted = {path: index for index, path in enumerate(paths)}
        with self.whole():
            for name, size, contents in self.members():
                if name in wanted:
                    data = contents() if size <= self.limits.bytes else None
                    yield wanted[name], partial(_decode, data, size, self.limits)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Turn whatever a damaged archive raises into our error; the libraries below raise a dozen kinds."""
        try:
            yield
        except (AlexNetError, GeneratorExit):
            raise
        except Exception as error:
            raise UsageError(f"{self.file}: not a whole zip or tar archive: {error}") from None

    def members(self) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
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


def _decode(data: bytes | None, size: int, limits: Limits, least: int = 0) -> Image.Image:
    """A picture of so many bytes, which were not read if there are too many."""
    limits.check_bytes(size)
    assert data is not None
    return decode(data, limits, least)
