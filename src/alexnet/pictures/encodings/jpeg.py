"""JPEG: what of a file makes up its picture, and whether all of it is there."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence

from PIL import Image

from alexnet.errors import PictureError
from alexnet.pictures.limits import Limits

START, END = b"\xff\xd8", b"\xff\xd9"
MARKER = re.compile(rb"\xff[^\x00\xff]")
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # a restart belongs to the scan
ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers that nothing belongs to
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)
ARITHMETIC = (0xC9, 0xCA)
TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD))  # codes, quantization, restarts
SCAN = 0xDA
BESIDE = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 6), 0xE2: (b"ICC_PROFILE\0", 14), 0xEE: (b"Adobe", 12)}
"""What else changes how it looks: how it begins, and the least of its bytes."""
SEGMENTS = 10_000  # no picture has more; each costs time
SCANS = 100  # the same: encoders write 1 to 20, and each costs a pass over all pixels
COEFFICIENTS = (1 << 64) - 1  # of a block, a bit for each
FILLED = (127, 128)  # of all channels: grey, where data that end early are filled up
MORE = bytes(range(254, 100, -1))
"""Data that no picture goes on with: libjpeg fills up with zeros, these begin with ones."""

Segment = tuple[int, bytes]
"""Marker, and all that belongs to it, the marker too; to a scan its data."""


def lean(data: bytes, limits: Limits) -> bytes:
    """The file up to the end of its first picture, without what is only beside it.

    Raises PictureError for kinds of JPEG that are not known, and for files of which parts must be missing.
    """
    segments = list(_segments(data))
    frame = next((segment for code, segment in segments if code in FRAMES), b"")
    if len(frame) >= 10:
        _check_frame(frame, limits)
        _check_scans(frame, [segment for code, segment in segments if code == SCAN])
    return START + b"".join(segment for code, segment in segments if _counts(code, segment))


def _segments(data: bytes) -> Iterator[Segment]:
    """The segments up to the end of the first picture, or to where the file is cut off."""
    place, count = len(START), 0
    while (found := MARKER.search(data, place)) and (count := count + 1) <= SEGMENTS:
        code, place = data[found.end() - 1], found.end()
        if code == END[1]:
            yield code, END
            return
        if code in ALONE:
            continue
        place += int.from_bytes(data[place : place + 2], "big")
        if code == SCAN:
            after = AFTER_SCAN.search(data, place)
            place = after.start() if after else len(data)
        yield code, data[found.start() : place]
    if count > SEGMENTS:
        raise PictureError(f"not decodable: more than {SEGMENTS:,} segments")


def _counts(code: int, segment: bytes) -> bool:
    name, least = BESIDE.get(code, (b"none", 4))
    beside = segment.startswith(name, 4) and len(segment) >= 4 + least
    return beside or code in FRAMES or code in TABLES or code in (SCAN, END[1])


def _check_frame(frame: bytes, limits: Limits) -> None:
    """Raises PictureError for a kind, a depth or a size that is not decoded."""
    code, bits, height, width = struct.unpack_from(">xBxxBHH", frame)
    if code not in (*SEQUENTIAL, *PROGRESSIVE):
        raise PictureError("a lossless or hierarchical JPEG; baseline, progressive and arithmetic-coded ones are known")
    if bits != 8:
        raise PictureError(f"a JPEG of {bits} bits a value; those of 8 are known")
    if not height:
        raise PictureError("a JPEG whose height is not in its heading")
    limits.check_size(width, height)


def _check_scans(frame: bytes, scans: Sequence[bytes]) -> None:
    """Raises PictureError where scans are missing, or there are fewer bits than blocks, of which each takes one."""
    code, height, width = struct.unpack_from(">xBxxxHH", frame)
    if len(scans) > SCANS:
        raise PictureError(f"not decodable: more than {SCANS} scans")
    seen: dict[int, int] = {}
    for scan in scans:
        count = scan[4]
        first, last, bits = scan[5 + 2 * count : 8 + 2 * count]
        final = (2 << last) - (1 << first) if bits & 15 == 0 else 0  # coefficients that no later scan makes finer
        for component in scan[5 : 5 + 2 * count : 2]:
            seen[component] = seen.get(component, 0) | (final if code in PROGRESSIVE else COEFFICIENTS)
    if any(seen.get(component) != COEFFICIENTS for component in frame[10::3]):
        raise PictureError("not whole: a part of its data is missing")
    if code not in ARITHMETIC and 8 * sum(map(len, scans)) < -(-width // 8) * -(-height // 8):
        raise PictureError("not whole: too little data for its size")


def closed(data: bytes) -> bytes:
    """The file that `lean` gave with an end marker, in place of zeros and of half a marker if it had none."""
    if data.endswith(END):
        return data
    bare = data.rstrip(b"\0\xff")
    return bare + (b"\xff\0" if data.startswith(b"\xff\0", len(bare)) else b"") + END


def may_be_cut(data: bytes, picture: Image.Image) -> bool:
    """Whether the data may end before the picture does: there is no end marker, or the last pixel is grey.

    `data` are those that `lean` gave, `picture` what became of them. libjpeg says nothing of data that end early.
    """
    last = picture.getpixel((picture.width - 1, picture.height - 1))
    return not data.endswith(END) or all(value in FILLED for value in (last if isinstance(last, tuple) else (last,)))


def longer(data: bytes) -> bytes:
    """A file with more data after its own: they change nothing of a whole picture, but much of one that was cut off."""
    bare = closed(data).removesuffix(END).rstrip(b"\xff")  # half a marker would make a whole one with what follows
    scan = [segment for code, segment in _segments(bare) if code == SCAN][-1]
    restarts = RESTART.findall(scan)
    waited_for = (restarts[-1][1] + 1) % 8 if restarts else 0  # if it was cut off before one
    return bare + MORE + bytes((0xFF, 0xD0 + waited_for)) + MORE + END
