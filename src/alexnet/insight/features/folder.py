"""A folder of features: what lies in it, how it grows and is gone on with after a kill, how it takes its name.

`features.json` says what it holds: the model by name and digest, layers, arithmetic, pictures. `<layer>.npy` is float32
[rows, …], `<layer>.squares.npy` float64 [rows] the squared length of each row, `index.csv` has the row, path, class and
error of each picture, in order; one that was refused has no row. With parquet there is `features.parquet` in place of
the arrays.

Until everything is there the folder is called `<name>.unfinished`, and its `features.json` says how far it has come:
rows are flushed first, then that file is replaced. Whatever a process that was killed wrote beyond is cut off.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import AlexNetError, StorageError, UsageError
from alexnet.insight.features.growing import Array, Table
from alexnet.insight.features.layers import Values
from alexnet.storage import changes, flush, lock, write_json

FORMAT = 1
DOCUMENT, TABLE, PARQUET = "features.json", "index.csv", "features.parquet"
COLUMNS = ("row", "path", "label", "error")
COMPARED = ("model", "layers", "precision", "pictures", "form")  # of a document; may not change on resume

Found = tuple[Sequence[tuple[str, str | None, AlexNetError | None]], Values]
"""Of some pictures path, class and why they are refused, and what the layers make of the others."""


@dataclass(frozen=True)
class State:
    """How far an unfinished folder has come: pictures done, rows written, pictures refused, the gravest exit code of
    one, and where index.csv ends, in bytes."""

    done: int = 0
    rows: int = 0
    refused: int = 0
    code: int = 0
    table: int = 0


def read(folder: Path) -> dict[str, Any]:
    """The document of a folder, finished or not. Raises UsageError where it is none."""
    try:
        document = json.loads((folder / DOCUMENT).read_text("utf-8"))
        if document["format"] != FORMAT:
            raise UsageError(f"{folder}: features of format {document['format']}; this version reads {FORMAT}")
        return dict(document)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: not a folder of features; alexnet features makes one") from None
    except OSError as error:
        raise UsageError(f"{folder}: {DOCUMENT} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder}: {DOCUMENT} is damaged: {type(error).__name__}: {error}; make it anew") from None


def listing(paths: Sequence[str]) -> str:
    """SHA-256 of the names of pictures."""
    return hashlib.sha256("\n".join(paths).encode("utf-8", "surrogateescape")).hexdigest()


def compare(
    folder: Path,
    plan: dict[str, Any],
    before: dict[str, Any],
    keys: Sequence[str] = COMPARED,
    remedy: str = "cannot go on there: {}; begin anew with --force",
) -> None:
    """Raise UsageError where a folder was begun with another plan."""
    old, new = (
        {key: document.get(key) for key in keys} | {"layers": ", ".join(document["layers"])}
        for document in (before, plan)
    )
    if found := changes(old, new):
        raise UsageError(f"{folder}: {remedy.format('; '.join(found))}")


# ------------------------------------------------------------------------------------------------------- while it grows


class Unfinished:
    """The files of an unfinished folder, open for writing behind what was kept."""

    def __init__(self, folder: Path, plan: dict[str, Any], state: State) -> None:
        self.folder, self.plan, self.state = folder, plan, state
        layers, rows = plan["layers"].items(), state.rows
        self.table = Table(folder / TABLE, COLUMNS, state.table)
        self.arrays = {name: Array(folder / f"{name}.npy", shape, np.float32, rows) for name, shape in layers}
        self.squares = {name: Array(folder / f"{name}.squares.npy", (), np.float64, rows) for name, _ in layers}
        self.files: list[Array | Table] = [*self.arrays.values(), *self.squares.values(), self.table]

    def append(self, some: Found) -> None:
        """More pictures."""
        found, values = some
        rows = count(self.state.rows)
        self.table.append(["" if error else next(rows), path, label, error] for path, label, error in found)
        for name, value in values.items():
            flat = value.reshape(len(value), math.prod(value.shape[1:]))
            self.arrays[name].append(value)
            self.squares[name].append(np.einsum("nd,nd->n", flat, flat, dtype=np.float64))
        errors = [error for _, _, error in found if error]
        self.state = State(
            done=self.state.done + len(found),
            rows=next(rows),
            refused=self.state.refused + len(errors),
            code=max(self.state.code, *(error.exit_code for error in errors), 0),
            table=self.table.end,
        )

    def keep(self) -> None:
        """Have it on the disk up to the last `append` that came to its end, then say so."""
        for file in self.files:
            file.flush()
        write_state(self.folder, self.plan, self.state)

    def close(self) -> None:
        for file in self.files:
            file.close()


def write_state(folder: Path, plan: dict[str, Any], state: State) -> None:
    write_json(folder / DOCUMENT, plan | {"state": asdict(state)})


@contextmanager
def own(folder: Path) -> Iterator[None]:
    """Have an unfinished folder, which is made if need be, to ourselves; the system ends that with the process. Raises
    UsageError where another process writes there, StorageError that says how to go on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            yield
    except (OSError, StorageError) as error:
        reason = error if isinstance(error, StorageError) else f"{error.filename or folder}: {error.strerror or error}"
        raise StorageError(f"{reason}; once that is mended, repeat the command with --resume") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not lock(descriptor):
            raise UsageError(f"{folder}: another process is writing there; choose another --out")
        yield
    finally:
        os.close(descriptor)


# -------------------------------------------------------------------------------------------------- when it is complete


def publish(unfinished: Path, folder: Path, document: dict[str, Any]) -> None:
    """Let a folder that is complete take its name, and the place of an earlier one."""
    write_json(unfinished / DOCUMENT, document)
    if folder.exists():
        remove(folder)
    unfinished.rename(folder)
    flush(folder.absolute().parent)


def foreign(folder: Path) -> list[str]:
    """What lies in a folder that no features are made of."""
    if not folder.is_dir():
        return [folder.name]
    names = {entry.name: entry for entry in folder.iterdir()}
    known = {DOCUMENT, TABLE, PARQUET} if DOCUMENT in names else set()
    return [
        name
        for name, entry in names.items()
        if name not in known and not (".partial" in name or (known and name.endswith(".npy") and entry.is_file()))
    ]


def remove(folder: Path) -> None:
    """The document last: who is killed here leaves a folder that is known for what it was."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == DOCUMENT):
        entry.unlink()
    folder.rmdir()
