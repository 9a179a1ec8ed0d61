"""A look at one picture: whether it can be decoded, by the product's one decoder, and what `check` tells of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from alexnet.errors import PictureError
from alexnet.pictures.checks.near_duplicates import SIDE
from alexnet.pictures.decode import Head, Pixels, decode, head
from alexnet.pictures.sources import File, Read

ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".pbm", ".pgm", ".ppm", ".pnm"),
    "AVIF": (".avif",),
}
STRIP = 2**22  # pixels digested at a time


@dataclass(frozen=True)
class Look:
    """What was seen of a picture: its head (None where it comes from no file), sides in pixels, the digest of its
    pixels and a thumbnail, uint8 [32, 32, 3]."""

    head: Head | None
    width: int
    height: int
    digest: bytes
    thumbnail: Pixels


def look(read: Read) -> Look | PictureError:
    """Decode a picture in full and look at it, or say why it is refused."""
    try:
        if isinstance(read, File):
            data = read.contents()
            picture, found = decode(data, read.limits), head(data)
        else:
            picture, found = read(), None
    except PictureError as error:
        return error
    thumbnail = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return Look(found, *picture.size, _digest(picture), np.asarray(thumbnail))


def _digest(picture: Image.Image) -> bytes:
    """Of size and pixels, so that two files with the same pixels are the same picture."""
    width, height = picture.size
    digest = hashlib.blake2b(f"{width} {height} ".encode(), digest_size=16)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        digest.update(picture.crop((0, top, width, min(height, top + rows))).tobytes())
    return digest.digest()


def misnamed(path: str, format: str) -> bool:
    """Whether the ending of a name is that of another format; a name without any says nothing."""
    ending = PurePosixPath(path).suffix.lower()
    return ending not in ENDINGS.get(format, (ending,)) and any(ending in known for known in ENDINGS.values())
