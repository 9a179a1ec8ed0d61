"""Files written whole or not at all: whoever reads one, also after a crash, finds the old or the new, never half."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alexnet.errors import StorageError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a name beside `path` to write to, which becomes `path` when the block ends well: flushed, renamed, and the
    folder flushed too. Otherwise nothing is left. Raises StorageError where the system refuses."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        _publish(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _publish(partial: Path, path: Path) -> None:
    partial.chmod(path.parent.stat().st_mode & 0o666)  # as open to others as its folder
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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
