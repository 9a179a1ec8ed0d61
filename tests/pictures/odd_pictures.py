"""Odd pictures, with what a viewer shows of each, worked out without the decoder; or why it is refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import by_hand
import numpy as np
from by_hand import UPRIGHT, Array, bmp, chunk, encode, gif, noise, page, png, segment, tags, tiles
from encoded_elsewhere import FILES
from PIL import Image, features


@dataclass(frozen=True)
class Odd:
    """A file; the pixels that are shown, [H, W, 3] in 0..255, with the largest and the mean difference allowed; or, if
    it is refused, a part of the reason."""

    name: str
    data: bytes
    pixels: Array | None = None
    largest: float = 0
    mean: float = 255
    refused: str = ""


def grey(values: Any) -> Array:
    return np.repeat(np.asarray(values)[..., None], 3, axis=2)


SMALL = tiles(48, 32)
PICTURE = Image.fromarray(SMALL)
JPEG = encode(PICTURE, "JPEG", quality=90, subsampling=0)
MEMORY = {"JPEG": 4, "PNG": 0, "WEBP": 0, "TIFF": 0, "AVIF": 5}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
AVIF = features.check("avif")


# ------------------------------------------------------------------------------------------------------- orientation


def exif(*entries: tuple[int, int, int, int], order: str = "<", count: int | None = None, first: int = 8) -> bytes:
    """EXIF data by hand: (tag, type, count, value)."""
    listed = b"".join(
        struct.pack(order + "HHL", *entry[:3]) + struct.pack(order + {1: "B3x", 3: "H2x"}.get(entry[1], "L"), entry[3])
        for entry in entries
    )
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HL", 42, first)
    return b"Exif\0\0" + start + struct.pack(order + "H", len(entries) if count is None else count) + listed + bytes(4)


def with_exif(form: str, data: bytes) -> bytes:
    return encode(PICTURE, form, exif=data, **OPTIONS.get(form, {}))


def orientations() -> Iterator[Odd]:
    turned = UPRIGHT[6](SMALL)
    notes = {
        "as a long number": (exif((274, 4, 1, 6)), turned),
        "as a byte": (exif((274, 1, 1, 6)), turned),
        "big end first": (exif((274, 3, 1, 6), order=">"), turned),
        "after other tags": (exif((271, 2, 4, 0x61626300), (272, 2, 1, 0), (274, 3, 1, 6)), turned),
        "with a count that lies": (exif((274, 3, 1, 6), count=65535), turned),
        "as text": (exif((274, 2, 1, 6)), SMALL),
        "as a fraction elsewhere": (exif((274, 5, 1, 10**6)), SMALL),
        "beyond the data": (exif((274, 3, 1, 6), first=10**6), SMALL),
        "in itself": (exif((274, 3, 1, 6), first=0), SMALL),
        "of no known order": (b"Exif\0\0XX" + exif((274, 3, 1, 6))[8:], SMALL),
        "a directory of itself": (exif((34665, 4, 1, 8), (330, 4, 1, 8)), SMALL),
        "values of four gigabytes": (exif((271, 2, 2**32 - 1, 8), (37500, 7, 2**32 - 1, 8)), SMALL),
    }
    notes |= {f"number {number}": (exif((274, 3, 1, number)), SMALL) for number in (0, 9, 65535)}
    for form in ("JPEG", "PNG", "WEBP"):
        for name, (data, pixels) in notes.items():
            yield Odd(f"{form}: orientation {name}", with_exif(form, data), pixels, MEMORY[form])
    for number in (0, 9, 65535):
        file = page(tags(24, 16, t274=(3, [number])), noise(channels=1).tobytes())
        yield Odd(f"TIFF: orientation number {number}", file, grey(noise(channels=1)))
    yield Odd("TIFF: orientation as text", page(tags(2, 1, t274=(2, b"\6")), b"\0\xff"), grey([[0, 255]]))
    twice = JPEG[:2] + segment(0xE1, exif((274, 3, 1, 6))) + segment(0xE1, exif((274, 3, 1, 3))) + JPEG[2:]
    yield Odd("JPEG: orientation twice, the first counts", twice, turned, 4)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation="6"/>'
    yield Odd("JPEG: orientation in XMP alone", JPEG[:2] + segment(0xE1, xmp) + JPEG[2:], SMALL, 4)
    thumbnail = segment(0xE1, exif((274, 3, 1, 6)) + encode(Image.new("RGB", (8, 8)), "JPEG"))
    yield Odd("JPEG: a thumbnail in its EXIF", JPEG[:2] + thumbnail + JPEG[2:], turned, 4)
    if AVIF:
        yield Odd("AVIF: turned by its container", FILES["AVIF turned"], np.rot90(SMALL), 5)


# --------------------------------------------------------------------------------------------------------------- JPEG

INKS = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255], [100, 50, 0, 60]])


def inks() -> bytes:
    stored = np.broadcast_to(INKS.astype(np.uint8), (16, 5, 4)).repeat(16, axis=1)
    return encode(Image.fromarray(stored, "CMYK"), "JPEG", quality=98, subsampling=0)


def shown_inks(inks: Array) -> Array:
    light = 255 - inks.astype(float)
    return np.asarray((light[..., :3] * light[..., 3:] / 255).repeat(16, axis=0)[None].repeat(16, axis=0))


def ycck(stored: Array) -> Array:
    """Inks of Adobe's form: luminance and colour of what is left of the paper; all four values the other way round."""
    y, cb, cr, k = stored.astype(float).T
    red, green, blue = y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)
    left = np.clip([red, green, blue], 0, 255)
    return np.stack([*left, 255 - k], -1)  # libjpeg turns three of them round, Adobe all


def jpegs() -> Iterator[Odd]:
    for name in ("arithmetic", "arithmetic, progressive", "a scan for each colour"):
        yield Odd(f"JPEG: {name}", FILES[name], SMALL, mean=3)
    for name in ("4:1:1", "4:1:0", "4:4:0", "three ratios", "red, green, blue"):
        yield Odd(f"JPEG: {name}", FILES[name], SMALL, mean=2)
    for name, options in {
        "progressive": {"progressive": True},
        "restarts after each row": {"restart_marker_rows": 1},
        "restarts after each block": {"restart_marker_blocks": 1},
        "4:2:2": {"subsampling": 1},
        "4:2:0": {"subsampling": 2},
        "stored as red, green, blue": {"keep_rgb": True, "subsampling": 0},
        "smooth tables": {"optimize": True},
    }.items():
        yield Odd(f"JPEG: {name}", encode(PICTURE, "JPEG", **({"quality": 92} | options)), SMALL, mean=3)
    file = encode(Image.fromarray(noise(channels=1)), "JPEG", quality=100)
    yield Odd("JPEG: grey", file, grey(noise(channels=1)), 4)
    yield Odd("JPEG: flat grey by hand", by_hand.grey_jpeg(0xC0), np.full((16, 16, 3), 128))
    yield Odd("JPEG: flat grey by hand, extended", by_hand.grey_jpeg(0xC1), np.full((16, 16, 3), 128))
    yield Odd("JPEG: 12 bits", by_hand.grey_jpeg(0xC1, bits=12), refused="12 bits")
    for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
        yield Odd(f"JPEG: lossless or hierarchical, {marker:X}", by_hand.grey_jpeg(marker), refused="lossless or hier")
    yield Odd("JPEG: height not in the heading", by_hand.grey_jpeg(0xC0, height=0), refused="height")
    yield from cmyk_jpegs()
    yield from jpegs_with_more()
    yield from cut_jpegs()


