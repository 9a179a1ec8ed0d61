"""The nearest of many pictures by the features of a layer, exactly (paper §6.1, figure 4, right).

Distances to all are first estimated by products in float32, at the speed of the memory. What float32 can be off by is
known, so that the rows which may be among the nearest are known too; theirs are then computed in float64. The answer is
that of computing all of them in float64; among equal distances the earlier row comes first.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import NetworkError, PictureError, UsageError, unknown
from alexnet.insight.features import folder as feature_folder
from alexnet.pictures.batches import ahead
from alexnet.pictures.decode import decode, read
from alexnet.pictures.prepare import source_of
from alexnet.pictures.sources import Source

Metric = Literal["euclidean", "cosine"]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]

FEW = 4  # queries, below which products one by one are quicker than a product of matrices
BLOCK = 2**23  # values of rows that are made float64, or multiplied by one thread, at a time
KEPT = 2**25  # estimates in memory at a time: queries times rows
UNIT = 2.0**-24  # float32: a rounded value is off by this share of itself at most
SMALLEST = 2.0**-126  # float32: below this a product may be off by as much


@dataclass(frozen=True)
class Index:
    """A folder of features in which to search: one layer of it. `vectors` float32 [rows, D] stay on the disk."""

    folder: Path
    document: dict[str, Any]
    layer: str
    vectors: Floats
    squares: Doubles
    paths: list[str]
    labels: list[str | None]

    @classmethod
    def open(cls, folder: str | os.PathLike[str], layer: str | None = None) -> Index:
        """The index in a folder that `alexnet features` wrote; `layer` by default the first there. Raises UsageError
        for another folder, one that is not complete or damaged, and a layer that it does not hold."""
        place = Path(folder)
        document = feature_folder.read(place)
        if "state" in document:
            raise UsageError(f"{folder}: begun and not finished; repeat the command that makes it with --resume")
        if document["form"] != "npy":
            raise UsageError(f"{folder}: made with --parquet; neighbours searches .npy arrays, made without")
        layer = next(iter(document["layers"])) if layer is None else layer
        if layer not in document["layers"]:
            raise unknown(f"layer in {folder}", layer, document["layers"])
        try:
            rows, size = document["rows"], math.prod(document["layers"][layer])
            vectors = _array(place / f"{layer}.npy", np.float32, rows).reshape(rows, size)
            squares = np.array(_array(place / f"{layer}.squares.npy", np.float64, rows))
            paths, labels = _listing(place / feature_folder.TABLE, rows)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise UsageError(f"{folder}: damaged: {error}; make it anew with alexnet features") from None
        return cls(place, document, layer, vectors, squares, paths, labels)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def lengths(self) -> Doubles:
        """Euclidean length of each row."""
        return np.asarray(np.sqrt(self.squares))

    def search(self, vectors: Floats, count: int, metric: Metric = "euclidean") -> tuple[Doubles, Rows]:
        """Distances and rows of the `count` nearest to each query, nearest first: float64 and int64 [Q, count]; fewer
        columns where there are fewer rows.

        `vectors` float32 [Q, D] (or [Q, …], taken as such). Cosine: 1 minus the cosine of the angle, from 0 to 2; 1
        to a vector of zeros, which has no direction. Raises UsageError for vectors that do not fit.
        """
        given, size = math.prod(vectors.shape[1:]), self.vectors.shape[1]
        if given != size:
            raise UsageError(f"queries of {given} values for {self.folder}, whose rows have {size}")
        queries = np.ascontiguousarray(vectors, np.float32).reshape(-1, size)
        if not np.isfinite(queries).all():
            raise UsageError("a query holds values that are not finite")
        nearest = min(count, len(self))
        distances, rows = np.empty((len(queries), nearest)), np.empty((len(queries), nearest), np.int64)
        step = max(1, KEPT // max(1, len(self)))
        for start in range(0, len(queries), step) if nearest else ():
            some = queries[start : start + step]
            for place, (query, dots) in enumerate(zip(some, products(self.vectors, some), strict=True), start):
                candidates = self._candidates(query, dots, nearest, metric)
                exact = self._exact(query, candidates, metric)
                order = np.argsort(exact, kind="stable")[:nearest]
                distances[place], rows[place] = exact[order], candidates[order]
        return distances, rows

    def _candidates(self, query: Floats, dots: Floats, count: int, metric: Metric) -> Rows:
        """Every row that may be among the nearest, in order, given products that are off by rounding alone."""
        size = math.sqrt(np.sum(np.square(query, dtype=np.float64)))
        terms = len(query)
        # Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; and float64's own, more than enough.
        off = (terms * UNIT / (1 - terms * UNIT) + 1e-11) * size * self.lengths + terms * SMALLEST
        wide = dots.astype(np.float64)
        if metric == "euclidean":
            estimate, off = self.squares - 2 * wide, 2 * off + 1e-11 * (self.squares + size**2)
        else:
            both = size * self.lengths
            scale = np.divide(1, both, out=np.zeros_like(both), where=both > 0)
            estimate, off = -wide * scale, off * scale + 1e-11
        unsure = ~np.isfinite(estimate)  # beyond what float32 can hold
        estimate[unsure], off[unsure] = 0, np.inf
        return np.flatnonzero(estimate - off <= np.partition(estimate + off, count - 1)[count - 1])

    def _exact(self, query: Floats, rows: Rows, metric: Metric) -> Doubles:
        step = max(1, BLOCK // self.vectors.shape[1])
        blocks = (self.vectors[rows[start : start + step]] for start in range(0, len(rows), step))
        return np.concatenate([_distances(block, query, metric) for block in blocks])

    def picture(self, row: int) -> Image.Image:
        """The picture of a row, from the file or data set that it came from. Raises PictureError where it is not there
        any more, or came from elsewhere: nothing is fetched."""
        path, places = self.paths[row], self.document["places"]
        if path.startswith(("http://", "https://")):
            raise PictureError("came from the network, and is not fetched again")
        try:
            if places["data"] is None:
                return decode(read(os.path.join(places["folder"], path)))
            for _, load in self._source.pictures([path]):
                return load(0)
        except (UsageError, NetworkError, KeyError) as error:
            raise PictureError(f"its data set has gone: {error}") from None
        raise PictureError("its data set does not hold it any more")

    @cached_property
    def _source(self) -> Source:
        return source_of(self.document["places"]["data"])


def products(vectors: Floats, queries: Floats) -> Floats:
    """float32 [N, D] times float32 [Q, D] → [Q, N]. Few queries take the time in which the memory is read once."""
    found = np.empty((len(queries), len(vectors)), np.float32)

    def one_by_one(rows: slice) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # noticed where they are used
            for place, query in enumerate(queries):
                np.vecdot(vectors[rows], query, out=found[place, rows])

    def together(rows: slice) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            found[:, rows] = (vectors[rows] @ queries.T).T  # the other way round takes four times as long

    if len(queries) < FEW:  # on threads of our own: BLAS has none for what is read but once
        for _ in ahead(one_by_one, _slices(vectors, BLOCK), os.cpu_count() or 1):
            pass
    else:
        for rows in _slices(vectors, 8 * BLOCK):
            together(rows)
    return found


def _slices(vectors: Floats, values: int) -> Iterator[slice]:
    """Rows of about so many values together, one after the other."""
    step = max(1, values // max(1, vectors.shape[1]))
    return (slice(start, start + step) for start in range(0, len(vectors), step))


def _distances(vectors: Floats, query: Floats, metric: Metric) -> Doubles:
    """[N] of [N, D] to [D], in float64."""
    wide, target = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "euclidean":
        return np.asarray(np.sqrt(np.square(wide - target).sum(axis=1)))
    both = np.sqrt(np.square(wide).sum(axis=1) * np.square(target).sum())
    cosine = np.divide((wide * target).sum(axis=1), both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(1 - cosine.clip(-1, 1))


def _array(path: Path, kind: type[np.generic], rows: int) -> NDArray[Any]:
    """An array of the folder, mapped. Raises ValueError for one of another kind."""
    # An array of no rows cannot be mapped.
    found: NDArray[Any] = np.load(path, mmap_mode="r" if rows else None, allow_pickle=False)
    if found.dtype != kind or found.shape[:1] != (rows,):
        raise ValueError(f"{path.name} is {found.dtype} {found.shape}, not {np.dtype(kind)} of {rows} rows")
    return found.view(np.ndarray)


def _listing(path: Path, rows: int) -> tuple[list[str], list[str | None]]:
    """Path and class of each row."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        entries = [entry for entry in csv.DictReader(file) if entry["row"]]
    if [entry["row"] for entry in entries] != list(map(str, range(rows))):
        raise ValueError(f"{path.name} does not list {rows} rows in order")
    return [entry["path"] for entry in entries], [entry["label"] or None for entry in entries]
