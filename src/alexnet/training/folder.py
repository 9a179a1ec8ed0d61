"""The folder of a run: whose it is, and that nobody else writes there meanwhile."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet.errors import StorageError, UsageError
from alexnet.storage import lock, write_json

LOCK = ".lock"
CONFIG = "config.json"


@contextmanager
def own(folder: Path, force: bool, existing: bool = False) -> Iterator[None]:
    """Have the run folder to ourselves. Raises UsageError if it is in use, or exists and may not.

    What an earlier run left there stays until `clear`; a folder to which nothing was written goes again.
    """
    if _content(folder) and not existing:
        if not force:
            raise UsageError(f"{folder} exists; choose another --out, --resume it, or overwrite it with --force")
        if not (folder / CONFIG).is_file():
            raise UsageError(f"{folder} is not a run folder; --force overwrites runs alone")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("a+") as file:
            if not lock(file):
                raise UsageError(f"{folder}: another process is training there; choose another --out")
            try:
                yield
            finally:
                if not _content(folder):
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise StorageError(_reason(folder, error)) from None


def _content(folder: Path) -> list[Path]:
    """What lies in a folder besides the lock."""
    try:
        return [entry for entry in folder.iterdir() if entry.name != LOCK]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{folder}: cannot be a run folder: {error.strerror}") from None


def claim(folder: Path, job: str) -> None:
    """Let the lock say which job of torchrun the run belongs to."""
    (folder / LOCK).write_text(job)


def claimed(folder: Path, job: str) -> bool:
    """Whether the run in a folder is one that this job of torchrun has begun: when it starts again, it goes on."""
    try:
        begun = bool(json.loads((folder / CONFIG).read_text("utf-8")))
        return begun and bool(job) and (folder / LOCK).read_text("utf-8") == job
    except (OSError, ValueError):
        return False


def clear(folder: Path) -> None:
    """Remove what an earlier run left, but for an empty configuration: a process killed here leaves a folder that
    `--force` knows for a run's and that nobody can resume."""
    entries = _content(folder)
    if not entries:
        return
    write_json(folder / CONFIG, {})
    for entry in entries:
        if entry.name != CONFIG:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def occupied(folder: Path) -> int:
    """Bytes that `clear` would free; a file of two names counts once, and not at all if it has one elsewhere."""
    found = [entry.lstat() for entry in folder.rglob("*") if not entry.is_dir()]
    names = Counter(status.st_ino for status in found)
    return sum({s.st_ino: s.st_size for s in found if names[s.st_ino] == s.st_nlink}.values())


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say of what the disk refuses how the run goes on. Raises StorageError."""
    try:
        yield
    except (OSError, StorageError) as error:
        reason = _reason(folder, error) if isinstance(error, OSError) else error
        raise StorageError(f"{reason}; once that is mended, go on with: alexnet train --resume {folder}") from None


def _reason(folder: Path, error: OSError) -> str:
    return f"{error.filename or folder}: {error.strerror or error}"
