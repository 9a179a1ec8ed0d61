"""Protobuf's wire format, written: the other side of what is read here, from its specification alone."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as 64 bits."""
    value %= 2**64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, *values: int) -> bytes:
    """An integer field, once for each value."""
    return b"".join(varint(field << 3) + varint(value) for value in values)


def real(field: int, *values: float) -> bytes:
    """A float field, once for each value: not packed."""
    return b"".join(varint(field << 3 | 5) + struct.pack("<f", value) for value in values)


def block(field: int, data: bytes | str) -> bytes:
    """A text, bytes, a message or packed values."""
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def packed(field: int, values: Iterable[int]) -> bytes:
    """Integers, packed."""
    return block(field, b"".join(map(varint, values)))


def floats(field: int, values: np.ndarray) -> bytes:
    """A repeated float field, packed."""
    return block(field, values.astype("<f4").tobytes())


def loose_floats(field: int, values: np.ndarray) -> bytes:
    """A repeated float field, not packed."""
    rows = np.empty((values.size, 5), np.uint8)
    rows[:, 0] = field << 3 | 5
    rows[:, 1:] = values.astype("<f4").reshape(-1, 1).view(np.uint8)
    return rows.tobytes()


def doubles(field: int, values: np.ndarray) -> bytes:
    """A repeated double field, packed."""
    return block(field, values.astype("<f8").tobytes())
