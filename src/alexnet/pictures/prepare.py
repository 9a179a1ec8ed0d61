"""From any DATA to a store: made in a folder of the user's choice, or in the cache on first use."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from alexnet.environment import cache_folder
from alexnet.errors import PictureError, StorageError, UsageError
from alexnet.pictures import datasets
from alexnet.pictures.decode import Decoding, Resize, fit, least
from alexnet.pictures.forms import FORMS, Kept
from alexnet.pictures.layout import Samples
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.repeats import repeats
from alexnet.pictures.sources import Read, Source
from alexnet.pictures.store import FORMAT, REFUSED, Store, Stored, is_store, opened
from alexnet.progress import progress, say

CACHE_BYTES = 50 * 10**9  # least recently used stores go when the cache would grow beyond this
REFUSED_SHARE = 0.01  # of the pictures, that `skip` leaves out without complaint
DIGEST = 32  # bytes


def open_store(
    data: str | os.PathLike[str],
    size: int = 256,
    resize: Resize = "crop",
    decode: Decoding = "full",
    *,
    leave_out: Collection[str] = (),
    unreadable: Literal["refuse", "skip"] = "refuse",
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
        _prepare(source, folder, Plan(size, resize, decode), leave_out=leave_out, unreadable=unreadable, cached=True)
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
    limits: Limits = LIMITS,
) -> Store:
    """Make a store of DATA in a folder of the user's choice, which must be new; `force` overwrites a store there.

    `origin`: the folder that holds the files of a data set known by name.
    """
    if folder.exists():
        if not force:
            raise UsageError(f"{folder} exists; choose another --out, or overwrite a store with --force")
        if not is_store(folder):
            raise UsageError(f"{folder} is not a store; --force overwrites stores alone")
    # An earlier store goes only when the new one is whole; DATA may even be the earlier one.
    new = folder.with_name(f".{folder.name}.new") if folder.exists() else folder
    source = source_of(data, origin, limits)
    if isinstance(source, Stored):  # whose pictures were decoded by its own rule
        decode = source.store.decode
    _prepare(source, new, Plan(size, resize, decode, kept), leave_out=(), unreadable="refuse", cached=False)
    if new != folder:
        shutil.rmtree(folder)
        new.rename(folder)
    return opened(folder)


@dataclass(frozen=True)
class Plan:
    """What is made of each file, and how it is kept."""

    size: int
    resize: Resize
    decode: Decoding
    kept: Kept = "raw"

    def attempt(self, read: Read) -> tuple[memoryview, bytes] | PictureError:
        """A picture, packed, and its digest; or why there is none."""
        try:
            picture = np.ascontiguousarray(fit(read(least(self.size, self.decode)), self.size, self.resize))
        except PictureError as error:
            return error
        packed = FORMS[self.kept].pack(picture)
        return packed, hashlib.blake2b(packed, digest_size=DIGEST).digest()


def _prepare(
    source: Source,
    folder: Path,
    plan: Plan,
    *,
    leave_out: Collection[str],
    unreadable: str,
    cached: bool,
) -> None:
    samples = without(source.samples(), leave_out)
    count = sum(map(len, samples.parts.values()))
    bytes_needed = round(count * plan.size * plan.size * 3 * FORMS[plan.kept].bytes)
    cap = f" (the cache may grow to {CACHE_BYTES / 1e9:.0f} GB)" if cached else ""
    if samples.strays:
        say(f"{len(samples.strays):,} files are no pictures and are passed by, the first: {samples.strays[0]}")
    what = f"{count:,} pictures of {source.name} at {plan.size} x {plan.size}"
    say(f"preparing {what}: {_bytes(bytes_needed)} in {folder}{cap}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if cached:
            _make_room(folder.parent, bytes_needed)
        free = shutil.disk_usage(folder.parent).free
        if free < bytes_needed:
            raise StorageError(f"{folder}: {_bytes(bytes_needed)} needed, {_bytes(free)} free; make room or use --out")
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent, ignore_cleanup_errors=True) as making:
            _write(source, samples, Path(making), plan, unreadable)
            Path(making).chmod(0o755)
            _publish(Path(making), folder)
    except OSError as error:
        raise StorageError(f"{error.filename or folder}: {error.strerror or error}") from None


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


def _write(source: Source, samples: Samples, folder: Path, plan: Plan, unreadable: str) -> None:
    refused: dict[str, str] = {}
    seen = []
    parts: dict[str, dict[str, Any]] = {}
    for name, entries in samples.parts.items():
        paths = [path for path, _ in entries]
        labels = np.full(len(paths), REFUSED, np.int64)
        digests = np.zeros((len(paths), DIGEST), np.uint8)
        with FORMS[plan.kept].create(folder, name, (len(paths), plan.size, plan.size, 3)) as put:
            for index, made in progress(_made(source, paths, plan), len(paths), f"preparing {name}"):
                if isinstance(made, PictureError):
                    refused[paths[index]] = str(made)
                else:
                    packed, digest = made
                    labels[index] = entries[index][1]
                    put(index, packed)
                    digests[index] = np.frombuffer(digest, np.uint8)
        missing = [path for path, label in zip(paths, labels, strict=True) if label == REFUSED and path not in refused]
        refused |= dict.fromkeys(missing, "its source holds no such file any more")
        np.save(folder / f"{name}.labels.npy", labels)
        (folder / f"{name}.paths.txt").write_text("\n".join(map(json.dumps, paths)), "utf-8")
        decoded = labels != REFUSED
        seen.append((digests[decoded], np.full(decoded.sum(), len(parts)), labels[decoded]))
        parts[name] = {"count": len(paths), "digest": hashlib.sha256(labels.tobytes() + digests.tobytes()).hexdigest()}
    _judge(refused, sum(map(len, samples.parts.values())), unreadable)
    document = {
        "format": FORMAT,
        "name": source.name,
        "classes": samples.classes,
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


def _made(
    source: Source, paths: list[str], plan: Plan
) -> Iterator[tuple[int, tuple[memoryview, bytes] | PictureError]]:
    """Index and what was made of every picture, on all cores; a bounded number of files is in memory at once."""
    workers = os.cpu_count() or 1
    waiting: deque[tuple[int, Future[tuple[memoryview, bytes] | PictureError]]] = deque()
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
        raise PictureError(f"{path}: {reason}{more}; repair or leave out (--skip-list F, or --set unreadable=skip)")
    if len(refused) > REFUSED_SHARE * count:
        raise PictureError(f"{path}: {reason}{more}; more than {REFUSED_SHARE:.0%} of {count:,} are unreadable")
    say(f"skipped {len(refused)} unreadable pictures, the first {path}: {reason}")
