"""A part of a store in shards of a gigabyte, each of which is finished for good when it is: what a process that was
killed has made need not be made again.

A part that fits into one shard is one file, `<part>.npy`; the shards of a larger one are `<part>.00000.npy` and so on.
While a store is made, `<shard>.made.json` says that a shard is finished, and what its pictures were.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import PictureError
from alexnet.pictures.decode import Pixels
from alexnet.pictures.forms import FORMS, Kept, Pictures, Rows
from alexnet.storage import write_json

SHARD_BYTES = 2**30  # of raw pixels in a shard, at most: 5,461 pictures of 256 x 256, half a minute of two cores
DIGEST = 32  # bytes
GONE = "its source holds no such file any more"

Packed = tuple[memoryview, bytes]
"""A picture as it is kept, and its digest."""


class Shard(NamedTuple):
    """Some rows of a part, in files that begin with `name`."""

    name: str
    rows: range


def shards_of(part: str, count: int, picture_bytes: int) -> list[Shard]:
    """The shards of a part; all but the last have as many pictures."""
    rows = max(1, SHARD_BYTES // picture_bytes)
    if count <= rows:
        return [Shard(part, range(count))]
    return [Shard(f"{part}.{first // rows:05d}", range(count)[first : first + rows]) for first in range(0, count, rows)]


# ------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Shards:
    """The pictures of several shards as those of one; `first` int64 [shards] is the row at which each begins."""

    pieces: tuple[Pictures, ...]
    first: NDArray[np.int64]
    shape: tuple[int, ...]

    def __getitem__(self, rows: Rows, /) -> Pixels:
        wanted = np.arange(*rows.indices(self.shape[0])) if isinstance(rows, slice) else rows
        pictures = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        piece = np.searchsorted(self.first, wanted, side="right") - 1
        for number in np.unique(piece):
            here = np.flatnonzero(piece == number)
            pictures[here] = self.pieces[number][wanted[here] - self.first[number]]
        return pictures


def opened(folder: Path, kept: Kept, shards: list[tuple[str, int]], picture: tuple[int, int, int]) -> Pictures:
    """The pictures of a part in shards of some names and counts. Raises ValueError or OSError."""
    pieces = [FORMS[kept].open(folder, name, (count, *picture)) for name, count in shards]
    if len(pieces) == 1:
        return pieces[0]
    counts = np.array([count for _, count in shards])
    return Shards(tuple(pieces), np.cumsum(counts) - counts, (int(counts.sum()), *picture))


# -------------------------------------------------------------------------------------------------------------- making


@dataclass(frozen=True)
class Made:
    """What the pictures of a shard, or of a part, were: digests uint8 [N, DIGEST], zero for one that was refused, and
    why it was, by row."""

    digests: NDArray[np.uint8]
    refused: dict[int, str]


class Making:
    """A shard that is being made; `files` closes what it writes to."""

    def __init__(self, folder: Path, shard: Shard, kept: Kept, picture: tuple[int, int, int]) -> None:
        self.files = ExitStack()
        self.rows = shard.rows
        self._put = self.files.enter_context(FORMS[kept].create(folder, shard.name, (len(shard.rows), *picture)))
        self._digests = np.zeros((len(shard.rows), DIGEST), np.uint8)
        self._refused = dict.fromkeys(range(len(shard.rows)), GONE)
        self.left = len(shard.rows)

    def add(self, row: int, outcome: Packed | PictureError) -> None:
        """A picture of the part, or why there is none."""
        row -= self.rows.start
        self.left -= 1
        if isinstance(outcome, PictureError):
            self._refused[row] = str(outcome)
            return
        packed, digest = outcome
        self._put(row, packed)
        self._digests[row] = np.frombuffer(digest, np.uint8)
        del self._refused[row]

    def finish(self) -> Made:
        self.files.close()
        return Made(self._digests, self._refused)


def record(folder: Path, shard: Shard, made: Made) -> None:
    """Have a finished shard on the disk, and then that it is finished."""
    for file in folder.glob(f"{shard.name}.*"):
        with file.open("rb+") as written:
            os.fsync(written.fileno())
    write_json(_record(folder, shard), {"digests": made.digests.tobytes().hex(), "refused": [*made.refused.items()]})


def unrecorded(folder: Path, shard: Shard, made: Made) -> None:
    """For a store that is made in seconds: nothing is kept of it before it is whole."""


def recorded(folder: Path, shard: Shard) -> Made | None:
    """What a shard that is finished was; None where it is not."""
    try:
        document = json.loads(_record(folder, shard).read_text("utf-8"))
        digests = np.frombuffer(bytes.fromhex(document["digests"]), np.uint8).reshape(len(shard.rows), DIGEST)
        return Made(digests, dict(document["refused"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.name}.made.json"


def forget(folder: Path) -> None:
    """Remove the records, which a finished store needs no more."""
    for file in folder.glob("*.made.json"):
        file.unlink()


def joined(pieces: list[Made], shards: list[Shard]) -> Made:
    """What the pictures of all shards were."""
    refused = {
        shard.rows[row]: why for shard, made in zip(shards, pieces, strict=True) for row, why in made.refused.items()
    }
    return Made(np.concatenate([made.digests for made in pieces]), refused)


def digest(made: Made) -> str:
    """Of the pictures of a shard, as `store.json` has it."""
    return hashlib.sha256(made.digests.tobytes()).hexdigest()
