"""PNG: what of a file makes up its picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from alexnet.errors import PictureError
from alexnet.pictures.limits import Limits

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
BESIDE = (b"iCCP", b"sRGB", b"eXIf")  # what else changes how it looks
ANIMATION = b"acTL"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""The passes of interlaced pixels: first row and column, steps down and across."""
INTERLACED = 28  # the byte that says so
PIECE = 2**20  # bytes unpacked at a time
PROFILE_BYTES = 2**20  # a colour profile unpacked, at most; Pillow's own limit


def lean(data: bytes, limits: Limits) -> bytes:
    """The file with its picture alone: without text, dates and the frames of an animation, none of which is unpacked.

    Pillow passes over the checksums of pixels, viewers do not; nor do they mind damage to what is only beside them.
    Raises PictureError for damage to what makes up the picture.
    """
    kept = [SIGNATURE]
    wide = data[24:26] == b"\x10\x02"  # colours of 16 bits
    for kind, body, sound in _chunks(data):
        if not sound and kind in PIXELS:
            raise PictureError(f"damaged: the checksum of its {kind.decode()} chunk is wrong")
        if kind == ANIMATION and sound and len(body) >= 4:
            limits.check_frames(int.from_bytes(body[:4], "big"))
        if kind == b"tRNS" and wide and len(body) == 6:
            kept.append(_chunk(kind, bytes((0, body[0], 0, body[2], 0, body[4]))))  # Pillow keeps the upper bytes
        elif kind in PIXELS or (kind in BESIDE and sound and not _is_bomb(kind, body)):
            kept.append(_chunk(kind, body))
        elif kind[:1].isupper():
            raise PictureError(f"not decodable: its {kind.decode('latin-1')!r} chunk is not known")
    return b"".join(kept)


def may_be_cut(data: bytes, picture: Image.Image) -> bool:
    """Whether the pixels may end early, which Pillow passes over: there are nothing but zeros in the last row, or the
    rows are not in order."""
    width, height = picture.size
    return bool(data[INTERLACED]) or not np.asarray(picture.crop((0, height - 1, width, height))).any()


def pixel_bytes(data: bytes) -> tuple[int, int]:
    """Of the pixels of a file: how many there are, unpacked, and how many its heading asks for."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    bits = depth * CHANNELS[colour]
    passes = ADAM7 if data[INTERLACED] else ((0, 0, 1, 1),)
    parts = ((-(-(height - top) // down), -(-(width - left) // across)) for top, left, down, across in passes)
    asked = sum(rows * (1 + -(-columns * bits // 8)) for rows, columns in parts if rows > 0 and columns > 0)
    return _unpacked(b"".join(body for kind, body, _ in _chunks(data) if kind == b"IDAT")), asked


def _unpacked(packed: bytes) -> int:
    unpacking, count = zlib.decompressobj(), 0
    while packed and (piece := unpacking.decompress(packed, PIECE)):
        packed, count = unpacking.unconsumed_tail, count + len(piece)
    return count


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Kind, contents and whether the checksum is right, of each chunk up to the end; a last one may be cut short."""
    view, place = memoryview(data), len(SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        checksum = struct.pack(">I", zlib.crc32(view[place + 4 : end]))
        yield kind, view[place + 8 : end], checksum == data[end : end + 4]
        if kind == b"IEND":
            return
        place = end + 4


def _chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    named = kind + body
    return struct.pack(">I", len(body)) + named + struct.pack(">I", zlib.crc32(named))


def _is_bomb(kind: bytes, body: memoryview) -> bool:
    """Whether a colour profile would unpack to more than any has."""
    if kind != b"iCCP":
        return False
    packed = bytes(body).partition(b"\0")[2][1:]
    try:
        return len(zlib.decompressobj().decompress(packed, PROFILE_BYTES + 1)) > PROFILE_BYTES
    except zlib.error:
        return True
