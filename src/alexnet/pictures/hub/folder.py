"""A folder of parquet files, as one gets them from the hub: `data/train-00000-of-00294.parquet` and so on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.pictures import parquet
from alexnet.pictures.hub.source import Split
from alexnet.pictures.sources import digest

SPLIT = re.compile(r"[A-Za-z]+")


def parquets(root: Path) -> list[Path]:
    """The parquet files of a folder, or of `data` in it, in the order of their names."""
    return sorted(root.glob("*.parquet")) or sorted(root.glob("data/*.parquet"))


@dataclass(frozen=True)
class ParquetFolder:
    """The parquet files in a folder: a column of pictures as the hub has them, and one of classes."""

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
        found: dict[str, list[str]] = {}
        for file in parquets(self.root):
            match = SPLIT.match(file.name)
            found.setdefault(match[0] if match else file.stem, []).append(str(file))
        return {name: _split(files) for name, files in found.items()}


def _split(files: list[str]) -> Split:
    with parquet.opened(files[0]) as file:
        picture, label, classes = _columns(files[0], file.schema_arrow)
    labels, groups, paths = list[NDArray[np.int64]](), list[parquet.Group](), list[str]()
    for path in files:
        with parquet.opened(path) as file:
            labels.append(file.read([label])[label].to_numpy().astype(np.int64))
            found, called = parquet.survey(path, file, picture)
        groups += found
        paths += [text or "" for text in called]
    every = np.concatenate(labels)
    counted = map(str, range(every.max(initial=-1) + 1))
    return Split(classes or tuple(counted), every, paths, partial(parquet.taken, groups))


def _columns(file: str, schema: Any) -> tuple[parquet.Column, str, tuple[str, ...]]:
    """The columns of pictures and of labels, and the names of the classes where the file says them."""
    fields = {field.name: str(field.type) for field in schema}
    told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    pictures = [column for column in parquet.columns(schema).values() if column.paths]  # bytes alone may be anything
    labels = [name for name in told if told[name].get("_type") == "ClassLabel" and name in fields]
    labels = labels or [name for name in ("label", "labels") if fields.get(name, "").startswith("int")]
    if not pictures or not labels:
        raise UsageError(f"{file}: no column of pictures and of classes among {', '.join(fields)}")
    return pictures[0], labels[0], tuple(told.get(labels[0], {}).get("names", ()))
