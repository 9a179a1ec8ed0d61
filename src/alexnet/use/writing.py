"""Answers about pictures as .csv, .json or .parquet, written while they come and read again; whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.errors import UsageError
from alexnet.storage import whole

COLUMNS = ("path", "label", "probability", "error")  # of a table of answers
ROWS = 2**16  # of a parquet file that are in memory at once

Entry = dict[str, Any]
Put = Callable[[Entry], object]
"""Writes one more answer."""


@dataclass(frozen=True)
class Form:
    """How a kind of file is written and read. What was read and is written again gives the same bytes."""

    write: Callable[[Path], AbstractContextManager[Put]]
    read: Callable[[Path], Iterator[Entry]]
    name: Callable[[str], str] = lambda path: path
    """A picture's name as the file has it."""


@contextmanager
def writing(out: Path | None) -> Iterator[Put]:
    """Gives what writes answers to a file, by its ending; without one, nothing is written. Raises UsageError and
    StorageError."""
    if out is None:
        yield lambda entry: None
        return
    with whole(out) as partial, FORMS[out.suffix.lower()].write(partial) as put:
        yield put


# ---------------------------------------------------------------------------------------------------------------- csv


@contextmanager
def _csv(path: Path) -> Iterator[Put]:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        yield lambda entry: table.writerow([entry.get(column) for column in COLUMNS])


def _of_csv(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield from csv.DictReader(file)


# --------------------------------------------------------------------------------------------------------------- json


@contextmanager
def _json(path: Path) -> Iterator[Put]:
    """What json.dump writes of a list, one entry after the other."""
    with path.open("w", encoding="utf-8") as file:
        separator = "[\n "

        def put(entry: Entry) -> None:
            nonlocal separator
            file.write(separator + json.dumps(entry, indent=1).replace("\n", "\n "))
            separator = ",\n "

        yield put
        file.write("[]\n" if separator == "[\n " else "\n]\n")


def _of_json(path: Path) -> Iterator[Entry]:
    yield from json.loads(path.read_text("utf-8"))


# ------------------------------------------------------------------------------------------------------------ parquet


def _library() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("--out .parquet needs pyarrow: pip install 'alexnet[data]'") from None
    return pyarrow


def _in_unicode(path: str) -> str:
    """A name without the bytes that are not UTF-8, which parquet cannot hold."""
    return path.encode("utf-8", "replace").decode()


@contextmanager
def _parquet(path: Path) -> Iterator[Put]:
    arrow = _library()
    kinds = (arrow.string(), arrow.string(), arrow.float64(), arrow.string())
    schema = arrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    rows: list[Entry] = []
    with arrow.parquet.ParquetWriter(path, schema) as writer:

        def put(entry: Entry) -> None:
            rows.append({column: entry.get(column) for column in COLUMNS} | {"path": _in_unicode(entry["path"])})
            if len(rows) == ROWS:
                flush()

        def flush() -> None:
            writer.write_table(arrow.Table.from_pylist(rows, schema))
            rows.clear()

        yield put
        if rows:
            flush()


def _of_parquet(path: Path) -> Iterator[Entry]:
    with _library().parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            yield from batch.to_pylist()


FORMS = {
    ".csv": Form(_csv, _of_csv),
    ".json": Form(_json, _of_json),
    ".parquet": Form(_parquet, _of_parquet, _in_unicode),
}
