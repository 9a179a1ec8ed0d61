"""Which of the known formats bytes are in: told by what they begin with, never by a name."""

from __future__ import annotations

import re
from typing import Literal

from alexnet.errors import FormatError, PictureError

Kind = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"]

SIGNATURES: dict[Kind, re.Pattern[bytes]] = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),  # the lengths of known headings
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "PPM": re.compile(rb"P[1-6]\s"),
    "AVIF": re.compile(rb"\0\0..ftyp(avif|avis|mif1|msf1)", re.DOTALL),
}
FORMATS = tuple(SIGNATURES)


def kind_of(data: bytes) -> Kind:
    """Raises PictureError for what is none of them."""
    if not data:
        raise PictureError("empty file")
    for kind, signature in SIGNATURES.items():
        if signature.match(data) and (kind != "AVIF" or _is_avif(data)):
            return kind
    raise FormatError("not a picture of a known format")


def _is_avif(data: bytes) -> bool:
    """Whether the brands at the beginning name AVIF; HEIC pictures begin in the same way."""
    brands = data[8 : int.from_bytes(data[:4], "big")]
    return any(brands[place : place + 4] in (b"avif", b"avis") for place in range(0, len(brands), 4))
