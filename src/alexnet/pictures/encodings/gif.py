"""GIF: the first frame of a file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from alexnet.pictures.limits import Limits

EXTENSION, IMAGE = 0x21, 0x2C
LOOK = 0xF9  # the extension that says what is transparent in the frame after it
CLEAR = 1  # of its flags, the one that does; others have Pillow make room for what comes after the frame


def lean(data: bytes, limits: Limits) -> bytes:
    """The file with its first frame alone, and without comments. Raises PictureError for too many frames or pixels.

    Of a file that is cut off, what there is of the first frame; whether that is all of it shows in decoding.
    """
    heading = data[: 13 + _palette(data, 10)]
    frames = _frames(data, len(heading))
    look, first = next(frames, (b"", b""))
    limits.check_frames(1 + sum(1 for _ in islice(frames, limits.frames)))
    if len(first) > 9:  # it may be larger than the screen
        left, top, width, height = struct.unpack_from("<4H", first, 1)
        across, down = struct.unpack_from("<2H", heading, 6)
        limits.check_size(max(across, left + width), max(down, top + height))
    if len(look) > 3:
        look = look[:3] + bytes((look[3] & CLEAR,)) + look[4:]
    return heading + look + first


def _frames(data: bytes, place: int) -> Iterator[tuple[bytes, bytes]]:
    """The block of each frame, and before it the one that says how it looks, if there is one."""
    look = b""
    while place + 10 < len(data):
        if data[place] == EXTENSION:
            end = _behind(data, place + 2)
            look = data[place:end] if data[place + 1] == LOOK else look
        elif data[place] == IMAGE:
            end = _behind(data, place + 11 + _palette(data, place + 9))
            yield look, data[place:end]
            look = b""
        else:
            return
        place = end


def _palette(data: bytes, flags: int) -> int:
    """Bytes of the palette that the flags at a place announce."""
    return 3 << (data[flags] & 7) + 1 if len(data) > flags and data[flags] & 0x80 else 0


def _behind(data: bytes, place: int) -> int:
    """The place after a row of blocks, each with its length before it; the last has none."""
    while place < len(data) and (length := data[place]):
        place += 1 + length
    return place + 1
