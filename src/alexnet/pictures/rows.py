"""Pictures in a column of parquet files, as the hub's data sets keep them: bytes, or a struct of bytes and path."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, repeat
from typing import Any

from alexnet.errors import UsageError
from alexnet.pictures import stores

USUAL = "image"  # the column, where several could be meant


@dataclass(frozen=True)
class Group:
    """Rows `first` to `stop` of a group of rows of a file; `column` has the bytes."""

    file: str
    number: int
    first: int
    stop: int
    column: str

    def contents(self) -> Iterator[bytes]:
        """Bytes of each picture, none where a row has no picture. Raises UsageError."""
        try:
            with stores.opened(self.file) as source, stores.library().parquet.ParquetFile(source) as file:
                table = file.read_row_group(self.number, [self.column])
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.file}: cannot be read: {error}") from None
        values = table.flatten()[0] if "." in self.column else table[0]
        for value in values.slice(self.first, self.stop - self.first):
            yield value.as_py() or b""


@dataclass(frozen=True)
class Rows:
    """A picture in each row of some groups, one after the other, by name."""

    names: Sequence[str]
    groups: Sequence[Group]

    @cached_property
    def ends(self) -> list[int]:
        """Which picture comes behind each group."""
        return list(accumulate(group.stop - group.first for group in self.groups))

    def part(self, places: slice) -> Rows:
        """Those from one place to another."""
        first, stop, _ = places.indices(len(self.names))
        groups = []
        for number in range(bisect_right(self.ends, first), len(self.groups)):
            group = self.groups[number]
            ahead = group.stop - self.ends[number]  # of places in the group before those here
            if group.first - ahead >= stop:
                break
            some = max(first + ahead, group.first), min(stop + ahead, group.stop)
            groups.append(replace(group, first=some[0], stop=some[1]))
        return Rows(self.names[first:stop], groups)

    def contents(self) -> Iterator[bytes]:
        """Bytes of each, a group of rows in memory at a time."""
        for group in self.groups:
            yield from group.contents()


def of(files: Sequence[str]) -> Rows:
    """The pictures of parquet files. A name is the path that a row has, else that of the file and the number of the
    row. Raises UsageError."""
    names, groups = list[str](), list[Group]()
    for path in files:
        try:
            with stores.opened(path) as source, stores.library().parquet.ParquetFile(source) as file:
                column, name = _columns(path, file.schema_arrow)
                sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
                own = file.read([name]).flatten()[0].to_pylist() if name else repeat(None, sum(sizes))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from None
        groups += [Group(path, number, 0, size, column) for number, size in enumerate(sizes)]
        names += [text or f"{path}#{row}" for row, text in enumerate(own)]
    return Rows(names, groups)


def _columns(path: str, schema: Any) -> tuple[str, str | None]:
    """Where the bytes are, and the paths if there are any."""
    types = stores.library().types
    found: dict[str, tuple[str, str | None]] = {}
    for field in schema:
        if types.is_binary(field.type) or types.is_large_binary(field.type):
            found[field.name] = field.name, None
        elif types.is_struct(field.type) and "bytes" in (inner := {part.name for part in field.type}):
            found[field.name] = f"{field.name}.bytes", f"{field.name}.path" if "path" in inner else None
    if len(found) != 1 and USUAL not in found:
        there = f"{len(found)} of them: {', '.join(found)}" if found else f"none of {', '.join(schema.names)}"
        raise UsageError(f"{path}: expected one column of pictures, bytes or a struct of bytes and path; {there}")
    return found[USUAL] if USUAL in found else next(iter(found.values()))
