"""Data sets of Hugging Face's hub, by `hf:owner/name`: fetched and kept by its `datasets` library, decoded here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import AlexNetError, NetworkError, PictureError, UsageError
from alexnet.pictures.decode import read
from alexnet.pictures.hub.source import Split
from alexnet.pictures.sources import digest

PREFIX = "hf:"
NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Repository:
    """A data set of the hub; what was fetched once is not fetched again, and is there offline too (`HF_HOME`)."""

    repository: str

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2]

    @property
    def beside(self) -> Path | None:
        return None

    @cached_property
    def loaded(self) -> dict[str, Any]:
        """Split → table of the `datasets` library. Raises UsageError and NetworkError."""
        if not NAME.fullmatch(self.repository):
            raise UsageError(f"{PREFIX}{self.repository}: expected hf:owner/name, as hf:uoft-cs/cifar10")
        try:
            import datasets
        except ImportError:
            raise UsageError(f"{PREFIX}{self.repository} needs datasets: pip install 'alexnet[data]'") from None
        try:
            return dict(datasets.load_dataset(self.repository))
        except Exception as error:  # the library and those below it raise many kinds
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> AlexNetError:
        reason = " ".join(str(error).split())
        if isinstance(error, ConnectionError | TimeoutError) or "OfflineMode" in type(error).__name__:
            remedy = "get online once (HF_HUB_OFFLINE unset), or put its parquet files into a folder and name that"
            return NetworkError(f"{PREFIX}{self.repository}: {reason}; {remedy}")
        remedy = "see https://huggingface.co/datasets; for a closed one accept its terms there and: hf auth login"
        return UsageError(f"{PREFIX}{self.repository}: {reason}; {remedy}")

    def fingerprint(self) -> str:
        files = [entry["filename"] for table in self.loaded.values() for entry in table.cache_files]
        status = [(os.path.basename(file), os.stat(file)) for file in files]
        return digest(self.repository, [(name, found.st_size, found.st_mtime_ns) for name, found in status])

    def splits(self) -> dict[str, Split]:
        return {name: self._split(table) for name, table in self.loaded.items()}

    def _split(self, table: Any) -> Split:
        import datasets

        picture, label = (
            next((name for name, feature in table.features.items() if isinstance(feature, kind)), None)
            for kind in (datasets.Image, datasets.ClassLabel)
        )
        if not picture or not label:
            there = ", ".join(table.features)
            raise UsageError(f"{PREFIX}{self.repository}: no column of pictures and of classes among {there}")
        undecoded = table.cast_column(picture, datasets.Image(decode=False))  # the one decoder is ours
        chunks = undecoded.data.column(picture).chunks
        files = [file for chunk in chunks for file in chunk.field("path").to_pylist()]
        labels = undecoded.data.column(label).to_numpy().astype(np.int64)
        classes = tuple(table.features[label].names)
        return Split(classes, labels, [file or "" for file in files], partial(_contents, undecoded, picture))


def kept(repository: str) -> Path | None:
    """Where the library keeps a data set that it has fetched; None where it has not."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    folder = os.environ.get("HF_DATASETS_CACHE") or os.path.join(home, "datasets")
    path = Path(folder).expanduser() / repository.replace("/", "___")
    return path if path.is_dir() else None


def _contents(table: Any, column: str, rows: NDArray[np.int64]) -> Iterator[bytes | None]:
    for row in rows.tolist():
        cell = table[row][column]
        yield cell and (cell["bytes"] or _file(cell["path"]))


def _file(path: str | None) -> bytes | None:
    """A picture that the data set has as a file of its own."""
    try:
        return read(path) if path else None
    except PictureError:
        return None