def cmyk_jpegs() -> Iterator[Odd]:
    file = inks()
    adobe = file.index(b"Adobe")
    yield Odd("JPEG: inks, as Adobe stores them", file, shown_inks(INKS), 4)
    plain = file[: adobe - 4] + file[adobe + 12 :]
    yield Odd("JPEG: inks without Adobe's mark, stored as Adobe does", plain, shown_inks(INKS), 4)
    turned = bytearray(file)
    turned[adobe + 11] = 2
    stored = 255 - INKS
    expected = shown_inks(np.rint(ycck(stored)))
    yield Odd("JPEG: luminance, colours and black (YCCK)", bytes(turned), expected, 6)


def jpegs_with_more() -> Iterator[Odd]:
    filler = b"".join(segment(0xEB, bytes(1000)) for _ in range(9))
    yield Odd("JPEG: much beside the picture", JPEG[:2] + filler + segment(0xFE, b"text") + JPEG[2:], SMALL, 4)
    yield Odd("JPEG: bytes of filling between its segments", JPEG[:2] + b"\xff" * 99 + JPEG[2:], SMALL, 4)
    yield Odd("JPEG: nonsense between its segments", JPEG[:20] + b"nonsense" + JPEG[20:], SMALL, 4)
    yield Odd("JPEG: something behind it", JPEG + b"\0\xff\xda\xff\xd8 anything" * 300, SMALL, 4)
    yield Odd("JPEG: another behind it", JPEG + encode(Image.new("RGB", (9, 9)), "JPEG"), SMALL, 4)
    several = io.BytesIO()
    PICTURE.save(several, "MPO", save_all=True, append_images=[Image.new("RGB", (48, 32))], quality=90, subsampling=0)
    yield Odd("JPEG: two pictures, of a 3D camera", several.getvalue(), SMALL, 4)
    yield Odd("JPEG: the second of two pictures cut off", several.getvalue()[:-200], SMALL, 4)
    many = b"".join(segment(0xE1, b"Exif\0\0x") for _ in range(10_001))
    yield Odd("JPEG: ten thousand segments", JPEG[:2] + many + JPEG[2:], refused="segments")
    smooth = encode(PICTURE, "JPEG", progressive=True)
    last = smooth.rindex(b"\xff\xda")
    yield Odd("JPEG: a hundred scans", smooth[:-2] + smooth[last:-2] * 100 + b"\xff\xd9", refused="scans")
    for marker, name in ((0xE0, "JFIF"), (0xE2, "ICC_PROFILE"), (0xEE, "Adobe"), (0xE1, "Exif")):
        file = JPEG[:2] + segment(marker, name.encode() + b"\0") + JPEG[2:]
        yield Odd(f"JPEG: a segment of {name} with nothing in it", file, SMALL, 4)


