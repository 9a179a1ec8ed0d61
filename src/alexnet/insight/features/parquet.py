"""Features as one parquet file: a table of path, class and a list of numbers for each layer."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import UsageError
from alexnet.insight.features.folder import PARQUET, TABLE
from alexnet.insight.features.layers import Values
from alexnet.storage import whole

VALUES = 2**22  # of a group of rows, about


def library() -> Any:
    """pyarrow. Raises UsageError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("--parquet needs pyarrow: pip install 'alexnet[data]'") from None
    return pyarrow


def convert(folder: Path, layers: Mapping[str, Sequence[int]]) -> None:
    """Make `features.parquet` of a folder's arrays, which go; a group of rows at a time is in memory."""
    if not (folder / PARQUET).exists():
        arrow = library()
        lists = [(name, arrow.list_(arrow.float32(), math.prod(shape))) for name, shape in layers.items()]
        schema = arrow.schema([("path", arrow.string()), ("label", arrow.string()), *lists])
        with whole(folder / PARQUET) as partial, arrow.parquet.ParquetWriter(partial, schema) as writer:
            for columns in _groups(folder, layers):
                writer.write_table(arrow.Table.from_pydict(columns, schema))
    for array in folder.glob("*.npy"):
        array.unlink()


def blocks(folder: Path, layers: Mapping[str, Sequence[int]]) -> Iterator[Values]:
    """The rows of a folder's `features.parquet`, a group at a time."""
    with library().parquet.ParquetFile(folder / PARQUET) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, list(layers))
            yield {
                name: table[name].combine_chunks().flatten().to_numpy().reshape(-1, *shape)
                for name, shape in layers.items()
            }


def _groups(folder: Path, layers: Mapping[str, Sequence[int]]) -> Iterator[dict[str, Any]]:
    arrow = library()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in layers}
    size = max(1, VALUES // sum(map(math.prod, layers.values())))
    with (folder / TABLE).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        entries = (entry for entry in csv.DictReader(file) if entry["row"])
        start = 0
        while some := list(islice(entries, size)):
            paths = [entry["path"].encode("utf-8", "replace").decode() for entry in some]
            texts = {"path": paths, "label": [entry["label"] or None for entry in some]}
            lists = {
                name: arrow.FixedSizeListArray.from_arrays(
                    np.array(array[start : start + len(some)]).reshape(-1), math.prod(layers[name])
                )
                for name, array in arrays.items()
            }
            yield texts | lists
            start += len(some)
