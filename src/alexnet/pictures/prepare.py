"""From any DATA to a store: made in a folder of the user's choice, or in the cache on first use."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from alexnet import compiled
from alexnet.environment import cache_folder, keep_memory, peak_memory
from alexnet.errors import PictureError, StorageError, UsageError
from alexnet.network.architecture import Input
from alexnet.pictures import datasets, store_pieces
from alexnet.pictures.decode import Decoding, Resize
from alexnet.pictures.forms import FORMS, Kept
from alexnet.pictures.layout import Samples
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.making import Plan, Unreadable, made, write
from alexnet.pictures.sources import Source
from alexnet.pictures.store import FORMAT, Store, Stored, is_store, opened, rule_text
from alexnet.progress import say
from alexnet.storage import lock, writable

CACHE_BYTES = 50 * 10**9  # least recently used stores go when the cache would grow beyond this
MEASURED = 256  # pictures from which the time that all of them take is forecast
BOOKKEEPING = 200  # bytes of memory that a picture that was made takes until the store is whole


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
    with suppress(OSError):  # the cache is somebody else's, or cannot be written
        os.utime(folder / "store.json")  # last use, for the clean-up
    return opened(folder)


def open_for(rule: Input, data: str | os.PathLike[str], **kept: Any) -> Store:
    """The pictures of DATA as an input rule wants them; `kept` as `open_store` takes it. Raises UsageError too for a
    prepared store of another rule."""
    store = open_store(data, rule.stored, rule.resize, rule.decode, **kept)
    if store.rule != (wanted := rule_text(rule.resize, rule.decode)):
        raise UsageError(f"{data}: prepared with {store.rule}, but the model wants {wanted}")
    return store


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
    pieces; what a process that was stopped has finished of them is not made again by the next.
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
    rule = f"{FORMAT} {size} {resize} {decode} {kept} {limits} {store_pieces.PIECE_BYTES} {source.fingerprint()}"
    plan = Plan(size, resize, decode, kept, unreadable)
    _prepare(source, source.samples(), new, plan, partial(_lasting, rule=rule))
    if new != folder:
        shutil.rmtree(folder)
        new.rename(folder)
    return opened(folder)


def _prepare(source: Source, samples: Samples, folder: Path, plan: Plan, workshop: Workshop) -> None:
    """Make a store of the samples; where it is made until it is whole, and whether there is room, `workshop` says."""
    count = sum(map(len, samples.parts.values()))
    most = round(count * plan.picture_bytes * FORMS[plan.kept].bytes)
    if samples.strays:
        say(f"{len(samples.strays):,} files are no pictures and are passed by, the first: {samples.strays[0]}")
    what = f"{count:,} pictures of {source.name} at {plan.size} x {plan.size}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        keep_memory()  # of pictures, thousands of which come and go
        compiled.build(compiled.SCALING)
        with workshop(folder, what, most) as making:
            if not is_store(making):
                _forecast(source, samples, making, plan, most)
                write(source, samples, making, plan)
            store_pieces.forget(making)
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
    """For a store in a folder of the user's choice: pieces that are finished stay for the next process that makes the
    same store of the same files."""
    say(f"preparing {what}: {_bytes(most)} in {folder}")
    stem = os.fsdecode(os.fsencode(folder.name)[:200])  # a name has 255 bytes at most
    making, owner = (folder.with_name(f".{stem}.{what}") for what in ("making", "owner"))
    with owner.open("a+") as file:
        if not lock(file):
            raise UsageError(f"{folder}: another process is preparing it; wait for it, or choose another --out")
        try:
            _begin(making, file, hashlib.sha256(rule.encode("utf-8", "surrogateescape")).hexdigest())
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
    """Refuse what the disk does not hold. What takes more than a piece is measured on its first pictures, so that it is
    said how long it takes."""
    pieces = plan.pieces(samples)
    left = [
        path
        for part, entries in samples.parts.items()
        for piece in pieces[part]
        if not store_pieces.recorded(making, piece)
        for path, _ in entries[piece.rows.start : piece.rows.stop]
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
    with closing(made(source, paths, plan)) as outcomes:
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
