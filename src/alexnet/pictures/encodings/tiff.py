"""TIFF: the first page of a file, and of its tags those that its pixels need."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image, ImagePalette, TiffImagePlugin

from alexnet.errors import PictureError
from alexnet.pictures.limits import Limits

NEEDED = frozenset(
    (
        *(256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284),  # size, depth, order, strips, orientation
        *(292, 293, 317, 320, 322, 323, 324, 325, 338, 339),  # fax, differences, palette, tiles, kinds of samples
        *(347, 512, 513, 514, 515, 517, 518, 519, 520, 521),  # JPEG in TIFF
        *(529, 530, 531, 532, 34675),  # luminance and colour, the colour profile
    )
)
STRIPS, TILES, TILE_WIDTH, TILE_LENGTH = 273, 324, 322, 323
BITS, PHOTOMETRIC, PALETTE, SAMPLE = 258, 262, 320, 339
ZERO_IS_WHITE, SIGNED = 0, 2  # values of the second and the last of them
BYTES = (1, 2, 6, 7)  # types that are not taken apart into numbers
NUMBERS = 2**19  # of a tag, at most: tiles of 16 x 16 in a picture of 100 million pixels are fewer
WHOLE = {3: "H", 4: "L", 16: "Q"}  # types of whole numbers, as `struct` writes them
IGNORED = 0  # no type: a tag that has it is passed over

TiffImagePlugin.READ_LIBTIFF = True  # Pillow itself leaves missing strips black and mistakes planes of 16 bits
with suppress(AttributeError, OSError):  # libtiff writes what it finds wrong to the error stream; it is raised too
    _silence = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler  # type: ignore[attr-defined]
    _silence.argtypes, _silence.restype = [ctypes.c_void_p], ctypes.c_void_p
    _silence(None)


@dataclass(frozen=True)
class Layout:
    """How numbers lie in a file: their order and, as `struct` writes it, a count of tags, a tag and a pointer."""

    order: str
    first: int
    count: str
    tag: str
    pointer: str

    def number(self, kind: str, data: bytes | bytearray, place: int) -> int:
        value: int = struct.unpack_from(self.order + kind, data, place)[0]
        return value

    @property
    def tag_bytes(self) -> int:
        """Of a tag with its value, or with the place of its values."""
        return struct.calcsize(self.order + self.tag + self.pointer)


def lean(data: bytes, limits: Limits) -> bytes:
    """The file with one page, whose other tags are struck out: some could be made to fill the memory.

    Raises PictureError for too many pages, and for tags that are larger than any picture needs.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    layout = Layout(order, 8, "Q", "HHQ", "Q") if big else Layout(order, 4, "H", "HHL", "L")
    pages = list(islice(_pages(data, layout), limits.frames + 1))
    limits.check_frames(len(pages))
    if not pages:
        raise PictureError("not decodable: its first page is not in the file")
    tags, end = pages[0]
    struck, tile = bytearray(data), [1, 1]
    for place in range(tags, end, layout.tag_bytes):
        tag, kind, count = struct.unpack_from(order + layout.tag, data, place)
        if tag not in NEEDED:
            struct.pack_into(order + "H", struck, place + 2, IGNORED)
        elif kind not in BYTES and count > NUMBERS:
            raise PictureError(f"not decodable: {count:,} numbers in its tag {tag}")
        elif tag in (STRIPS, TILES) and not count:
            raise PictureError("not decodable: it says nowhere where its pixels are")
        elif tag in (TILE_WIDTH, TILE_LENGTH) and kind in WHOLE:
            value = place + layout.tag_bytes - struct.calcsize(order + layout.pointer)
            tile[tag - TILE_WIDTH] = layout.number(WHOLE[kind], data, value)
    limits.check_size(*tile)
    struct.pack_into(order + layout.pointer, struck, end, 0)
    return bytes(struck)


def _pages(data: bytes, layout: Layout) -> Iterator[tuple[int, int]]:
    """Where the tags of each page begin and end; pages after one that is damaged are not found."""
    place, seen = layout.number(layout.pointer, data, layout.first), set[int]()
    while place and place not in seen:
        seen.add(place)
        try:
            count = layout.number(layout.count, data, place)
            start = place + struct.calcsize(layout.order + layout.count)
            end = start + count * layout.tag_bytes
            place = layout.number(layout.pointer, data, end)
        except struct.error:  # beyond the end of the file
            return
        yield start, end


def settled(picture: Image.Image) -> Image.Image:
    """A picture with what Pillow leaves open settled: zero may be white in 16 bits and more too, and the colours of a
    palette be of 8 bits, where 16 are the rule. Raises PictureError for grey values whose white is not known."""
    tags: Any = picture.tag_v2  # type: ignore[attr-defined]
    bits, samples = (_several(tags.get(tag)) for tag in (BITS, SAMPLE))
    if SIGNED in samples:
        raise PictureError("values with a sign, whose white is not known")
    if picture.mode.startswith(("I", "F")) and bits[0] != (32 if picture.mode == "F" else 16):
        raise PictureError(f"grey values of {bits[0]} bits; 8, 16 and fractions of 32 are known")
    if picture.mode == "P" and max(tags.get(PALETTE, (256,))) < 256:
        picture.putpalette(ImagePalette.raw("RGB;L", bytes(tags[PALETTE])))
    if picture.mode.startswith(("I", "F")) and tags.get(PHOTOMETRIC) == ZERO_IS_WHITE:
        return Image.fromarray((1 if picture.mode == "F" else 65535) - np.asarray(picture))
    return picture


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
