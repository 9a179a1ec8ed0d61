"""Zip files from anyone, as torch and Keras write them: members stored as they are, never unpacked to the disk."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from alexnet.errors import WeightsError

MAGIC = b"PK\x03\x04"
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
TAIL = 2**16 + 22  # bytes within which the end record lies: a comment's and its own
DIRECTORY = 2**20  # bytes of table of contents: some ten thousand members, read in 0.2 s


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file, once its table of contents is known to be harmless. Raises WeightsError, also for what zipfile
    says about members while it is open."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if _directory(file, size) > DIRECTORY:
                raise WeightsError(f"{path}: its table of contents is larger than {DIRECTORY:,} bytes")
            with zipfile.ZipFile(file) as archive:
                _check(path, archive, size)
                yield archive
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{path}: damaged, or not a whole zip file: {error}") from None


def _directory(file: BinaryIO, size: int) -> int:
    """Bytes of table of contents that zipfile would read at once, by the end record and its 64-bit form."""
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    place = tail.rfind(END)
    if place < 0 or place + 22 > len(tail):
        raise zipfile.BadZipFile("it has no end record")
    (length,) = struct.unpack_from("<L", tail, place + 12)
    if place >= 20 and tail[place - 20 : place - 16] == LOCATOR64:
        (offset,) = struct.unpack_from("<Q", tail, place - 12)
        file.seek(min(offset, size))
        record = file.read(56)
        if len(record) == 56 and record.startswith(END64):
            length = max(struct.unpack_from("<Q", record, 40)[0], 0 if length == 2**32 - 1 else length)
    return int(length)


def _check(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    """Raise WeightsError for members that are compressed, that claim more than the file, or that point elsewhere."""
    members = archive.infolist()
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in member.filename:
            raise WeightsError(f"{path}: a member is called {member.filename[:80]!r}, a name outside the file")
        if member.compress_type != zipfile.ZIP_STORED:
            raise WeightsError(f"{path}: {member.filename[:80]} is compressed, which files of weights are not")
    if sum(member.file_size for member in members) > size:
        raise WeightsError(f"{path}: its members claim more bytes than the file has")
    if len({member.filename for member in members}) < len(members):
        raise WeightsError(f"{path}: two members have the same name")
