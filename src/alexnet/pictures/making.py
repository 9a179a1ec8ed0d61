"""The making of a store: pictures decoded and packed on all cores, piece by piece, and what is said of the whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alexnet.errors import PictureError
from alexnet.pictures import store_pieces
from alexnet.pictures.decode import Decoding, Resize, fit, least
from alexnet.pictures.forms import FORMS, Kept
from alexnet.pictures.layout import Samples
from alexnet.pictures.repeats import repeats
from alexnet.pictures.sources import Read, Source
from alexnet.pictures.store import FORMAT, REFUSED
from alexnet.pictures.store_pieces import DIGEST, Made, Making, Packed, Piece
from alexnet.progress import progress, say

REFUSED_SHARE = 0.01  # of the pictures, that `skip` leaves out without complaint

Unreadable = Literal["refuse", "skip"]
Record = Callable[[Path, Piece, Made], None]


@dataclass(frozen=True)
class Plan:
    """What is made of each file, how it is kept, and what is done about files of which nothing can be made."""

    size: int
    resize: Resize
    decode: Decoding
    kept: Kept = "raw"
    unreadable: Unreadable = "refuse"

    @property
    def picture(self) -> tuple[int, int, int]:
        return self.size, self.size, 3

    @property
    def picture_bytes(self) -> int:
        """Of raw pixels."""
        return 3 * self.size**2

    def attempt(self, read: Read) -> Packed | PictureError:
        """A picture, packed, and its digest; or why there is none."""
        try:
            picture = np.ascontiguousarray(fit(read(least(self.size, self.decode)), self.size, self.resize))
        except PictureError as error:
            return error
        packed = FORMS[self.kept].pack(picture)
        return packed, hashlib.blake2b(packed, digest_size=DIGEST).digest()

    def pieces(self, samples: Samples) -> dict[str, list[Piece]]:
        """The pieces of each part."""
        return {
            part: store_pieces.pieces_of(part, len(entries), self.picture_bytes)
            for part, entries in samples.parts.items()
        }

    def large(self, samples: Samples) -> bool:
        """Whether any part takes several pieces, so that it is worth while to keep what is finished."""
        return any(len(pieces) > 1 for pieces in self.pieces(samples).values())


def write(source: Source, samples: Samples, folder: Path, plan: Plan) -> None:
    """Make a store of the samples, but for what of it is finished there. Raises PictureError where pictures are refused
    that may not be."""
    refused: dict[str, str] = {}
    seen = []
    parts: dict[str, dict[str, Any]] = {}
    record = store_pieces.record if plan.large(samples) else store_pieces.unrecorded
    for name, pieces in plan.pieces(samples).items():
        paths = [path for path, _ in samples.parts[name]]
        finished = _make_part(source, paths, pieces, folder, plan, record)
        whole = store_pieces.joined(finished, pieces)
        labels = np.array([label for _, label in samples.parts[name]], np.int64)
        labels[[*whole.refused]] = REFUSED
        refused |= {paths[row]: why for row, why in sorted(whole.refused.items())}
        np.save(folder / f"{name}.labels.npy", labels)
        (folder / f"{name}.paths.txt").write_text("\n".join(map(json.dumps, paths)), "utf-8")
        decoded = labels != REFUSED
        seen.append((whole.digests[decoded], np.full(decoded.sum(), len(parts)), labels[decoded]))
        parts[name] = {
            "count": len(paths),
            "digest": hashlib.sha256(labels.tobytes() + whole.digests.tobytes()).hexdigest(),
            "shards": [
                {"name": piece.name, "count": len(piece.rows), "digest": store_pieces.digest(held)}
                for piece, held in zip(pieces, finished, strict=True)
            ],
        }
    _judge(refused, sum(map(len, samples.parts.values())), plan.unreadable)
    document = {
        "format": FORMAT,
        "name": source.name,
        "classes": samples.classes,
        "codes": samples.codes,
        "size": plan.size,
        "resize": plan.resize,
        "decode": plan.decode,
        "store": plan.kept,
        "parts": parts,
        "skipped": refused,
        "strays": len(samples.strays),
        "repeated": repeats(*map(np.concatenate, zip(*seen, strict=True))),
    }
    (folder / "partial").write_text(json.dumps(document, indent=1), "utf-8")
    (folder / "partial").rename(folder / "store.json")  # at once: with this file the store is whole


def _make_part(
    source: Source, paths: list[str], pieces: list[Piece], folder: Path, plan: Plan, record: Record
) -> list[Made]:
    """Make those pieces of a part that are not finished yet; what all of them hold."""
    finished = {piece: known for piece in pieces if (known := store_pieces.recorded(folder, piece))}
    left = [piece for piece in pieces if piece not in finished]
    rows = [row for piece in left for row in piece.rows]
    making: dict[Piece, Making] = {}
    waiting: list[Future[None]] = []
    with ExitStack() as files, ThreadPoolExecutor(1) as recorder:  # which waits for the disk while others decode

        def add(piece: Piece) -> Making:
            making[piece] = Making(folder, piece, plan.kept, plan.picture)
            files.enter_context(making[piece].files)
            return making[piece]

        outcomes = made(source, [paths[row] for row in rows], plan)
        for index, outcome in progress(outcomes, len(rows), f"preparing {pieces[0].name.partition('.')[0]}"):
            piece = pieces[rows[index] // len(pieces[0].rows)]
            one = making.get(piece) or add(piece)
            one.add(rows[index], outcome)
            if not one.left:
                finished[piece] = making.pop(piece).finish()
                waiting.append(recorder.submit(record, folder, piece, finished[piece]))
        for piece in (piece for piece in left if piece not in finished):  # of which the source lacks files by now
            finished[piece] = (making.get(piece) or add(piece)).finish()
        for written in waiting:
            written.result()
    return [finished[piece] for piece in pieces]


def made(source: Source, paths: list[str], plan: Plan) -> Generator[tuple[int, Packed | PictureError], None, None]:
    """Index and what was made of every picture, on all cores; a bounded number of files is in memory at once."""
    workers = os.cpu_count() or 1
    waiting: deque[tuple[int, Future[Packed | PictureError]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for index, read in source.pictures(paths):
            waiting.append((index, pool.submit(plan.attempt, read)))
            if len(waiting) > 8 * workers:
                index, future = waiting.popleft()
                yield index, future.result()
        for index, future in waiting:
            yield index, future.result()


def _judge(refused: dict[str, str], count: int, unreadable: str) -> None:
    """Raise unless every picture was decoded or the user allowed for a few that were not."""
    if not refused:
        return
    path, reason = next(iter(refused.items()))
    more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
    if unreadable != "skip":
        remedy = "train --skip-list F or --set unreadable=skip, prepare --unreadable skip"
        raise PictureError(f"{path}: {reason}{more}; repair or leave out ({remedy})")
    if len(refused) > REFUSED_SHARE * count:
        raise PictureError(f"{path}: {reason}{more}; more than {REFUSED_SHARE:.0%} of {count:,} are unreadable")
    say(f"skipped {len(refused)} unreadable pictures, the first {path}: {reason}")
