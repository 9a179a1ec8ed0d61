"""WebP: the size that a file claims, before its decoder makes room for it."""

from __future__ import annotations

import struct

from alexnet.pictures.limits import Limits


def lean(data: bytes, limits: Limits) -> bytes:
    """The file as it is. Raises PictureError for one that claims too many pixels."""
    if len(data) >= 30:
        limits.check_size(*_size(data))
    return data


def _size(data: bytes) -> tuple[int, int]:
    match data[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(data[place : place + 3], "little") for place in (24, 27))
            return width + 1, height + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