def cut_jpegs() -> Iterator[Odd]:
    scan = JPEG.index(b"\xff\xda") + 14
    for tenth in range(10):
        file = JPEG[: scan + (len(JPEG) - scan) * tenth // 10]
        yield Odd(f"JPEG: {tenth} tenths of its data, then an end marker", file + b"\xff\xd9", refused="not whole")
        yield Odd(f"JPEG: {tenth} tenths of its data, then zeros", file + bytes(len(JPEG)), refused="not ")
    yield Odd("JPEG: whole but for its end marker", JPEG[:-2], SMALL, 4)
    yield Odd("JPEG: whole but for a half of its end marker", JPEG[:-1], SMALL, 4)
    smooth = encode(PICTURE, "JPEG", progressive=True)
    scans = [place for place in range(len(smooth)) if smooth.startswith(b"\xff\xda", place)]
    for number, place in enumerate(scans[1:], 1):
        file = smooth[:place] + b"\xff\xd9"
        yield Odd(f"JPEG: {number} of {len(scans)} progressive scans", file, refused="not whole")
    colours = FILES["a scan for each colour"]
    second = colours.index(b"\xff\xda", colours.index(b"\xff\xda") + 2)
    yield Odd("JPEG: one of three colours", colours[:second] + b"\xff\xd9", refused="not whole")
    corner = SMALL.copy()
    corner[16:, 32:] = 128
    yield Odd("JPEG: a grey corner", encode(Image.fromarray(corner), "JPEG", quality=95, subsampling=0), corner, 4)
    flat = np.full((40, 56, 3), 128, np.uint8)
    for progressive in (False, True):
        file = encode(Image.fromarray(flat), "JPEG", progressive=progressive)
        yield Odd(f"JPEG: all grey{', progressive' * progressive}", file, flat)


# ---------------------------------------------------------------------------------------------------------------- PNG

PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of Adam7: first row and column, steps down and across."""


def raw_png(width: int, height: int, depth: int, colour: int, data: bytes, *before: bytes, **more: Any) -> bytes:
    """A PNG of data that are not packed yet."""
    heading = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, more.get("interlaced", 0))
    packed = more.get("packed", zlib.compress(data))
    pixels = more.get("chunks", chunk(b"IDAT", packed))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", heading)
        + b"".join(before)
        + pixels
        + more.get("end", chunk(b"IEND", b""))
    )


def rows(pixels: Array) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced(pixels: Array) -> bytes:
    parts = (pixels[top::down, left::across] for top, left, down, across in PASSES)
    data = b"".join(rows(part) for part in parts if part.size)
    return raw_png(pixels.shape[1], pixels.shape[0], 8, 2, data, interlaced=1)


def filtered(pixels: Array) -> bytes:
    """Each row by another of the five filters."""
    whole = np.pad(pixels.astype(int), ((1, 0), (1, 0), (0, 0)))
    left, above, corner = whole[1:, :-1], whole[:-1, 1:], whole[:-1, :-1]
    estimate = left + above - corner
    nearest = np.argmin(np.abs([estimate - left, estimate - above, estimate - corner]), axis=0)
    guesses = [0 * left, left, above, (left + above) // 2, np.choose(nearest, [left, above, corner])]
    return b"".join(
        bytes((row % 5,)) + (whole[row + 1, 1:] - guesses[row % 5][row]).astype(np.uint8).tobytes()
        for row in range(len(pixels))
    )


def pngs() -> Iterator[Odd]:
    for width, height in ((1, 1), (2, 3), (5, 5), (8, 8), (9, 17), (24, 16)):
        yield Odd(f"PNG: interlaced, {width} x {height}", interlaced(noise(width, height)), noise(width, height))
    yield Odd("PNG: each filter", raw_png(24, 16, 8, 2, filtered(noise())), noise())
    data = zlib.compress(rows(noise()))
    pieces = b"".join(chunk(b"IDAT", data[place : place + 1]) for place in range(len(data)))
    yield Odd("PNG: a chunk for each byte", raw_png(24, 16, 8, 2, b"", chunks=pieces), noise())
    empty = chunk(b"IDAT", b"") + chunk(b"IDAT", data) + chunk(b"IDAT", b"")
    yield Odd("PNG: empty chunks of pixels", raw_png(24, 16, 8, 2, b"", chunks=empty), noise())
    plain = rows(noise())
    yield Odd("PNG: no end chunk", raw_png(24, 16, 8, 2, plain, end=b""), noise())
    yield Odd("PNG: something behind it", raw_png(24, 16, 8, 2, plain) + b"IDAT" * 999, noise())
    yield Odd("PNG: more rows than it needs", raw_png(24, 16, 8, 2, plain * 2), noise())
    yield Odd("PNG: fewer rows than it needs", raw_png(24, 16, 8, 2, plain[: 73 * 9]), refused="not whole")
    yield Odd("PNG: half the rows, and a sound stream", raw_png(24, 32, 8, 2, plain), refused="not whole")
    yield Odd("PNG: no pixels", raw_png(24, 16, 8, 2, b"", chunks=b""), refused="not decodable")
    for width, height in ((0, 16), (24, 0), (0, 0)):
        yield Odd(f"PNG: {width} x {height}", raw_png(width, height, 8, 2, plain), refused="not decodable")
    for depth, colour in ((3, 0), (16, 3), (8, 1), (8, 5), (4, 2), (8, 255)):
        yield Odd(
            f"PNG: depth {depth}, colours {colour}", raw_png(24, 16, depth, colour, plain), refused="not decodable"
        )
    yield from pngs_with_more(plain)
    yield from transparent_pngs()
    yield from animated_pngs()


def bad(data: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    return data[:-1] + bytes((data[-1] ^ 1,))


def pngs_with_more(plain: bytes) -> Iterator[Odd]:
    bomb = zlib.compress(bytes(3 * 2**20))
    beside = {
        "much text": chunk(b"tEXt", b"a\0" + b"b" * 10**6),
        "text that unpacks to 3 MiB": chunk(b"zTXt", b"Comment\0\0" + bomb),
        "80 texts of 1 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**6))) * 80,
        "text in two languages that unpacks to 3 MiB": chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb),
        "text with a wrong checksum": bad(chunk(b"tEXt", b"Comment\0text")),
        "text with an unknown compression": chunk(b"zTXt", b"Comment\0\7text"),
        "a colour profile that unpacks to 3 MiB": chunk(b"iCCP", b"p\0\0" + bomb),
        "a colour profile that does not unpack": chunk(b"iCCP", b"p\0\0nonsense"),
        "a colour profile of nonsense": chunk(b"iCCP", b"p\0\0" + zlib.compress(b"nonsense")),
        "a gamma, which is passed over": chunk(b"gAMA", struct.pack(">I", 100_000)),
        "a gamma of nothing": chunk(b"gAMA", b""),
        "primaries, which are passed over": chunk(b"cHRM", bytes(32)),
        "EXIF with a wrong checksum": bad(chunk(b"eXIf", exif((274, 3, 1, 6))[6:])),
        "unknown chunks": chunk(b"prVt", b"anything") + chunk(b"abCd", b""),
        "a time that is none": chunk(b"tIME", b"\xff" * 7),
        "no size in metres": chunk(b"pHYs", b""),
    }
    for name, data in beside.items():
        yield Odd(f"PNG: {name}", raw_png(24, 16, 8, 2, plain, data), noise())
    for name, data in {
        "a chunk that must be known": chunk(b"ABCD", b""),
        "an iPhone's own form": chunk(b"CgBI", b"\x50\0\x20\x06"),
        "transparency with a wrong checksum": bad(chunk(b"tRNS", bytes(6))),
        "a palette with a wrong checksum": bad(chunk(b"PLTE", bytes(6))),
    }.items():
        yield Odd(f"PNG: {name}", raw_png(24, 16, 8, 2, plain, data), refused="chunk")


def transparent_pngs() -> Iterator[Odd]:
    wide = np.array([[[0x1234, 0x5678, 0x9ABC], [0x9ABC, 0x1234, 0x5678]]])
    file = png([wide.astype(">u2").tobytes()], 2, 16, 2, chunk(b"tRNS", wide[0, 0].astype(">u2").tobytes()))
    yield Odd("PNG: one of 16-bit colours transparent", file, np.array([[[255] * 3, wide[0, 1] / 257]]), 1)
    dark = np.array([[[5, 5, 5], [0x0505, 0x0505, 0x0505]]])
    file = png([dark.astype(">u2").tobytes()], 2, 16, 2, chunk(b"tRNS", dark[0, 0].astype(">u2").tobytes()))
    yield Odd("PNG: a dark one of 16-bit colours transparent", file, grey([[255, 5]]))
    values = np.array([[0x1234, 0x1235, 0xFFFF]])
    file = png([values.astype(">u2").tobytes()], 3, 16, 0, chunk(b"tRNS", b"\x12\x34"))
    yield Odd("PNG: one of 16-bit greys transparent", file, grey([[255, 0x1235 / 257, 255]]), 0.5)
    palette = chunk(b"PLTE", bytes(range(12)))
    long = png([b"\x1b"], 4, 2, 3, palette, chunk(b"tRNS", bytes([0, 255, 255, 255] * 9)))
    yield Odd("PNG: more transparency than colours", long, np.array([[[255] * 3, [3, 4, 5], [6, 7, 8], [9, 10, 11]]]))
    yield Odd("PNG: a palette that is missing", png([b"\x1b"], 4, 2, 3), refused="not decodable")
    clear = png([bytes(8)], 2, 8, 6)
    yield Odd("PNG: all transparent", clear, np.full((1, 2, 3), 255))
    wide = np.array([[[65535, 0, 0, 32768], [0, 257 * 9, 0, 65535]]])
    seen = np.array([[[255, 127.5, 127.5], [0, 9, 0]]])
    yield Odd("PNG: 16-bit colours half transparent", png([wide.astype(">u2").tobytes()], 2, 16, 6), seen, 1)


def control(number: int, width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, top, 1, 10, 0, 0))


def animated_pngs() -> Iterator[Odd]:
    other = zlib.compress(rows(noise(seed=2)))
    second = control(1, 24, 16) + chunk(b"fdAT", struct.pack(">I", 2) + other)
    start, plain = chunk(b"acTL", struct.pack(">II", 2, 0)), rows(noise())
    end = second + chunk(b"IEND", b"")
    yield Odd("PNG: animated", raw_png(24, 16, 8, 2, plain, start, control(0, 24, 16), end=end), noise())
    outside = chunk(b"fdAT", struct.pack(">I", 1) + other) + chunk(b"IEND", b"")
    file = raw_png(24, 16, 8, 2, plain, start, end=control(0, 24, 16) + outside)
    yield Odd("PNG: animated, with a picture for other programs", file, noise())
    for name, before in {
        "no frames": chunk(b"acTL", struct.pack(">II", 0, 0)),
        "a control that is cut": chunk(b"acTL", b"\0"),
        "two controls": start + start,
        "frames beyond the picture": start + control(0, 24, 16, 2000, 2000),
        "frames in disorder": start + control(7, 24, 16),
    }.items():
        yield Odd(f"PNG: animated, {name}", raw_png(24, 16, 8, 2, plain, before), noise())
    many = chunk(b"acTL", struct.pack(">II", 1001, 0))
    yield Odd("PNG: 1,001 frames", raw_png(24, 16, 8, 2, plain, many), refused="1,001 frames")


# --------------------------------------------------------------------------------------------------------------- GIF

PALETTE = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (9, 9, 9))
WHITE = (255, 255, 255)


def coloured(indices: Array, clear: int | None = None) -> Array:
    colours = [WHITE if index == clear else colour for index, colour in enumerate(PALETTE)]
    return np.array(colours)[indices]


def gifs() -> Iterator[Odd]:
    pixels = np.random.default_rng(4).integers(0, 4, (6, 8))
    listed = pixels.ravel().tolist()
    whole = ((0, 0, 8, 6), listed, None)
    yield Odd("GIF: by hand", gif((8, 6), PALETTE, whole), coloured(pixels))
    yield Odd("GIF: one colour transparent", gif((8, 6), PALETTE, ((0, 0, 8, 6), listed, 2)), coloured(pixels, 2))
    part = np.full((10, 12, 3), 255)
    part[2:8, 3:11] = coloured(pixels)
    yield Odd("GIF: a frame smaller than the screen", gif((12, 10), PALETTE, ((3, 2, 8, 6), listed, None)), part)
    part = part.copy()
    part[2:8, 3:11] = coloured(pixels, 1)
    yield Odd("GIF: the same, transparent too", gif((12, 10), PALETTE, ((3, 2, 8, 6), listed, 1)), part)
    yield Odd("GIF: a frame larger than the screen", gif((4, 4), PALETTE, whole), coloured(pixels))
    yield Odd("GIF: a screen of no size", gif((0, 0), PALETTE, whole), coloured(pixels))
    second = ((0, 0, 8, 6), [3] * 48, None)
    for disposal in range(8):
        file = gif((8, 6), PALETTE, whole, second, disposal=disposal)
        yield Odd(f"GIF: animated, disposal {disposal}", file, coloured(pixels))
    claims = ((0, 0, 59_850, 39_083), [1] * 48, None)
    for disposal in range(4):
        file = gif((8, 6), PALETTE, claims, disposal=disposal)
        yield Odd(f"GIF: a frame of 2,339 million pixels, disposal {disposal}", file, refused="pixels")
    file = gif((8, 6), PALETTE, whole, second)
    yield Odd("GIF: the second frame cut off", file[:-20], coloured(pixels))
    yield Odd("GIF: the second frame of nonsense", file[:-60] + bytes(60), coloured(pixels))
    plain = gif((8, 6), PALETTE, whole)
    yield Odd("GIF: no end", plain[:-1], coloured(pixels))
    yield Odd("GIF: something behind it", plain + b"anything,!" * 99, coloured(pixels))
    yield Odd("GIF: nonsense where the end should be", plain[:-1] + b"U,anything", coloured(pixels))
    comments = b"!\xfe" + by_hand.sized([b"c"] * 5000)
    yield Odd("GIF: five thousand comments", plain[:25] + comments + plain[25:], coloured(pixels))
    frames = plain[25:-1]
    yield Odd("GIF: a thousand frames", plain[:25] + frames * 1000 + b";", coloured(pixels))
    yield Odd("GIF: 1,001 frames", plain[:25] + frames * 1001 + b";", refused="1,001 frames")
    few = gif((8, 6), PALETTE, ((0, 0, 8, 6), listed[:30], None))
    yield Odd("GIF: the end code comes too early", few, refused="not ")
    yield Odd("GIF: no frame", plain[:25] + b";", refused="not decodable")
    order = [*range(0, 6, 8), *range(4, 6, 8), *range(2, 6, 4), *range(1, 6, 2)]
    mixed = gif((8, 6), PALETTE, ((0, 0, 8, 6), pixels[order].ravel().tolist(), None))
    flags = mixed.index(b",") + 9
    yield Odd("GIF: interlaced", mixed[:flags] + b"\x40" + mixed[flags + 1 :], coloured(pixels))
    own = bytes(range(12))
    flags = plain.index(b",") + 9
    local = plain[:flags] + b"\x81" + own + plain[flags + 1 :]
    yield Odd("GIF: a palette of the frame", local, np.arange(12).reshape(4, 3)[pixels])
    bare = plain[:10] + b"\0" + plain[11:13] + plain[25:]
    yield Odd("GIF: no palette at all is right or refused", bare, grey(pixels))


# ----------------------------------------------------------------------------------------------------------- BMP, PPM


def bitmap(
    bits: int, pixels: bytes, compression: int = 0, palette: bytes = b"", size: tuple[int, int] = (4, 2)
) -> bytes:
    """A BMP file with a heading of 40 bytes; masks, if it has any, lie before the palette."""
    start = 54 + len(palette)
    heading = struct.pack(
        "<IiiHHIIiiII", 40, *size, 1, bits, compression, len(pixels), 2835, 2835, len(palette) // 4, 0
    )
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + heading[:40] + palette + pixels


def bmps() -> Iterator[Odd]:
    greys = b"".join(bytes((level, level, level, 0)) for level in (0, 80, 160, 240))
    shown = grey([[240, 160, 80, 0], [0, 80, 160, 240]])
    yield Odd("BMP: 8 bits", bitmap(8, b"\0\1\2\3\3\2\1\0", palette=greys), shown)
    yield Odd("BMP: 4 bits", bitmap(4, b"\x01\x23\0\0\x32\x10\0\0", palette=greys), shown)
    yield Odd(
        "BMP: 1 bit", bitmap(1, b"\x50\0\0\0\xa0\0\0\0", palette=greys[:8]), grey([[80, 0, 80, 0], [0, 80, 0, 80]])
    )
    packed = b"\1\0\1\1\1\2\1\3\0\0\1\3\1\2\1\1\1\0\0\1"
    yield Odd("BMP: run lengths of 8 bits", bitmap(8, packed, 1, greys), shown)
    yield Odd("BMP: run lengths, some as they are", bitmap(8, b"\0\4\0\1\2\3\0\0\0\4\3\2\1\0\0\1", 1, greys), shown)
    yield Odd(
        "BMP: run lengths of 4 bits", bitmap(4, b"\4\x12\0\0\4\x21\0\1", 2, greys), grey([[160, 80] * 2, [80, 160] * 2])
    )
    yield Odd("BMP: run lengths cut off", bitmap(8, packed[:12], 1, greys), refused="not ")
    five = np.array([[0x7C00, 0x03E0, 0x001F, 0x7FFF], [0, 0x4210, 0x0010, 0x0200]], "<u2")
    parts = np.stack([five >> 10 & 31, five >> 5 & 31, five & 31], -1)[::-1] * 255 / 31
    yield Odd("BMP: 16 bits, five each", bitmap(16, five.tobytes()), parts, 5)
    six = np.array([[0xF800, 0x07E0, 0x001F, 0xFFFF], [0, 0x8410, 0x0010, 0x0400]], "<u2")
    parts = np.stack([(six >> 11 & 31) * 255 / 31, (six >> 5 & 63) * 255 / 63, (six & 31) * 255 / 31], -1)[::-1]
    yield Odd(
        "BMP: 16 bits, six of green", bitmap(16, six.tobytes(), 3, struct.pack("<3I", 0xF800, 0x7E0, 0x1F)), parts, 5
    )
    four = noise(4, 2, 4)
    yield Odd("BMP: 32 bits, the fourth byte means nothing", bitmap(32, four.tobytes()), four[::-1, :, 2::-1])
    yield Odd("BMP: rows from the top", bitmap(32, four.tobytes(), size=(4, -2)), four[:, :, 2::-1])
    yield Odd(
        "BMP: masks for three colours",
        bitmap(32, four.tobytes(), 3, struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF)),
        four[::-1, :, 2::-1],
    )
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    heading = struct.pack("<IiiHHIIiiII", 108, 4, 2, 1, 32, 3, 32, 2835, 2835, 0, 0) + masks + b"BGRs" + bytes(48)
    file = b"BM" + struct.pack("<IHHI", 14 + 108 + 32, 0, 0, 14 + 108) + heading + four.tobytes()
    share = four[..., 3:].astype(float) / 255
    yield Odd("BMP: masks for colours and opacity", file, (four[..., 2::-1] * share + 255 * (1 - share))[::-1], 1)
    old = b"BM" + struct.pack("<IHHI", 50, 0, 0, 26) + struct.pack("<IHHHH", 12, 4, 2, 1, 24) + noise(4, 2).tobytes()
    yield Odd("BMP: an OS/2 heading", old, noise(4, 2)[::-1, :, ::-1])
    yield Odd("BMP: something behind it", bmp(4, -2, 24, noise(4, 2).tobytes()) + b"more", noise(4, 2)[..., ::-1])
    yield Odd("BMP: a JPEG inside", bitmap(0, JPEG, 4), refused="not decodable")
    for size in ((0, 2), (4, 0)):
        yield Odd(f"BMP: {size[0]} x {size[1]}", bitmap(24, bytes(24), size=size), refused="not ")


def ppms() -> Iterator[Odd]:
    colours = noise(3, 2)
    words = b" ".join(b"%d" % value for value in colours.ravel())
    wide = np.random.default_rng(5).integers(0, 65536, (2, 3, 3))
    for name, data, pixels, largest in (
        ("remarks", b"P6\n#one\n3 #two\n2\n#three\n255\n" + colours.tobytes(), colours, 0),
        ("words on lines of their own", b"P3\n3\n2\n255\n" + words.replace(b" ", b"\n"), colours, 0),
        ("16-bit colours", b"P6 3 2 65535 " + wide.astype(">u2").tobytes(), wide / 257, 1),
        ("16-bit colours in words", b"P3 3 2 65535 " + b" ".join(b"%d" % v for v in wide.ravel()), wide / 257, 1),
        ("a highest value of 1", b"P5 2 1 1 \0\1", grey([[0, 255]]), 0),
        ("a highest value of 15 in words", b"P2 3 1 15 0 8 15", grey([[0, 136, 255]]), 1),
        ("bits without spaces", b"P1 3 2 101010", grey([[0, 255, 0], [255, 0, 255]]), 0),
        ("bits with remarks", b"P1\n# a\n3 2\n1 0 1\n# b\n0 1 0\n", grey([[0, 255, 0], [255, 0, 255]]), 0),
        ("rows of bits", b"P4 9 2 \xff\x80\0\0", grey([[0] * 9, [255] * 9]), 0),
        ("another behind it", b"P5 1 1 255 \x09P5 1 1 255 \x63", grey([[9]]), 0),
    ):
        yield Odd(f"PPM: {name}", data, pixels, largest)
    for name, data in (
        ("a value above the highest", b"P2 2 1 10 5 11"),
        ("a negative value", b"P2 2 1 10 5 -1"),
        ("letters", b"P2 2 1 10 5 x"),
        ("too few words", b"P3 2 1 10 5 1"),
        ("no highest value", b"P5 2 1 0 \0\0"),
        ("a highest value of 65,536", b"P5 1 1 65536 \0\0\0"),
        ("no size", b"P5 0 1 255 "),
        ("a size in letters", b"P5 a b 255 \0"),
        ("a size of 30 digits", b"P5 1" + b"0" * 29 + b" 1 255 \0"),
    ):
        yield Odd(f"PPM: {name}", data, refused="not ")
    for magic in (b"P7", b"Pf", b"PF", b"PyRGBA", b"P0CMYK", b"P8"):
        yield Odd(f"PPM: {magic.decode()}", magic + b" 2 1 255 " + bytes(32), refused="known format")


# --------------------------------------------------------------------------------------------------------------- TIFF


def planes(values: Array) -> bytes:
    return b"".join(values[..., channel].tobytes() for channel in range(values.shape[-1]))


def tiffs() -> Iterator[Odd]:
    levels = noise(channels=1)
    for form in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma", "jpeg"):
        known = form not in ("zstd", "lzma")
        try:
            data = encode(PICTURE, "TIFF", compression=form, **({"quality": 95} if form == "jpeg" else {}))
        except (OSError, ValueError):  # this Pillow's libtiff was built without it
            continue
        yield (
            Odd(f"TIFF: {form}", data, SMALL, 8 if form == "jpeg" else 0)
            if known
            else Odd(f"TIFF: {form}", data, SMALL)
        )
    bits = noise(channels=1) > 127
    for form in ("group3", "group4", "tiff_ccitt"):
        yield Odd(f"TIFF: {form}", encode(Image.fromarray(bits), "TIFF", compression=form), grey(bits * 255))
    yield from striped(levels)
    yield from deep_tiffs()
    yield from coloured_tiffs()
    yield from paged(levels)


def striped(levels: Array) -> Iterator[Odd]:
    data, shown = levels.tobytes(), grey(levels)
    four = {"t278": (4, [4]), "t273": (4, [0, 96, 192, 288]), "t279": (4, [96] * 4)}
    yield Odd("TIFF: four strips", page(tags(24, 16, **four), data), shown)
    order = [2, 0, 3, 1]
    places = {"t273": (4, [96 * order.index(strip) for strip in range(4)])}
    mixed = b"".join(data[96 * strip : 96 * strip + 96] for strip in order)
    yield Odd("TIFF: strips in disorder", page(tags(24, 16, **(four | places)), mixed), shown)
    yield Odd(
        "TIFF: strips in short numbers", page(tags(24, 16, **(four | {"t273": (4, [0, 96, 192, 288])})), data), shown
    )
    missing = {"t278": (4, [4]), "t273": (4, [0, 96]), "t279": (4, [96, 96])}
    yield Odd("TIFF: two strips of four", page(tags(24, 16, **missing), data), refused="not ")
    beyond = four | {"t273": (4, [0, 96, 192, 10**6])}
    yield Odd("TIFF: a strip beyond the end", page(tags(24, 16, **beyond), data), refused="not ")
    more = {"t278": (4, [4]), "t273": (4, [0, 96, 192, 288, 0, 0]), "t279": (4, [96] * 6)}
    yield Odd("TIFF: more strips than it needs", page(tags(24, 16, **more), data), shown)
    packed = zlib.compress(data)
    deflated = {"t259": (3, [8]), "t279": (4, [len(packed)])}
    yield Odd("TIFF: deflated", page(tags(24, 16, **deflated), packed), shown)
    yield Odd(
        "TIFF: deflated, and its length a lie",
        page(tags(24, 16, t259=(3, [8]), t279=(4, [20])), packed),
        refused="not ",
    )
    yield Odd("TIFF: deflated, half of it", page(tags(24, 32, **deflated), packed), refused="not ")
    differences = np.diff(levels.astype(int), axis=1, prepend=0).astype(np.uint8)
    packed = zlib.compress(differences.tobytes())
    file = page(tags(24, 16, t259=(3, [8]), t279=(4, [len(packed)]), t317=(3, [2])), packed)
    yield Odd("TIFF: differences along the row", file, shown)
    square = np.pad(levels, ((0, 0), (0, 8)))
    tile = {322: (4, [16]), 323: (4, [16]), 324: (4, [0, 256]), 325: (4, [256, 256])}
    plain = {tag: value for tag, value in tags(24, 16).items() if tag not in (273, 278, 279)}
    tiled = square[:, :16].tobytes() + square[:, 16:].tobytes()
    yield Odd("TIFF: tiles", page(plain | tile, tiled), shown)  # type: ignore[arg-type]
    one = tile | {324: (4, [0]), 325: (4, [256])}
    yield Odd("TIFF: one of two tiles", page(plain | one, tiled), refused="not ")  # type: ignore[arg-type]
    huge = tile | {322: (4, [16 * 2**15]), 323: (4, [16 * 2**15])}
    yield Odd("TIFF: a tile of 275 thousand million pixels", page(plain | huge, tiled), refused="pixels")  # type: ignore[arg-type]
    yield Odd("TIFF: big end first", page(tags(24, 16), data, ">"), shown)
    for name, change in {
        "no width": {256: (4, [0])},
        "no strips": {273: (4, [])},
        "a compression that is not known": {259: (3, [999])},
        "a colour filter, as a camera's raw file": {262: (3, [32803])},
        "seven samples": {277: (3, [7])},
        "600,000 strips": {273: (4, [0] * 600_000), 279: (4, [1] * 600_000)},
        "600,000 depths": {258: (3, [8] * 600_000)},
    }.items():
        yield Odd(f"TIFF: {name}", page(tags(24, 16) | change, data), refused="not decodable")  # type: ignore[arg-type]
    with_exif = {34665: (4, [8]), 34853: (4, [8]), 330: (4, [8]), 700: (7, b"<x tiff:Orientation='6'/>")}
    yield Odd("TIFF: directories of itself", page(tags(24, 16) | with_exif, data), shown)  # type: ignore[arg-type]


def deep_tiffs() -> Iterator[Odd]:
    wide = np.random.default_rng(6).integers(0, 65536, (16, 24, 3))
    first = wide[..., 0]
    for order in "<>":
        end = "big" if order == ">" else "little"
        colour, alone = wide.astype(order + "u2"), first.astype(order + "u2")
        yield Odd(
            f"TIFF: 16-bit colours, {end} end first",
            page(tags(24, 16, (16,) * 3, 2), colour.tobytes(), order),
            wide / 257,
            1,
        )
        apart = tags(24, 16, (16,) * 3, 2, t284=(3, [2]), t273=(4, [0, 768, 1536]), t279=(4, [768] * 3))
        yield Odd(f"TIFF: 16-bit colours apart, {end} end first", page(apart, planes(colour), order), wide / 257, 1)
        packed = zlib.compress(alone.tobytes())
        deflated = tags(24, 16, (16,), t259=(3, [8]), t279=(4, [len(packed)]))
        yield Odd(f"TIFF: 16-bit grey deflated, {end} end first", page(deflated, packed, order), grey(first / 257), 0.5)
    inverse = page(tags(24, 16, (16,), 0), first.astype("<u2").tobytes())
    yield Odd("TIFF: 16-bit grey, zero is white", inverse, grey(255 - first / 257), 0.5)
    fractions = np.array([[0, 0.25, 1]], "<f4")
    file = page(tags(3, 1, (32,), 0, t339=(3, [3])), fractions.tobytes())
    yield Odd("TIFF: fractions, zero is white", file, grey(255 * (1 - fractions)), 0.5)
    for name, bits, kind, sample in (
        ("16 bits with a sign", 16, "<i2", 2),
        ("8 bits with a sign", 8, "i1", 2),
        ("32 bits", 32, "<u4", 1),
        ("32 bits with a sign", 32, "<i4", 2),
        ("fractions of 16 bits", 16, "<f2", 3),
        ("fractions of 64 bits", 64, "<f8", 3),
    ):
        data = np.full((2, 2), 1, kind).tobytes()
        yield Odd(f"TIFF: {name}", page(tags(2, 2, (bits,), t339=(3, [sample])), data), refused="")
    file = page(tags(2, 1, (32,) * 3, 2, t339=(3, [3] * 3)), np.full(6, 0.5, "<f4").tobytes())
    yield Odd("TIFF: colours in fractions", file, refused="not decodable")


def coloured_tiffs() -> Iterator[Odd]:
    apart = tags(24, 16, (8,) * 3, 2, t284=(3, [2]), t273=(4, [0, 384, 768]), t279=(4, [384] * 3))
    yield Odd("TIFF: colours apart", page(apart, planes(noise())), noise())
    four = noise(channels=4)
    share = four[..., 3:].astype(float) / 255
    mixed = four[..., :3] * share + 255 * (1 - share)
    yield Odd("TIFF: opacity", page(tags(24, 16, (8,) * 4, 2, t338=(3, [2])), four.tobytes()), mixed, 1)
    yield Odd(
        "TIFF: a fourth value that means nothing",
        page(tags(24, 16, (8,) * 4, 2, t338=(3, [0])), four.tobytes()),
        four[..., :3],
    )
    done = np.concatenate([np.rint(four[..., :3] * share), four[..., 3:]], -1).astype(np.uint8)
    yield Odd("TIFF: opacity multiplied in", page(tags(24, 16, (8,) * 4, 2, t338=(3, [1])), done.tobytes()), mixed, 4)
    two = noise(channels=2)
    share = two[..., 1] / 255
    yield Odd(
        "TIFF: grey with opacity",
        page(tags(24, 16, (8, 8), t338=(3, [2])), two.tobytes()),
        grey(two[..., 0] * share + 255 * (1 - share)),
        1,
    )
    done = np.stack([np.rint(two[..., 0] * share), two[..., 1]], -1).astype(np.uint8)
    yield Odd(
        "TIFF: grey with opacity multiplied in",
        page(tags(24, 16, (8, 8), t338=(3, [1])), done.tobytes()),
        grey(done[..., 0] + 255 * (1 - share)),
        4,
    )
    light = 255 - four.astype(float)
    inks = light[..., :3] * light[..., 3:] / 255
    yield Odd("TIFF: inks", page(tags(24, 16, (8,) * 4, 5), four.tobytes()), inks, 2)
    yield Odd("TIFF: inks of 16 bits", page(tags(24, 16, (16,) * 4, 5), (four.astype("<u2") * 257).tobytes()), inks, 2)
    lab = np.array([[[50, 20, -20], [90, 0, 0], [30, -10, 30], [100, 0, 0]]], float)
    stored = np.stack([lab[..., 0] * 255 / 100, lab[..., 1], lab[..., 2]], -1).round().astype(int).astype(np.uint8)
    yield Odd("TIFF: L*a*b*", page(tags(4, 1, (8,) * 3, 8), stored.tobytes()), by_hand.lab_to_srgb(lab), 3)
    ramp = [level * 257 for level in range(256)]
    yield Odd(
        "TIFF: a palette",
        page(tags(24, 16, (8,), 3, t320=(3, ramp * 3)), noise(channels=1).tobytes()),
        grey(noise(channels=1)),
    )
    yield Odd(
        "TIFF: a palette of 8 bits",
        page(tags(24, 16, (8,), 3, t320=(3, list(range(256)) * 3)), noise(channels=1).tobytes()),
        grey(noise(channels=1)),
    )
    yield Odd(
        "TIFF: a palette that is missing",
        page(tags(24, 16, (8,), 3), noise(channels=1).tobytes()),
        refused="not decodable",
    )
    yield Odd(
        "TIFF: bits the other way round", page(tags(8, 1, (1,), 1, t266=(3, [2])), b"\1"), grey([[255] + [0] * 7])
    )


def paged(levels: Array) -> Iterator[Odd]:
    data, shown = levels.tobytes(), grey(levels)
    yield Odd("TIFF: a page that is the next of itself", page(tags(24, 16), data, next_page=8), shown)
    yield Odd("TIFF: a second page beyond the end", page(tags(24, 16), data, next_page=10**6), shown)
    first = page(tags(24, 16), data)
    second = first[:-4] + struct.pack("<I", 0) if len(first) % 2 else first
    file = page(tags(24, 16), data, next_page=len(first) + 2) + b"  " + b"\xff\xff" + b"nonsense"
    yield Odd("TIFF: a second page of nonsense", file, shown)
    several = encode(Image.fromarray(levels), "TIFF", save_all=True, append_images=[Image.fromarray(levels.T)] * 3)
    yield Odd("TIFF: four pages", several, shown)
    yield Odd("TIFF: no pages", b"II*\0" + bytes(4), refused="first page")
    yield Odd("TIFF: pages beyond the end", b"II*\0" + struct.pack("<I", 10**6), refused="first page")
    chain = first + bytes(len(first) % 2)
    start = len(chain)
    links = b"".join(struct.pack("<HI", 0, start + 6 * (number + 1)) for number in range(1000))
    pointer = 8 + 2 + 12 * len(tags(24, 16))
    file = chain[:pointer] + struct.pack("<I", start) + chain[pointer + 4 :] + links[:-4] + bytes(4)
    yield Odd("TIFF: 1,001 pages", file, refused="1,001 frames")
    assert second


# ---------------------------------------------------------------------------------------------------------- WebP, AVIF


def webps() -> Iterator[Odd]:
    four = noise(channels=4)
    share = four[..., 3:].astype(float) / 255
    mixed = four[..., :3] * share + 255 * (1 - share)
    yield Odd("WebP: opacity", encode(Image.fromarray(four), "WEBP", lossless=True, exact=True), mixed, 1)
    lossy = np.dstack([SMALL, np.full(SMALL.shape[:2], 255, np.uint8)])
    lossy[:16, :16, 3] = 0
    shown = SMALL.copy()
    shown[:16, :16] = 255
    yield Odd("WebP: opacity, lossy", encode(Image.fromarray(lossy), "WEBP", quality=95), shown, mean=6)
    yield Odd("WebP: lossy", encode(PICTURE, "WEBP", quality=95), SMALL, mean=6)
    frames = [Image.fromarray(noise(seed=seed)) for seed in (2, 3)]
    file = encode(
        Image.fromarray(noise()), "WEBP", save_all=True, append_images=frames, lossless=True, background=(9, 9, 9, 255)
    )
    yield Odd("WebP: animated", file, noise())
    clear = Image.fromarray(np.dstack([noise(), np.zeros((16, 24), np.uint8)]))
    file = encode(clear, "WEBP", save_all=True, append_images=frames, lossless=True, background=(9, 9, 9, 255))
    yield Odd("WebP: animated, the first frame transparent", file, np.full((16, 24, 3), 255))
    plain = encode(Image.fromarray(noise()), "WEBP", lossless=True)
    yield Odd("WebP: something behind it", plain + b"anything" * 99, noise())
    yield Odd("WebP: longer than it is", plain[:4] + struct.pack("<I", len(plain)) + plain[8:], refused="not decodable")
    yield Odd("WebP: shorter than it is", plain[:4] + struct.pack("<I", 20) + plain[8:], refused="not decodable")
    yield Odd(
        "WebP: a canvas of 281 million million pixels",
        plain[:12] + b"VP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
        refused="pixels",
    )


def avifs() -> Iterator[Odd]:
    for bits in (10, 12):
        yield Odd(f"AVIF: {bits} bits", FILES[f"AVIF of {bits} bits"], SMALL, 5)
    four = np.dstack([SMALL, np.full(SMALL.shape[:2], 255, np.uint8)])
    four[:16, :16, 3] = 0
    shown = SMALL.copy()
    shown[:16, :16] = 255
    file = encode(Image.fromarray(four), "AVIF", **OPTIONS["AVIF"])
    yield Odd("AVIF: opacity", file, shown, 8)
    yield Odd("AVIF: something behind it", FILES["AVIF of 10 bits"] + b"anything" * 99, SMALL, 5)
    levels = np.asarray(PICTURE.convert("L"))
    yield Odd("AVIF: grey", encode(PICTURE.convert("L"), "AVIF", quality=95), grey(levels), 5)


# ------------------------------------------------------------------------------------------------------------- colours


def matrixed(pixels: Array, primaries: str, gamma: float) -> Array:
    return by_hand.to_srgb((pixels / 255) ** gamma @ by_hand.PRIMARIES[primaries].T)


def profiled() -> Iterator[Odd]:
    for name, gamma in (("Display P3", 2.2), ("Adobe RGB", 2.2), ("ProPhoto", 1.8)):
        icc = by_hand.rgb_profile(by_hand.PRIMARIES[name], gamma)
        for form in ("JPEG", "PNG", "WEBP", "TIFF", *(("AVIF",) if AVIF else ())):
            file = encode(PICTURE, form, icc_profile=icc, **OPTIONS.get(form, {}))
            yield Odd(f"{form}: colours of {name}", file, matrixed(SMALL, name, gamma), 3 * MEMORY[form] + 3)
    swapped = by_hand.rgb_profile(by_hand.PRIMARIES["sRGB"][:, [1, 2, 0]], 2.2)
    expected = matrixed(SMALL[..., [2, 0, 1]], "sRGB", 2.2)
    yield Odd("PNG: a profile that names green what is red", encode(PICTURE, "PNG", icc_profile=swapped), expected, 3)
    like = by_hand.rgb_profile(by_hand.PRIMARIES["sRGB"], 2.2)
    yield Odd("PNG: a profile that is all but sRGB's", encode(PICTURE, "PNG", icc_profile=like), SMALL, 4)
    from PIL import ImageCms

    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Odd("PNG: sRGB's own profile changes nothing", encode(PICTURE, "PNG", icc_profile=own), SMALL)
    four = np.dstack([SMALL, np.full(SMALL.shape[:2], 255, np.uint8)])
    four[:, :8, 3] = 0
    icc = by_hand.rgb_profile(by_hand.PRIMARIES["Adobe RGB"], 2.2)
    shown = matrixed(SMALL, "Adobe RGB", 2.2)
    shown[:, :8] = 255
    yield Odd(
        "PNG: colours of Adobe RGB, a part transparent", encode(Image.fromarray(four), "PNG", icc_profile=icc), shown, 3
    )
    levels = noise(channels=1)
    linear = by_hand.profile(b"GRAY", {b"kTRC": by_hand.curve(1.0)})
    shown = grey(by_hand.to_srgb(grey(levels / 255) * by_hand.D50)[..., 1])
    yield Odd("PNG: linear grey", encode(Image.fromarray(levels), "PNG", icc_profile=linear), shown, 3)
    yield Odd("TIFF: linear grey", encode(Image.fromarray(levels), "TIFF", icc_profile=linear), shown, 3)
    yield Odd(
        "PNG: colours with a profile of grey",
        encode(PICTURE, "PNG", icc_profile=by_hand.ink_profile(np.zeros((2, 2, 2, 2, 3)))),
        SMALL,
    )
    yield Odd("JPEG: inks with a profile of a screen", with_profile(inks(), icc), shown_inks(INKS), 4)
    yield Odd("JPEG: inks with a damaged profile", with_profile(inks(), icc[:300]), shown_inks(INKS), 4)
    yield Odd("JPEG: a damaged profile", with_profile(JPEG, icc[:300]), SMALL, 4)
    yield Odd("JPEG: a profile of which a part is missing", with_profile(JPEG, icc, of=2), SMALL, 4)
    paper, black = np.array([95.0, 0, 0]), np.array([8.0, 0, 0])
    lab = np.empty((2, 2, 2, 2, 3))
    for place in np.ndindex(2, 2, 2, 2):
        amount = np.array(place[:3])
        lab[place] = black if place[3] else paper - amount @ np.array([[40, 30, 45], [45, -70, 0], [5, 5, -85]])
    stored = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0]], np.uint8)
    file = encode(Image.fromarray(stored[None].repeat(2, 0), "CMYK"), "TIFF", icc_profile=by_hand.ink_profile(lab))
    expected = by_hand.lab_to_srgb(np.array([lab[tuple(ink // 255)] for ink in stored]))[None].repeat(2, 0)
    yield Odd("TIFF: inks as their profile has them", file, expected, 30, mean=14)


def with_profile(file: bytes, icc: bytes, of: int = 1) -> bytes:
    return file[:2] + segment(0xE2, b"ICC_PROFILE\0" + bytes((1, of)) + icc) + file[2:]


def everything() -> list[Odd]:
    kinds = [orientations(), jpegs(), pngs(), gifs(), bmps(), ppms(), tiffs(), webps(), profiled()]
    return [odd for kind in (*kinds, *((avifs(),) if AVIF else ())) for odd in kind]
