"""The folder of a run: whose it is, and that nobody else writes there meanwhile."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet.errors import StorageError, UsageError


@contextmanager
def own(folder: Path, force: bool, existing: bool = False) -> Iterator[None]:
    """Have the run folder to ourselves. Raises UsageError if it is in use, or exists and may not."""
    if not existing and folder.exists() and any(folder.iterdir()):
        if not force:
            raise UsageError(f"{folder} exists; choose another --out, --resume it, or overwrite it with --force")
        if not (folder / "config.json").is_file():
            raise UsageError(f"{folder} is not a run folder; --force overwrites runs alone")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a+") as lock:
            _lock(folder, lock)
            if not existing:
                _empty(folder)
            yield
    except OSError as error:
        raise StorageError(f"{error.filename or folder}: {error.strerror or error}") from None


def _lock(folder: Path, lock: io.TextIOWrapper) -> None:
    """The system drops this lock with the process that holds it, so that none can be stale."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{folder}: another process is training there; choose another --out") from None


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name != ".lock":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
