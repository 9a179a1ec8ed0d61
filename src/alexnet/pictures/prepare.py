"""From any DATA to a store: made in a folder of the user's choice, or in the cache on first use."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from alexnet.environment import cache_folder, peak_memory
from alexnet.errors import PictureError, StorageError, UsageError
from alexnet.pictures import datasets, shards
from alexnet.pictures.decode import Decoding, Resize, fit, least
from alexnet.pictures.forms import FORMS, Kept
from alexnet.pictures.layout import Samples
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.repeats import repeats
from alexnet.pictures.shards import DIGEST, Made, Making, Packed, Shard
from alexnet.pictures.sources import Read, Source
from alexnet.pictures.store import FORMAT, REFUSED, Store, Stored, is_store, opened
from alexnet.progress import progress, say
from alexnet.storage import lock, writable

CACHE_BYTES = 50 * 10**9  # least recently used stores go when the cache would grow beyond this
REFUSED_SHARE = 0.01  # of the pictures, that `skip` leaves out without complaint
MEASURED = 256  # pictures from which the time that all of them take is forecast
BOOKKEEPING = 200  # bytes of memory that a picture that was made takes until the store is whole

Unreadable = Literal["refuse", "skip"]
Record = Callable[[Path, Shard, Made], None]


def open_store(
    data: str | os.PathLike[str],
    size: int = 256,
    resize: Resize = "crop",
    decode: Decoding = "full",
    *,
    leave_out: Collection[str] = (),
    unreadable: Unreadable = "refuse",
    limits: Limits = LIMITS,
) -> Store:
    """The pictures of DATA at `size` x `size`: the prepared store itself, or one from the cache, made if need be.

    A prepared store keeps its own rules of resizing and decoding. Raises PictureError for pictures that cannot be
    decoded or are beyond `limits`, unless `unreadable` is "skip" and they are at most 1 %.
    """
    if is_store(data):
        prepared = opened(Path(data))
        if prepared.size == size and not leave_out:
            return prepared
        resize, decode = prepared.resize, prepared.decode
    source = source_of(data, limits=limits)
    skipping = f"skip beyond {limits}" if unreadable == "skip" else unreadable  # else there is no store to tell apart
    rule = f"{FORMAT} {size} {resize} {decode} {skipping} {sorted(leave_out)} {source.fingerprint()}"
    folder = cache_folder() / "stores" / hashlib.sha256(rule.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    if not (folder / "store.json").is_file():
        plan = Plan(size, resize, decode, unreadable=unreadable)
        _prepare(source, without(source.samples(), leave_out), folder, plan, _passing)
    os.utime(folder / "store.json")  # last use, for the cache's clean-up
    return opened(folder)


def source_of(data: str | os.PathLike[str], origin: Path | None = None, limits: Limits = LIMITS) -> Source:
    """Where the pictures of DATA come from; `origin`: the folder with the files of a data set known by name.
    Raises UsageError."""
    if origin is not None:
        return datasets.source(datasets.located(data, origin), limits)
    return Stored(opened(Path(data))) if is_store(data) else datasets.source(data, limits)


def prepare(
    data: str | os.PathLike[str],
    folder: Path,
    size: int = 256,
    resize: Resize = "crop",
    force: bool = False,
    *,
    decode: Decoding = "full",
    kept: Kept = "raw",
    origin: Path | None = None,
    unreadable: Unreadable = "refuse",
    limits: Limits = LIMITS,
) -> Store:
    """Make a store of DATA in a folder of the user's choice, which must be new; `force` overwrites a store there.

    `origin`: the folder that holds the files of a data set known by name. A part of more than a gigabyte is made in
    shards; what a process that was stopped has finished of them is not made again by the next.
    """
    if folder.exists():
        if not force:
            raise UsageError(f"{folder} exists; choose another --out, or overwrite a store with --force")
        if not is_store(folder):
            raise UsageError(f"{folder} is not a store; --force overwrites stores alone")
    writable(folder)
    # An earlier store goes only when the new one is whole; DATA may even be the earlier one.
    new = folder.with_name(f".{folder.name}.new") if folder.exists() else folder
    source = source_of(data, origin, limits)
    if isinstance(source, Stored):  # whose pictures were decoded by its own rule
        decode = source.store.decode
    rule = f"{FORMAT} {size} {resize} {decode} {kept} {limits} {shards.SHARD_BYTES} {source.fingerprint()}"
    plan = Plan(size, resize, decode, kept, unreadable)
    _prepare(source, source.samples(), new, plan, partial(_lasting, rule=rule))
    if new != folder:
        shutil.rmtree(folder)
        new.rename(folder)
    return opened(folder)


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

    def shards(self, samples: Samples) -> dict[str, list[Shard]]:
        """The shards of each part."""
        return {
            part: shards.shards_of(part, len(entries), self.picture_bytes) for part, entries in samples.parts.items()
        }

    def large(self, samples: Samples) -> bool:
        """Whether any part takes several shards, so that it is worth while to keep what is finished."""
        return any(len(pieces) > 1 for pieces in self.shards(samples).values())


def _prepare(source: Source, samples: Samples, folder: Path, plan: Plan, workshop: Workshop) -> None:
    """Make a store of the samples; where it is made until it is whole, and whether there is room, `workshop` says."""
    count = sum(map(len, samples.parts.values()))
    most = round(count * plan.picture_bytes * FORMS[plan.kept].bytes)
    if samples.strays:
        say(f"{len(samples.strays):,} files are no pictures and are passed by, the first: {samples.strays[0]}")
    what = f"{count:,} pictures of {source.name} at {plan.size} x {plan.size}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with workshop(folder, what, most) as making:
            if not is_store(making):
                _forecast(source, samples, making, plan, most)
                _write(source, samples, making, plan)
            shards.forget(making)
            _publish(making, folder)
    except OSError as error:
        remedy = "name another cache with XDG_CACHE_HOME" if workshop is _passing else "choose another --out"
        raise StorageError(f"{error.filename or folder}: {error.strerror or error}; make room, or {remedy}") from None


Workshop = Callable[[Path, str, int], AbstractContextManager[Path]]
"""Gives the folder in which a store is made, for its own folder, what goes into it and how many bytes at most."""


@contextmanager
def _passing(folder: Path, what: str, most: int) -> Iterator[Path]:
    """For a store in the cache: what is not finished goes."""
    say(f"preparing {what}: {_bytes(most)} in {folder} (the cache may grow to {CACHE_BYTES / 1e9:.0f} GB)")
    _make_room(folder.parent, most)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent, ignore_cleanup_errors=True) as making:
        Path(making).chmod(0o755)
        yield Path(making)


@contextmanager
def _lasting(folder: Path, what: str, most: int, *, rule: str) -> Iterator[Path]:
    """For a store in a folder of the user's choice: shards that are finished stay for the next process that makes the
    same store of the same files."""
    say(f"preparing {what}: {_bytes(most)} in {folder}")
    making, owner = (folder.with_name(f".{folder.name}.{what}") for what in ("making", "owner"))
    with owner.open("a+") as file:
        if not lock(file):
            raise UsageError(f"{folder}: another process is preparing it; wait for it, or choose another --out")
        _begin(making, file, hashlib.sha256(rule.encode("utf-8", "surrogateescape")).hexdigest())
        try:
            yield making
        finally:
            if any(making.glob("*.made.json")):
                say(f"what is finished of {folder} stays in {making}; the same command goes on with it")
            else:
                shutil.rmtree(making, ignore_errors=True)
                owner.unlink(missing_ok=True)


def _begin(making: Path, owner: IO[str], rule: str) -> None:
    """Have a folder in which nothing lies, or what was made before by the same rule."""
    owner.seek(0)
    if (before := owner.read()) != rule:
        if before and making.exists():
            say(f"{making}: was made of other files or by another rule, and is begun anew")
        shutil.rmtree(making, ignore_errors=True)
        owner.truncate(0)
        owner.write(rule)
        owner.flush()
    making.mkdir(exist_ok=True)


def _forecast(source: Source, samples: Samples, making: Path, plan: Plan, most: int) -> None:
    """Refuse what the disk does not hold. What takes more than a shard is measured on its first pictures, so that it is
    said how long it takes."""
    pieces = plan.shards(samples)
    left = [
        path
        for part, entries in samples.parts.items()
        for shard in pieces[part]
        if not shards.recorded(making, shard)
        for path, _ in entries[shard.rows.start : shard.rows.stop]
    ]
    needed = _measured(source, left, plan) if left and plan.large(samples) else most
    free = shutil.disk_usage(making).free
    if free < needed:
        raise StorageError(
            f"{making.parent}: {_bytes(needed)} needed, {_bytes(free)} free; make room or use --out, or --store jpeg"
        )


def _measured(source: Source, paths: list[str], plan: Plan) -> int:
    """Bytes that pictures will take: the mean of the first ones and a deviation. Time and memory are said."""
    started = time.monotonic()
    with closing(_made(source, paths, plan)) as outcomes:
        sizes = [
            0 if isinstance(outcome, PictureError) else outcome[0].nbytes for _, outcome in islice(outcomes, MEASURED)
        ] or [plan.picture_bytes]
    rate = len(sizes) / (time.monotonic() - started)
    needed = round(len(paths) * (np.mean(sizes) + np.std(sizes)))
    say(
        f"{rate:.0f} pictures a second, measured on the first {len(sizes)}: {len(paths):,} take about "
        f"{timedelta(seconds=round(len(paths) / rate))} h, {_bytes(needed)} and "
        f"{_bytes(peak_memory() + BOOKKEEPING * len(paths))} of memory"
    )
    return needed


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def without(samples: Samples, leave_out: Collection[str]) -> Samples:
    """The samples but for some paths; what the list of those is worth is said in a line."""
    if not leave_out:
        return samples
    listed, parts = frozenset(leave_out), {}
    for name, entries in samples.parts.items():
        if kept := tuple((path, label) for path, label in entries if path not in listed):
            parts[name] = kept
    if not parts:
        raise UsageError("the skip list leaves out every picture")
    gone = sum(map(len, samples.parts.values())) - sum(map(len, parts.values()))
    say(f"the skip list leaves out {gone:,} pictures; it names {len(listed):,} paths")
    return replace(samples, parts=parts)


def _make_room(stores: Path, bytes_needed: int) -> None:
    """Drop least recently used stores until `bytes_needed` more fit under the cap."""
    if bytes_needed > CACHE_BYTES:
        remedy = "use alexnet prepare --out DIR, with --store jpeg where that is too much too"
        raise UsageError(f"{_bytes(bytes_needed)} are more than the cache may hold; {remedy}")
    for left in stores.glob(".making-*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > 24 * 3600:
            shutil.rmtree(left, ignore_errors=True)
    entries = sorted(stores.glob("*/store.json"), key=lambda entry: entry.stat().st_mtime)
    sizes = {entry.parent: sum(file.stat().st_size for file in entry.parent.iterdir()) for entry in entries}
    for folder in list(sizes):
        if sum(sizes.values()) + bytes_needed <= CACHE_BYTES:
            return
        say(f"the cache is full: dropping {folder.name} ({_bytes(sizes.pop(folder))}); it can be made again")
        shutil.rmtree(folder, ignore_errors=True)


def _publish(making: Path, folder: Path) -> None:
    """Give the finished store its name; if another process was faster, its store is the same and stays."""
    try:
        making.rename(folder)
    except OSError:
        if not is_store(folder):
            raise


def _write(source: Source, samples: Samples, folder: Path, plan: Plan) -> None:
    refused: dict[str, str] = {}
    seen = []
    parts: dict[str, dict[str, Any]] = {}
    record = shards.record if plan.large(samples) else shards.unrecorded
    for name, pieces in plan.shards(samples).items():
        paths = [path for path, _ in samples.parts[name]]
        finished = _make_part(source, paths, pieces, folder, plan, record)
        made = shards.joined(finished, pieces)
        labels = np.array([label for _, label in samples.parts[name]], np.int64)
        labels[[*made.refused]] = REFUSED
        refused |= {paths[row]: why for row, why in sorted(made.refused.items())}
        np.save(folder / f"{name}.labels.npy", labels)
        (folder / f"{name}.paths.txt").write_text("\n".join(map(json.dumps, paths)), "utf-8")
        decoded = labels != REFUSED
        seen.append((made.digests[decoded], np.full(decoded.sum(), len(parts)), labels[decoded]))
        parts[name] = {
            "count": len(paths),
            "digest": hashlib.sha256(labels.tobytes() + made.digests.tobytes()).hexdigest(),
            "shards": [
                {"name": shard.name, "count": len(shard.rows), "digest": shards.digest(piece)}
                for shard, piece in zip(pieces, finished, strict=True)
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
    (folder / "store.json").write_text(json.dumps(document, indent=1), "utf-8")


def _make_part(
    source: Source, paths: list[str], pieces: list[Shard], folder: Path, plan: Plan, record: Record
) -> list[Made]:
    """Make those shards of a part that are not finished yet; what all of them hold."""
    finished = {shard: made for shard in pieces if (made := shards.recorded(folder, shard))}
    left = [shard for shard in pieces if shard not in finished]
    rows = [row for shard in left for row in shard.rows]
    making: dict[Shard, Making] = {}
    waiting: list[Future[None]] = []
    with ExitStack() as files, ThreadPoolExecutor(1) as recorder:  # which waits for the disk while others decode

        def add(shard: Shard) -> Making:
            making[shard] = Making(folder, shard, plan.kept, plan.picture)
            files.enter_context(making[shard].files)
            return making[shard]

        outcomes = _made(source, [paths[row] for row in rows], plan)
        for index, outcome in progress(outcomes, len(rows), f"preparing {pieces[0].name.partition('.')[0]}"):
            shard = pieces[rows[index] // len(pieces[0].rows)]
            one = making.get(shard) or add(shard)
            one.add(rows[index], outcome)
            if not one.left:
                finished[shard] = making.pop(shard).finish()
                waiting.append(recorder.submit(record, folder, shard, finished[shard]))
        for shard in (shard for shard in left if shard not in finished):  # of which the source lacks files by now
            finished[shard] = (making.get(shard) or add(shard)).finish()
        for written in waiting:
            written.result()
    return [finished[shard] for shard in pieces]


def _made(source: Source, paths: list[str], plan: Plan) -> Generator[tuple[int, Packed | PictureError], None, None]:
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
