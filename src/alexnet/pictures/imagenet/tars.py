"""Where each file lies in a tar that is not compressed: found from its headings alone, so that pictures can be read in
any order, on any thread, and an archive of 138 GB need not be read twice."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from alexnet.errors import PictureError, UsageError
from alexnet.pictures.limits import Limits


@dataclass(frozen=True, slots=True)
class Extent:
    """Some bytes of a file."""

    file: Path
    start: int
    size: int

    def read(self, limits: Limits) -> bytes:
        """Raises PictureError."""
        limits.check_bytes(self.size)
        try:
            with self.file.open("rb", buffering=0) as stream:
                stream.seek(self.start)
                data = stream.read(self.size)
        except OSError as error:
            raise PictureError(error.strerror or str(error)) from None
        if len(data) != self.size:
            raise PictureError("the archive that holds it has become shorter")
        return data


def extents(file: Path) -> Iterator[tuple[str, Extent]]:
    """Name and place of every file in a tar, also of those in the tars in it, behind the name of theirs without its
    ending. Raises UsageError for one that is cut off or no tar."""
    try:
        with file.open("rb") as stream:
            yield from _members(file, stream, 0, "")
    except (OSError, tarfile.TarError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{file}: not a whole tar archive: {reason}; download it anew") from None


def _members(file: Path, stream: IO[bytes], start: int, prefix: str) -> Iterator[tuple[str, Extent]]:
    stream.seek(start)
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while member := archive.next():
            archive.members.clear()  # type: ignore[attr-defined]  # which would keep a kilobyte for each
            if not member.isfile():
                continue
            name = prefix + str(PurePosixPath(member.name))
            if name.endswith(".tar"):
                yield from _members(file, stream, member.offset_data, f"{name.removesuffix('.tar')}/")
            else:
                yield name, Extent(file, member.offset_data, member.size)
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes a cut between two for the end
            raise tarfile.ReadError(f"{prefix.rstrip('/') or 'it'} is cut off")
