"""Pictures in the rows of parquet files, in any place: a column of bytes, or of structs of bytes and path, as the hub's
data sets have it. Needs pyarrow; no more than a group of rows is in memory at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, reason
from alexnet.pictures import uris

USUAL = "image"  # the column, where several could be meant


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """A parquet file as pyarrow has it. Raises UsageError, also for what is found damaged while it is read."""
    try:
        with uris.opened(path) as source, uris.library().parquet.ParquetFile(source) as file:
            yield file
    except (OSError, ValueError, LookupError, TypeError, NotImplementedError) as error:  # pyarrow's are of these kinds
        raise UsageError(f"{path}: cannot be read: {reason(error)}; if it is damaged, download it anew") from None


class Column(NamedTuple):
    """A column of pictures, by the names of what is stored: their bytes, and their paths, if there are any."""

    contents: str
    paths: str | None


def columns(schema: Any) -> dict[str, Column]:
    """The columns that may hold pictures, by name."""
    types = uris.library().types
    found = dict[str, Column]()
    for field in schema:
        inner = {part.name: part.type for part in field.type} if types.is_struct(field.type) else {}
        kind = inner.get("bytes", field.type)
        if types.is_binary(kind) or types.is_large_binary(kind):
            contents, paths = (f"{field.name}.{name}" if name in inner else None for name in ("bytes", "path"))
            found[field.name] = Column(contents or field.name, paths)
    return found


class Group(NamedTuple):
    """A group of `size` rows of a file, and what its pictures' bytes are called."""

    file: str
    number: int
    size: int
    column: str

    def contents(self, rows: Iterable[int]) -> Iterator[bytes | None]:
        """The bytes of the pictures in some of its rows, None where a row has none. Raises UsageError."""
        with opened(self.file) as file:
            values = file.read_row_group(self.number, [self.column]).flatten()[0]
        for row in rows:
            yield values[row].as_py()


def survey(path: str, file: Any, column: Column) -> tuple[list[Group], list[str | None]]:
    """The groups of an open file, and what its pictures are called, None where it does not say."""
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    groups = [Group(path, number, size, column.contents) for number, size in enumerate(sizes)]
    return groups, file.read([column.paths]).flatten()[0].to_pylist() if column.paths else [None] * sum(sizes)


def taken(groups: Iterable[Group], rows: NDArray[np.int64]) -> Iterator[bytes | None]:
    """The bytes of the pictures in some rows, which ascend and are counted from the first group's; groups of which
    none is wanted are not read."""
    first = 0
    for group in groups:
        here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + group.size)] - first
        if len(here):
            yield from group.contents(here.tolist())
        first += group.size


@dataclass(frozen=True)
class ParquetRows:
    """A picture in each row of some groups, by name; those of the first `ahead` rows are not among them."""

    names: Sequence[str]
    groups: Sequence[Group]
    ahead: int = 0

    @cached_property
    def starts(self) -> list[int]:
        """At which row each group begins, and one behind the last would."""
        return list(accumulate((group.size for group in self.groups), initial=0))

    def part(self, places: slice) -> ParquetRows:
        """Those from one place to another."""
        first, stop, _ = places.indices(len(self.names))
        begin = bisect_right(self.starts, first + self.ahead) - 1
        groups = self.groups[begin : bisect_left(self.starts, stop + self.ahead)]
        return ParquetRows(self.names[first:stop], groups, first + self.ahead - self.starts[begin])

    def contents(self) -> Iterator[bytes]:
        """Bytes of each, none where a row has no picture."""
        for data in taken(self.groups, np.arange(self.ahead, self.ahead + len(self.names))):
            yield data or b""


def listed(files: Sequence[str]) -> ParquetRows:
    """The pictures of parquet files. A name is the path that a row has, else that of the file and the number of the
    row. Raises UsageError."""
    names, groups = list[str](), list[Group]()
    for path in files:
        with opened(path) as file:
            found, paths = survey(path, file, _column(path, file.schema_arrow))
        groups += found
        names += [text or f"{path}#{row}" for row, text in enumerate(paths)]
    return ParquetRows(names, groups)


def _column(path: str, schema: Any) -> Column:
    found = columns(schema)
    if len(found) != 1 and USUAL not in found:
        there = f"{len(found)} of them: {', '.join(found)}" if found else f"none of {', '.join(schema.names)}"
        raise UsageError(f"{path}: expected one column of pictures, bytes or a struct of bytes and path; {there}")
    return found.get(USUAL) or next(iter(found.values()))
