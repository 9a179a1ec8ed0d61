"""Which way up a picture is, as its camera noted it in EXIF."""

from __future__ import annotations

import struct
from contextlib import suppress

from PIL import Image

TAG = 274
NUMBERS = {1: "B", 3: "H", 4: "L"}  # types of whole numbers, as `struct` writes them
METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(picture: Image.Image, exif: bytes) -> Image.Image:
    """Turned as its metadata says; metadata that cannot be read says nothing."""
    method = METHODS.get(orientation(exif))
    return picture if method is None else picture.transpose(method)


def orientation(exif: bytes) -> int:
    """The number 1 to 8 in EXIF data; 0 where there is none. Only this tag is read, so that none can do harm."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "")
    with suppress(struct.error):
        if order:
            (place,) = struct.unpack_from(order + "L", exif, 4)
            (count,) = struct.unpack_from(order + "H", exif, place)
            for entry in range(place + 2, place + 2 + 12 * count, 12):
                tag, kind = struct.unpack_from(order + "HH", exif, entry)
                if tag == TAG and kind in NUMBERS:
                    value: int = struct.unpack_from(order + NUMBERS[kind], exif, entry + 8)[0]
                    return value
    return 0
