"""Parquet files on the disk, as one gets them from the hub: `data/train-00000-of-00294.parquet` and so on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.pictures.hub.rows import Split
from alexnet.pictures.sources import digest

SPLIT = re.compile(r"[A-Za-z]+")


def parquets(root: Path) -> list[Path]:
    """The parquet files of a folder, or of `data` in it, in the order of their names."""
    return sorted(root.glob("*.parquet")) or sorted(root.glob("data/*.parquet"))


@dataclass(frozen=True)
class Parquet:
    """The parquet files in a folder. Needs pyarrow; no more than a group of rows is in memory at once."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def beside(self) -> Path:
        return self.root

    def fingerprint(self) -> str:
        files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in parquets(self.root)]
        return digest(str(self.root.resolve()), files)

    def splits(self) -> dict[str, Split]:
        found: dict[str, list[Path]] = {}
        for file in parquets(self.root):
            match = SPLIT.match(file.name)
            found.setdefault(match[0] if match else file.stem, []).append(file)
        return {name: _split(files) for name, files in found.items()}


def _split(files: list[Path]) -> Split:
    opened = [_opened(file) for file in files]
    picture, label, names = _columns(files[0], opened[0].schema_arrow)
    try:
        tables = [file.read([label, f"{picture}.path"]) for file in opened]
        labels = np.concatenate([table.column(label).to_numpy() for table in tables]).astype(np.int64)
        named = [row and row["path"] for table in tables for row in table.column(picture).to_pylist()]
    except Exception as error:  # pyarrow raises a dozen kinds
        raise UsageError(
            f"{files[0].parent}: {' '.join(str(error).split())}; download its parquet files anew"
        ) from None
    counted = names or tuple(map(str, range(int(labels.max(initial=-1)) + 1)))
    return Split(counted, labels, [file or "" for file in named], partial(_contents, files, picture))


def _opened(file: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{file}: parquet needs pyarrow: pip install 'alexnet[data]'") from None
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (OSError, ValueError) as error:  # pyarrow's own are of these kinds
        raise UsageError(
            f"{file}: not a whole parquet file: {' '.join(str(error).split())}; download it anew"
        ) from None


def _columns(file: Path, schema: Any) -> tuple[str, str, tuple[str, ...]]:
    """The columns of pictures and of labels, and the names of the classes where the file says them."""
    fields = {field.name: str(field.type) for field in schema}
    told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    pictures = [name for name, kind in fields.items() if kind.startswith("struct<") and "bytes: binary" in kind]
    labels = [name for name in told if told[name].get("_type") == "ClassLabel" and name in fields]
    labels = labels or [name for name in ("label", "labels") if fields.get(name, "").startswith("int")]
    if not pictures or not labels:
        raise UsageError(f"{file}: no column of pictures and of classes among {', '.join(fields)}")
    return pictures[0], labels[0], tuple(told.get(labels[0], {}).get("names", ()))


def _contents(files: list[Path], column: str, rows: NDArray[np.int64]) -> Iterator[bytes | None]:
    """The files of some rows, which ascend; groups of rows of which none is wanted are not read."""
    first = 0
    for path in files:
        file = _opened(path)
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + count)] - first
            if len(here):
                pictures = file.read_row_group(group, [f"{column}.bytes"]).column(column)
                yield from (row and row["bytes"] for row in pictures.take(here).to_pylist())
            first += count
