"""From bytes to an RGB picture: the one decoder of training, evaluation, prediction and serving.

Files come from anywhere, so format is told by content from a list of known ones, limits are checked from the header
before memory is spent, and whatever Pillow raises becomes one error with a reason.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from alexnet.errors import PictureError

Pixels = NDArray[np.uint8]
Resize = Literal["crop", "squash", "pad"]
Decoding = Literal["full", "scaled"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
PNG = b"\x89PNG\r\n\x1a\n"
BITS, PHOTOMETRIC, ZERO_IS_WHITE = 258, 262, 0  # of a TIFF file
SPARE = 2  # how many times the stored side a JPEG decoded at part of its size still has
SCALED_PIXELS = 2**23  # of a picture scaled as a whole before its centre is cut out
BACKGROUND = (255, 255, 255)  # what shows through transparent pixels: white, as on paper and on most web pages

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead
warnings.filterwarnings("ignore", module="PIL")  # it speaks of damaged metadata, which is no concern here


@dataclass(frozen=True)
class Limits:
    """The largest picture that is decoded."""

    pixels: int = 100_000_000
    frames: int = 1_000
    bytes: int = 64 * 2**20


LIMITS = Limits()


def read(path: str | os.PathLike[str], limits: Limits = LIMITS) -> bytes:
    """Contents of a regular file. Raises PictureError if it cannot be read or is larger than the limit."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise PictureError("not a regular file")
        if status.st_size > limits.bytes:
            raise PictureError(f"{status.st_size:,} bytes are more than the limit of {limits.bytes:,}")
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise PictureError(getattr(error, "strerror", None) or str(error)) from None


def stored(data: bytes, side: int, resize: Resize = "crop", decoding: Decoding = "full") -> Pixels:
    """A file's contents as uint8 [side, side, 3]: the way that training, evaluation, prediction and serving share.

    `decoding` "scaled" takes large JPEGs at a half, a quarter or an eighth of their size (`decode`), which is quicker;
    `fit` does the rest. Raises PictureError.
    """
    return fit(decode(data, least=least(side, decoding)), side, resize)


def least(side: int, decoding: Decoding) -> int:
    """The shortest side down to which a JPEG may be decoded for a stored picture of `side`; 0: in full."""
    return SPARE * side if decoding == "scaled" else 0


def decode(data: bytes, limits: Limits = LIMITS, least: int = 0) -> Image.Image:
    """The picture that a viewer shows, in mode RGB: upright, first frame, 16 bits scaled, on white.

    With `least`, a JPEG is decoded at the smallest of a half, a quarter and an eighth of its size that leaves its
    shorter side that long and divides both sides, so that every pixel stays where it was.

    Raises PictureError with the reason for anything that is not a whole picture of a known format within the limits.
    """
    if not data:
        raise PictureError("empty file")
    if len(data) > limits.bytes:
        raise PictureError(f"{len(data):,} bytes are more than the limit of {limits.bytes:,}")
    try:
        if data.startswith(PNG):
            _check_png(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check(picture, limits)
            if least:
                _scale(picture, least)
            # Loaded before anything else is asked of it: a damaged PNG raises on the first load alone, and reading
            # its metadata counts as one.
            picture.load()
            return _rgb(_upright(picture), getattr(picture, "tag_v2", {}))
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture of a known format") from None
    except MemoryError:
        raise PictureError("not enough memory to decode it") from None
    except Exception as error:  # Pillow raises seven kinds of exception for damaged files
        raise PictureError(f"not decodable: {' '.join(str(error).split()) or type(error).__name__}") from None


def _check(picture: Image.Image, limits: Limits) -> None:
    width, height = picture.size
    if width * height > limits.pixels:
        raise PictureError(f"{width} x {height} pixels are more than the limit of {limits.pixels:,}")
    frames = getattr(picture, "n_frames", 1)
    if frames > limits.frames:
        raise PictureError(f"{frames:,} frames are more than the limit of {limits.frames:,}")


def _scale(picture: Image.Image, least: int) -> None:
    """Have a JPEG's blocks come out at part of their size; other formats know nothing of that."""
    width, height = picture.size
    for scale in (8, 4, 2):
        if min(width, height) >= scale * least and width % scale == height % scale == 0:
            picture.draft(None, (width // scale, height // scale))
            return


def _check_png(data: bytes) -> None:
    """Compare the checksums of the chunks that make up the pixels; Pillow passes over them, viewers do not."""
    place = len(PNG)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if kind in (b"IHDR", b"PLTE", b"IDAT") and data[end : end + 4] != struct.pack(
            ">I", zlib.crc32(memoryview(data)[place + 4 : end])
        ):
            raise PictureError(f"damaged: the checksum of its {kind.decode()} chunk is wrong")
        place = end + 4


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its metadata says; metadata that cannot be read says nothing."""
    with suppress(Exception):
        ImageOps.exif_transpose(picture, in_place=True)  # which makes no copy of one that is upright
    return picture


def _rgb(picture: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_wide(picture, tags)
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
        return Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_wide(picture: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """Grey values of more than 8 bits: 0..65535, or 0..1 if they are fractions; `tags` are those of a TIFF file."""
    values = np.asarray(picture).astype(np.float64)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise PictureError(f"grey values outside 0..{top:g}")
    if tags.get(BITS, (16,))[0] not in (16, 32):
        raise PictureError(f"{tags[BITS][0]} bits a value; 8, 16 and 32 are known")
    if tags.get(PHOTOMETRIC) == ZERO_IS_WHITE:
        values = top - values
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        values[values == clear] = top
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8)).convert("RGB")


def fit(picture: Image.Image, side: int, resize: Resize = "crop") -> Pixels:
    """The picture as uint8 [side, side, 3]: the shorter side scaled to `side` and the centre cut out (crop), both
    sides scaled (squash), or the longer side scaled and the rest filled with the mean of the border (pad).

    Bilinear with antialiasing, as Pillow and torchvision do it.
    """
    if resize == "squash":
        return _array(picture, (side, side))
    if resize == "crop":
        picture = _shortened(picture, side)
    width, height = picture.size
    reference = (min if resize == "crop" else max)(width, height)
    array = _array(picture, (max(1, side * width // reference), max(1, side * height // reference)))
    return _centre(array, side) if resize == "crop" else _pad(array, side)


def _shortened(picture: Image.Image, side: int) -> Image.Image:
    """The middle of a picture so long that scaling it as a whole for its centre would fill the memory."""
    width, height = picture.size
    if side * side * max(width, height) <= SCALED_PIXELS * min(width, height):
        return picture
    half = 2 * min(width, height)
    box = (max(0, width // 2 - half), max(0, height // 2 - half), width // 2 + half, height // 2 + half)
    return picture.crop((box[0], box[1], min(width, box[2]), min(height, box[3])))


def _array(picture: Image.Image, size: tuple[int, int]) -> Pixels:
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _centre(array: Pixels, side: int) -> Pixels:
    top, left = (round((length - side) / 2) for length in array.shape[:2])
    return array[top : top + side, left : left + side]


def _pad(array: Pixels, side: int) -> Pixels:
    border = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.rint(border.mean(axis=0))
    height, width = array.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = array
    return square
