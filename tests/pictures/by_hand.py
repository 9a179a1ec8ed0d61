"""Picture files put together byte by byte after the formats' own descriptions, so that no library is taken on trust."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


def encode(picture: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: list[bytes], width: int, depth: int, colour: int, *before: bytes, after: bytes = b"") -> bytes:
    """A PNG file, put together by hand: unfiltered rows, chunks before and after the pixels."""
    heading = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + heading + b"".join(before) + pixels + after + chunk(b"IEND", b"")


def tiff(width: int, height: int, bits: int, pixels: bytes, order: str = "<", **tags: int) -> bytes:
    """A grey TIFF file of one strip, put together by hand. `photometric` 1: zero is black, 0: zero is white."""
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: tags.get("photometric", 1), 277: 1, 278: height}
    entries |= {339: tags["sample"]} if "sample" in tags else {}
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries |= {273: start, 279: len(pixels)}
    fields = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    heading = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(entries))
    return heading + fields + struct.pack(order + "I", 0) + pixels


def bmp(width: int, height: int, bits: int, pixels: bytes = b"", claimed: int = 0) -> bytes:
    """A BMP file without a palette; a negative height means rows from top to bottom."""
    heading = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(pixels), 2835, 2835, claimed, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + heading + pixels


def noise(width: int = 24, height: int = 16, channels: int = 3, seed: int = 1) -> NDArray[np.uint8]:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tiles(width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Squares of 16 pixels in colours of their own, which even lossy compression keeps."""
    colours = np.random.default_rng(3).integers(40, 216, (height // 16, width // 16, 3), dtype=np.uint8)
    return colours.repeat(16, axis=0).repeat(16, axis=1)


# ---------------------------------------------------------------------------------------------------------------- GIF

Frame = tuple[tuple[int, int, int, int], Sequence[int], int | None]
"""Left, top, width and height; indices into the palette; the one that is transparent."""


def gif(size: tuple[int, int], palette: Sequence[Sequence[int]], *frames: Frame, disposal: int = 0) -> bytes:
    """A GIF with one palette of at most 4 colours. No code stands for more than one pixel, which any reader accepts."""
    colours = b"".join(map(bytes, palette)).ljust(12, b"\0")
    heading = b"GIF89a" + struct.pack("<HHBBB", *size, 0x81, 0, 0) + colours
    return heading + b"".join(gif_frame(*frame, disposal) for frame in frames) + b";"


def gif_frame(box: tuple[int, int, int, int], indices: Sequence[int], clear: int | None, disposal: int = 0) -> bytes:
    look = b"!\xf9\x04" + bytes((disposal << 2 | (clear is not None), 0, 0, clear or 0, 0))
    codes = [code for index in indices for code in (4, index)] + [5]  # begin anew before each pixel; the end
    packed = sum(code << 3 * place for place, code in enumerate(codes)).to_bytes((3 * len(codes) + 7) // 8, "little")
    blocks = [packed[start : start + 255] for start in range(0, len(packed), 255)]
    return look + b"," + struct.pack("<HHHHB", *box, 0) + b"\2" + sized(blocks)


def sized(blocks: Sequence[bytes]) -> bytes:
    """Blocks with their lengths, and the empty one that ends a row of them."""
    return b"".join(bytes((len(block),)) + block for block in blocks) + b"\0"


# --------------------------------------------------------------------------------------------------------------- TIFF

TYPES = {1: "B", 2: "B", 3: "H", 4: "L", 7: "B", 11: "f"}
Tags = dict[int, tuple[int, Sequence[float] | bytes]]
"""Number of a tag: its type and its values."""


def tags(width: int, height: int, bits: Sequence[int] = (8,), photometric: int = 1, **others: Any) -> Tags:
    """Those of a page of one strip; `others`: more of them, or others, as t273=(4, [0])."""
    plain: Tags = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, bits),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [0]),
        277: (3, [len(bits)]),
        278: (4, [height]),
        279: (4, [-(-width * sum(bits) // 8) * height]),
    }
    return plain | {int(name[1:]): value for name, value in others.items()}


def page(tags: Tags, pixels: bytes = b"", order: str = "<", next_page: int = 0) -> bytes:
    """A TIFF with these tags; the places of strips and tiles are counted from where the pixels begin."""
    packed = {
        tag: values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{TYPES[kind]}", *values)
        for tag, (kind, values) in tags.items()
    }
    start = 8 + 2 + 12 * len(tags) + 4
    long = {tag: value for tag, value in packed.items() if len(value) > 4}
    pixels_at = start + sum(len(value) + len(value) % 2 for value in long.values())
    entries, beside = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        value = packed[tag]
        if tag in (273, 324):
            value = struct.pack(f"{order}{len(values)}L", *(pixels_at + int(place) for place in values))
        where = struct.pack(order + "L", start + len(beside)) if tag in long else value.ljust(4, b"\0")
        entries += struct.pack(order + "HHL", tag, kind, len(values)) + where
        beside += value + bytes(len(value) % 2) if tag in long else b""
    heading = (b"II" if order == "<" else b"MM") + struct.pack(order + "HLH", 42, 8, len(tags))
    return heading + entries + struct.pack(order + "L", next_page) + beside + pixels


# --------------------------------------------------------------------------------------------------------------- JPEG


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def grey_jpeg(frame: int, bits: int = 8, side: int = 16, height: int | None = None) -> bytes:
    """Flat grey: each block says that nothing changes, in one or two codes of one bit."""
    sizes = segment(frame, struct.pack(">BHHB3B", bits, side if height is None else height, side, 1, 1, 0x11, 0))
    codes = b"".join(segment(0xC4, bytes((kind, 1)) + bytes(15) + b"\0") for kind in (0x00, 0x10))
    table = segment(0xDB, b"\0" + bytes([1] * 64))
    scan = segment(0xDA, bytes((1, 1, 0, 1 if frame & 3 == 3 else 0, 0 if frame & 3 == 3 else 63, 0)))
    return b"\xff\xd8" + table + sizes + codes + scan + bytes(side * side // 8) + b"\xff\xd9"


# ------------------------------------------------------------------------------------------------------------- colours

D50 = np.array([0.9642, 1.0, 0.8249])
# Primaries in XYZ, brought to D50: columns red, green, blue. From the ICC's registry and Adobe's and Apple's profiles.
PRIMARIES = {
    "sRGB": np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]),
    "Display P3": np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]),
    "Adobe RGB": np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]),
    "ProPhoto": np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71187, 0.00009], [0.0, 0.0, 0.82491]]),
}


