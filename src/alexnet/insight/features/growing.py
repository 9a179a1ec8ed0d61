"""Files that grow row by row and can be gone on with after a process was killed: .npy arrays and tables."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray


def _opened(path: Path, end: int) -> BinaryIO:
    """A file to write on from byte `end`; what lies behind is cut off."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(end)
    file.seek(end)
    return file


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class Array:
    """An .npy file of rows, each of one shape. After every `flush` it is whole."""

    def __init__(self, path: Path, shape: Sequence[int], dtype: DTypeLike, rows: int = 0) -> None:
        """Goes on behind `rows` rows of an earlier writer, or begins."""
        self.shape, self.dtype, self.rows = tuple(shape), np.dtype(dtype), rows
        head = self._head()
        self.file = _opened(path, len(head) + rows * self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64)))

    def append(self, values: NDArray[Any]) -> None:
        """More rows, [N, *shape]."""
        self.file.write(np.ascontiguousarray(values, self.dtype).data)
        self.rows += len(values)

    def flush(self) -> None:
        """Have everything on the disk, and say at its head how many rows there are."""
        end = self.file.tell()
        self.file.seek(0)
        self.file.write(self._head())
        self.file.seek(end)
        _flush(self.file)

    def close(self) -> None:
        self.file.close()

    def _head(self) -> bytes:
        """Of one length for any number of rows: numpy leaves room for it to grow."""
        head = io.BytesIO()
        fields = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.rows, *self.shape)}
        npy.write_array_header_1_0(head, fields)
        return head.getvalue()


class Table:
    """A csv file in UTF-8. `end` is where it ends, in bytes."""

    def __init__(self, path: Path, heading: Sequence[str], end: int = 0) -> None:
        """Goes on at byte `end` of an earlier writer, or begins with the heading."""
        self.file = _opened(path, end)
        if not end:
            self.append([heading])

    @property
    def end(self) -> int:
        return self.file.tell()

    def append(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        _flush(self.file)

    def close(self) -> None:
        self.file.close()
