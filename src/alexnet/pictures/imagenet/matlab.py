"""Arrays of structures from MATLAB's files of version 5, as the challenge's `meta.mat` is: read within bounds, and
nothing but text and numbers.

After "MAT-File Format", MathWorks: a heading of 128 bytes, then elements of type, length and data, padded to 8 bytes;
one that is compressed holds another.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

HEADING = 128  # bytes
UNPACKED = 2**26  # bytes, at most, of a compressed variable; the challenge's takes 3 million
MATRIX, COMPRESSED = 14, 15
NUMBERS = dict(enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4", "", "f8", "", "", "i8", "u8"), start=1))
TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
STRUCT, CHAR, NUMERIC = 2, 4, range(6, 16)  # classes of arrays

Element = tuple[int, memoryview]
Order = Literal["<", ">"]  # of the bytes of a number


def structures(data: bytes, variable: str) -> list[dict[str, Any]]:
    """The structures of a variable, column by column: their fields as text or numbers, or None for anything else.
    Raises ValueError for what is not such a file."""
    if len(data) < HEADING or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("it is not a MATLAB file of version 5")
    order: Order = "<" if data[126:128] == b"IM" else ">"
    for kind, content in _elements(memoryview(data)[HEADING:], order):
        if kind == COMPRESSED:
            ((kind, content),) = _elements(_unpacked(content), order)
        if kind == MATRIX and (found := _structures(content, variable, order)) is not None:
            return found
    raise ValueError(f"it holds no structures called {variable}")


def _unpacked(content: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(content, UNPACKED)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from None
    if not stream.eof:
        raise ValueError("it is cut off, or larger than such a file is")
    return memoryview(data)


def _elements(data: memoryview, order: Order) -> Iterator[Element]:
    """Type and data of the elements that lie one after the other."""
    place = 0
    while place < len(data):
        if len(data) - place < 8:
            raise ValueError("it is cut off")
        kind, length = struct.unpack_from(f"{order}II", data, place)
        start, step = place + 8, 8
        if kind >> 16:  # a small one: length and type share four bytes, and the data lie in the other four
            kind, length, start, step = kind & 0xFFFF, kind >> 16, place + 4, 4
        if length > len(data) - start or (step == 4 and length > 4):
            raise ValueError("it is cut off")
        yield kind, data[start : start + length]
        place = start + (length if kind == COMPRESSED else -(-length // step) * step)


def _structures(matrix: memoryview, variable: str, order: Order) -> list[dict[str, Any]] | None:
    """The structures of a matrix, if it holds some and is called that."""
    elements = _elements(matrix, order)
    kind, shape = _head(elements, order)
    name = _next(elements)[1].tobytes().decode("ascii", "replace")
    if kind != STRUCT or name != variable:
        return None
    width = int(_numbers(_next(elements), order)[0])
    names = _next(elements)[1].tobytes()
    if width <= 0 or len(names) % width:
        raise ValueError("its fields have no names")
    fields = [names[start : start + width].split(b"\0")[0].decode("ascii") for start in range(0, len(names), width)]
    values = [_value(content, order) for kind, content in elements if kind == MATRIX]
    if len(values) != math.prod(shape) * len(fields):
        raise ValueError("it is cut off")
    rows = (values[start : start + len(fields)] for start in range(0, len(values), len(fields)))
    return [dict(zip(fields, row, strict=True)) for row in rows]


def _head(elements: Iterator[Element], order: Order) -> tuple[int, list[int]]:
    """Class and shape of a matrix."""
    flags, shape = _numbers(_next(elements), order), _numbers(_next(elements), order)
    return int(flags[0]) & 0xFF, [int(side) for side in shape]


def _value(matrix: memoryview, order: Order) -> Any:
    """Text, numbers as a list or as one, or None for what is neither."""
    if not len(matrix):
        return None
    elements = _elements(matrix, order)
    kind, _ = _head(elements, order)
    _next(elements)  # its name
    content = next(elements, (1, memoryview(b"")))
    if kind == CHAR:
        coding = TEXT.get(content[0], "latin-1")
        coding += {"<": "-le", ">": "-be"}[order] if coding.startswith("utf-") and coding != "utf-8" else ""
        return content[1].tobytes().decode(coding, "replace")
    if kind in NUMERIC:
        numbers = _numbers(content, order).tolist()
        return numbers[0] if len(numbers) == 1 else numbers
    return None


def _next(elements: Iterator[Element]) -> Element:
    element = next(elements, None)
    if element is None:
        raise ValueError("it is cut off")
    return element


def _numbers(element: Element, order: Order) -> Any:
    kind, content = element
    name = NUMBERS.get(kind)
    if not name or len(content) % np.dtype(name).itemsize:
        raise ValueError("it holds numbers of no known type")
    return np.frombuffer(content, np.dtype(name).newbyteorder(order))
