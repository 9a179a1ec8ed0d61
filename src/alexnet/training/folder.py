"""The folder of a run: whose it is, and that nobody else writes there meanwhile."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet.errors import StorageError, UsageError

LOCK = ".lock"


@contextmanager
def own(folder: Path, force: bool, existing: bool = False) -> Iterator[None]:
    """Have the run folder to ourselves. Raises UsageError if it is in use, or exists and may not.

    What an earlier run left there stays until `clear`; a folder to which nothing was written goes again.
    """
    if not existing and _content(folder):
        if not force:
            raise UsageError(f"{folder} exists; choose another --out, --resume it, or overwrite it with --force")
        if not (folder / "config.json").is_file():
            raise UsageError(f"{folder} is not a run folder; --force overwrites runs alone")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("a+") as lock:
            _lock(folder, lock)
            try:
                yield
            finally:
                if not _content(folder):
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"{error.filename or folder}: {error.strerror or error}") from None


def _content(folder: Path) -> list[Path]:
    """What lies in a folder besides the lock."""
    try:
        return [entry for entry in folder.iterdir() if entry.name != LOCK]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{folder}: cannot be a run folder: {error.strerror}") from None


def clear(folder: Path) -> None:
    """Remove what an earlier run left."""
    for entry in _content(folder):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _lock(folder: Path, lock: io.TextIOWrapper) -> None:
    """The system drops this lock with the process that holds it, so that none can be stale."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{folder}: another process is training there; choose another --out") from None
