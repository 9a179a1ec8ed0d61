"""A part of a store in pieces of a gigabyte, each of which is finished for good when it is: what a process that was
killed has made need not be made again.

A part that fits into one piece is one file, `<part>.npy`; the pieces of a larger one are `<part>.00000.npy` and so on.
While a store is made, `<piece>.made.json` says that a piece is finished, and what its pictures were. `store.json` calls
pieces `shards`; the shards of a command (`--shard`) are another thing, `jobs`.
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
from alexnet.pictures.forms import FORMS, Kept, Pictures, Rows, read
from alexnet.storage import write_json

PIECE_BYTES = 2**30  # of raw pixels in a piece, at most: 5,461 pictures of 256 x 256, half a minute of two cores
DIGEST = 32  # bytes
GONE = "its source holds no such file any more"

Packed = tuple[memoryview, bytes]
"""A picture as it is kept, and its digest."""


class Piece(NamedTuple):
    """Some rows of a part, in files that begin with `name`."""

    name: str
    rows: range


def pieces_of(part: str, count: int, picture_bytes: int) -> list[Piece]:
    """The pieces of a part; all but the last have as many pictures."""
    rows = max(1, PIECE_BYTES // picture_bytes)
    if count <= rows:
        return [Piece(part, range(count))]
    return [Piece(f"{part}.{first // rows:05d}", range(count)[first : first + rows]) for first in range(0, count, rows)]


# ------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Pieces:
    """The pictures of several pieces as those of one; `first` int64 [pieces] is the row at which each begins."""

    several: tuple[Pictures, ...]
    first: NDArray[np.int64]
    shape: tuple[int, ...]

    def __getitem__(self, rows: Rows, /) -> Pixels:
        wanted = np.arange(*rows.indices(self.shape[0])) if isinstance(rows, slice) else rows
        pictures = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        place = np.searchsorted(self.first, wanted, side="right") - 1
        for number in np.unique(place):
            here = np.flatnonzero(place == number)
            pictures[here] = read(self.several[number], wanted[here] - self.first[number])
        return pictures


def opened(folder: Path, kept: Kept, pieces: list[tuple[str, int]], picture: tuple[int, int, int]) -> Pictures:
    """The pictures of a part in pieces of some names and counts. Raises ValueError or OSError."""
    several = [FORMS[kept].open(folder, name, (count, *picture)) for name, count in pieces]
    if len(several) == 1:
        return several[0]
    counts = np.array([count for _, count in pieces])
    return Pieces(tuple(several), np.cumsum(counts) - counts, (int(counts.sum()), *picture))


# -------------------------------------------------------------------------------------------------------------- making


@dataclass(frozen=True)
class Made:
    """What the pictures of a piece, or of a part, were: digests uint8 [N, DIGEST], zero for one that was refused, and
    why it was, by row."""

    digests: NDArray[np.uint8]
    refused: dict[int, str]


class Making:
    """A piece that is being made; `files` closes what it writes to."""

    def __init__(self, folder: Path, piece: Piece, kept: Kept, picture: tuple[int, int, int]) -> None:
        self.files = ExitStack()
        self.rows = piece.rows
        self._put = self.files.enter_context(FORMS[kept].create(folder, piece.name, (len(piece.rows), *picture)))
        self._digests = np.zeros((len(piece.rows), DIGEST), np.uint8)
        self._refused = dict.fromkeys(range(len(piece.rows)), GONE)
        self.left = len(piece.rows)

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


def record(folder: Path, piece: Piece, made: Made) -> None:
    """Have a finished piece on the disk, and then that it is finished."""
    for file in folder.glob(f"{piece.name}.*"):
        with file.open("rb+") as written:
            os.fsync(written.fileno())
    write_json(_record(folder, piece), {"digests": made.digests.tobytes().hex(), "refused": [*made.refused.items()]})


def unrecorded(folder: Path, piece: Piece, made: Made) -> None:
    """For a store that is made in seconds: nothing is kept of it before it is whole."""


def recorded(folder: Path, piece: Piece) -> Made | None:
    """What a piece that is finished was; None where it is not."""
    try:
        document = json.loads(_record(folder, piece).read_text("utf-8"))
        digests = np.frombuffer(bytes.fromhex(document["digests"]), np.uint8).reshape(len(piece.rows), DIGEST)
        return Made(digests, dict(document["refused"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(folder: Path, piece: Piece) -> Path:
    return folder / f"{piece.name}.made.json"


def forget(folder: Path) -> None:
    """Remove the records, which a finished store needs no more."""
    for file in folder.glob("*.made.json"):
        file.unlink()


def joined(several: list[Made], pieces: list[Piece]) -> Made:
    """What the pictures of all pieces were."""
    refused = {
        piece.rows[row]: why for piece, made in zip(pieces, several, strict=True) for row, why in made.refused.items()
    }
    return Made(np.concatenate([made.digests for made in several]), refused)


def digest(made: Made) -> str:
    """Of the pictures of a piece, as `store.json` has it."""
    return hashlib.sha256(made.digests.tobytes()).hexdigest()
