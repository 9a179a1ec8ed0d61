"""Files written whole or not at all: whoever reads one, also after a crash, finds the old or the new, never half."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from alexnet.errors import StorageError, UsageError, reason

LONGEST = 240  # bytes of a name that leave room for ".partial" in the 255 of most file systems


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a name beside `path` to write to, which becomes `path` when the block ends well: flushed, renamed, and the
    folder flushed too. Otherwise nothing is left. Raises StorageError where the system refuses."""
    start, dot, endings = path.name.partition(".")  # a writer may go by the ending, .weights.h5 too
    if len(os.fsencode(path.name)) > LONGEST:
        start = hashlib.sha256(os.fsencode(start)).hexdigest()
    partial = path.with_name(f".{start}.partial{dot}{endings}")
    try:
        yield partial
        publish(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from None
        raise


def publish(partial: Path, path: Path) -> None:
    """Let a file that is complete take its name, so that both are on the disk."""
    # Only Windows wants a file open for writing to flush it; a link's file may be one that nobody may write to.
    with partial.open("rb" if os.name == "posix" else "rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    flush(path.parent)


def writable(path: Path) -> None:
    """Raise StorageError unless files can be made in a folder, or in the next one above a path that is there: better
    said before the work than after it."""
    folder = path if path.is_dir() else path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()  # without a name, so that nothing can be left behind
    except OSError as error:
        raise StorageError(
            f"{path}: nothing can be written in {folder}: {error.strerror}; choose another place"
        ) from None


def new_folder(folder: Path, force: bool, by: str = "--force") -> None:
    """Raise an error unless a folder may be written: UsageError where something is in it, unless `force`, which `by`
    asks for, and where a file stands in its place; StorageError where the system refuses."""
    if folder.exists() and not (folder.is_dir() and (force or not any(folder.iterdir()))):
        raise UsageError(f"{folder} exists; choose another folder, or overwrite what is in it with {by}")
    writable(folder)


def flush(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system lets one ask for that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process has `path` to itself, and have it. The system ends that with the process that has it,
    so that it cannot be left behind; the empty file beside `path` stays. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("a")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from None
    with lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def lock(file: IO[str] | int) -> bool:
    """Have an open file, or a folder by its descriptor, to ourselves while it is open; whether nobody else has it. The
    system ends that with the process, so that it cannot be left behind."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def sweep(folder: Path) -> None:
    """Remove what processes that were killed were writing in a folder, and below it."""
    for partial in folder.rglob(".*.partial*"):
        partial.unlink(missing_ok=True)


def link(path: Path, name: Path) -> None:
    """Let `name` be another name of the file `path`; a copy where the file system has no links."""
    if name.exists() and name.samefile(path):
        return
    with whole(name) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(path, partial)
        except OSError:
            shutil.copyfile(path, partial)


def link_bytes(path: Path, folder: Path) -> int:
    """Bytes that a `link` to the file takes in a folder: none on one file system, else a copy's."""
    file = path.stat()
    return 0 if file.st_dev == folder.stat().st_dev else file.st_size


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that a program wrote; empty where there is no file. Raises UsageError."""
    try:
        document = json.loads(path.read_text("utf-8", errors="surrogateescape"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {reason(error)}") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path}: not what was written there")
    return document


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table with a heading; none where there is no file. Raises UsageError."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
            return list(csv.DictReader(stream))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read: {reason(error)}") from None


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8; names of files that are not UTF-8 keep their bytes."""
    with whole(path) as partial:
        partial.write_text(text, "utf-8", errors="surrogateescape")


def write_json(path: Path, document: Any) -> None:
    """A JSON document."""
    write_text(path, json.dumps(document, indent=1) + "\n")


def write_csv(path: Path, heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table, as csv."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(heading)
    table.writerows(rows)
    write_text(path, text.getvalue())


def changes(before: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> list[str]:
    """Where two JSON documents differ, in words: "recipe.epochs was 3 and is 30"."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changes(old, new, f"{where}{key}.")
        elif old != new:
            found.append(f"{where}{key} was {old!s:.60} and is {new!s:.60}")
    return found