def to_srgb(xyz: Array) -> Array:
    """XYZ at D50 [..., 3] → sRGB in 0..255, by the standard's formula; beyond the gamut it is cut off."""
    linear = np.clip(xyz @ np.linalg.inv(PRIMARIES["sRGB"]).T, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(curved * 255)


def lab_to_srgb(lab: Array) -> Array:
    """L*a*b* at D50 [..., 3] → sRGB in 0..255."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    return to_srgb(np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50)


def profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2 for a display (or a printer, of inks)."""
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    fixed = b"".join(struct.pack(">i", round(value * 65536)) for value in D50)
    white = b"XYZ \0\0\0\0" + fixed
    all_tags = {b"desc": b"desc\0\0\0\0\0\0\0\2a" + bytes(79), b"cprt": b"text\0\0\0\0a\0", b"wtpt": white} | tags
    place, table, body = 132 + 12 * len(all_tags), b"", b""
    for name, value in all_tags.items():
        table += name + struct.pack(">II", place + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = place + len(body)
    heading = struct.pack(">I4sI4s4s4s12s4s", size, b"test", 0x02100000, kind, space, connection, bytes(12), b"acsp")
    return heading + bytes(28) + fixed + bytes(48) + struct.pack(">I", len(all_tags)) + table + body


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def rgb_profile(primaries: Array, gamma: float) -> bytes:
    tags = {}
    for name, column in zip("rgb", primaries.T, strict=True):
        numbers = b"".join(struct.pack(">i", round(value * 65536)) for value in column)
        tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + numbers
        tags[f"{name}TRC".encode()] = curve(gamma)
    return profile(b"RGB ", tags)


def ink_profile(lab: Array) -> bytes:
    """Of four inks: `lab` [2, 2, 2, 2, 3] is what none and all of each look like, in L*a*b*."""
    packed = np.stack([lab[..., 0] * 255 / 100, lab[..., 1] + 128, lab[..., 2] + 128], -1)
    line = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    table = (
        b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + 4 * line + np.rint(packed).astype("u1").tobytes() + 3 * line
    )
    return profile(b"CMYK", dict.fromkeys((b"A2B0", b"A2B1"), table), b"Lab ")


# ------------------------------------------------------------------------------------------------------- orientation

# EXIF 2.3, tag 274: where the stored row 0 and column 0 are in the picture that is meant.
UPRIGHT: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: np.rot90(a, -1),  # right, top: turned clockwise
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda a: np.rot90(a),  # left, bottom: turned anticlockwise
}


def orientation(number: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif.tobytes()
