"""From bytes to an RGB picture: the one decoder of training, evaluation, prediction and serving.

Files come from anywhere, so format is told by content from a list of known ones, limits are checked from the header
before memory is spent, and whatever Pillow raises becomes one error with a reason.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from alexnet.errors import PictureError
from alexnet.pictures.colours import in_srgb
from alexnet.pictures.encodings import gif, jpeg, png, tiff, webp
from alexnet.pictures.encodings.kinds import FORMATS as FORMATS
from alexnet.pictures.encodings.kinds import Kind, kind_of
from alexnet.pictures.limits import LIMITS as LIMITS
from alexnet.pictures.limits import Limits as Limits
from alexnet.pictures.orientation import upright
from alexnet.pictures.scaling import Pixels as Pixels
from alexnet.pictures.scaling import scaled

Resize = Literal["crop", "squash", "pad"]
Decoding = Literal["full", "scaled"]

LEAN: dict[Kind, Callable[[bytes, Limits], bytes]] = {
    "JPEG": jpeg.lean,
    "PNG": png.lean,
    "GIF": gif.lean,
    "TIFF": tiff.lean,
    "WEBP": webp.lean,
}
SPARE = 2  # how many times the stored side a JPEG decoded at part of its size still has
SCALED_PIXELS = 2**23  # of a picture scaled as a whole before its centre is cut out
BAND = 2**22  # pixels changed at a time
BACKGROUND = (255, 255, 255)  # what shows through transparent pixels: white, as on paper and on most web pages

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead
# Pillow speaks of damage on the error stream; what matters is raised too, and the rest is no concern here.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read(path: str | os.PathLike[str], limits: Limits = LIMITS) -> bytes:
    """Contents of a regular file. Raises PictureError if it cannot be read or is larger than the limit.

    No more is read than one byte beyond the limit, whatever size the file claims (those in /proc claim none), and a
    pipe that takes the file's place meanwhile is not waited for.
    """
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            limits.check_bytes(status.st_size)
            with open(path, "rb", opener=_without_waiting) as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    data = file.read(status.st_size + 1)
                    if len(data) > status.st_size:  # it has grown, or claimed none
                        room = min(limits.bytes, max(status.st_size, LIMITS.bytes))  # taken from memory at once
                        data += file.read(room + 1 - len(data))
                    limits.check_bytes(len(data))
                    return data
        raise PictureError("not a regular file")
    except (OSError, ValueError) as error:
        raise PictureError(getattr(error, "strerror", None) or str(error)) from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def stored(
    data: bytes, side: int, resize: Resize = "crop", decoding: Decoding = "full", limits: Limits = LIMITS
) -> Pixels:
    """A file's contents as uint8 [side, side, 3]: the way that training, evaluation, prediction and serving share.

    `decoding` "scaled" takes large JPEGs at a half, a quarter or an eighth of their size (`decode`), which is quicker;
    `fit` does the rest. Raises PictureError.
    """
    return fit(decode(data, limits, least(side, decoding)), side, resize)


def least(side: int, decoding: Decoding) -> int:
    """The shortest side down to which a JPEG may be decoded for a stored picture of `side`; 0: in full."""
    return SPARE * side if decoding == "scaled" else 0


def decode(data: bytes, limits: Limits = LIMITS, least: int = 0) -> Image.Image:
    """The picture that a viewer shows, in mode RGB: upright, first frame, 16 bits scaled, in sRGB, on white.

    With `least`, a JPEG is decoded at the smallest of a half, a quarter and an eighth of its size that leaves its
    shorter side that long and divides both sides, so that every pixel stays where it was.

    Raises PictureError with the reason for anything that is not a whole picture of a known format within the limits.
    """
    limits.check_bytes(len(data))
    kind = kind_of(data)
    try:
        if kind in LEAN:
            data = LEAN[kind](data, limits)
        return shown(_open(data, kind, limits, least))
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"not decodable: the heading of this {kind} is damaged or of a rare kind") from None
    except MemoryError:
        raise PictureError("not enough memory to decode it") from None
    except Exception as error:  # Pillow raises seven kinds of exception for damaged files
        raise PictureError(f"not decodable: {' '.join(str(error).split()) or type(error).__name__}") from None


@dataclass(frozen=True)
class Head:
    """What a file says of itself: format, Pillow's mode, frames or pages, alpha channel or transparent colour."""

    format: Kind
    mode: str
    frames: int
    transparent: bool


def head(data: bytes) -> Head | None:
    """The head of a file that was decoded, so that its limits are known to hold; None where it cannot be told."""
    kind = kind_of(data)
    with suppress(Exception), Image.open(io.BytesIO(data), formats=(kind,)) as picture:
        return Head(kind, picture.mode, getattr(picture, "n_frames", 1), picture.has_transparency_data)
    return None


def _open(data: bytes, kind: Kind, limits: Limits, least: int) -> Image.Image:
    """The pixels of a file, in whatever mode they are."""
    if kind == "JPEG":
        picture = _load(jpeg.closed(data), kind, limits, least)
        if jpeg.may_be_cut(data, picture):
            longer = _load(jpeg.longer(data), kind, limits, least)
            _refuse_unless(ImageChops.difference(picture, longer).getbbox() is None)
        return picture
    picture = _load(data, kind, limits, least)
    if kind == "PNG" and png.may_be_cut(data, picture):
        there, asked = png.pixel_bytes(data)
        _refuse_unless(there >= asked)
    return picture


def _refuse_unless(whole: bool) -> None:
    if not whole:
        raise PictureError("not whole: its data end before the picture does")


def _load(data: bytes, kind: Kind, limits: Limits, least: int) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=(kind,)) as picture:
        limits.check_size(*picture.size)
        limits.check_frames(getattr(picture, "n_frames", 1))
        if least:
            _scale(picture, least)
        covered = picture.tile[0].extents if kind == "GIF" else None
        picture.load()
    if covered and covered != (0, 0, *picture.size):
        return _on_screen(picture, covered)
    return picture


def _scale(picture: Image.Image, least: int) -> None:
    """Have a JPEG's blocks come out at part of their size; other formats know nothing of that."""
    width, height = picture.size
    for scale in (8, 4, 2):
        if min(width, height) >= scale * least and width % scale == height % scale == 0:
            picture.draft(None, (width // scale, height // scale))
            return


def _on_screen(picture: Image.Image, covered: tuple[int, int, int, int]) -> Image.Image:
    """A frame that does not fill the screen of its GIF; the rest is transparent, not of the palette's first colour."""
    screen = Image.new("RGBA", picture.size)
    screen.paste(picture.convert("RGBA").crop(covered), covered[:2])
    return screen


def shown(picture: Image.Image) -> Image.Image:
    """Pixels of whatever mode as a viewer shows them, in mode RGB. Raises PictureError for values without a scale."""
    info = picture.info
    if hasattr(picture, "tag_v2"):
        picture = tiff.settled(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _narrow(picture)
    if picture.has_transparency_data:
        picture = _on_paper(picture)
    return upright(in_srgb(picture, info.get("icc_profile")), info.get("exif", b""))


def _on_paper(picture: Image.Image) -> Image.Image:
    if picture.mode == "La":  # Pillow knows no direct way
        picture = picture.convert("LA")
    shown = Image.new("RGB", picture.size)
    for top, band in _bands(picture):
        paper = Image.new("RGBA", band.size, (*BACKGROUND, 255))
        shown.paste(Image.alpha_composite(paper, band.convert("RGBA")).convert("RGB"), (0, top))
    return shown


def _narrow(picture: Image.Image) -> Image.Image:
    """Grey values of more than 8 bits, 0..65535, or 0..1 if they are fractions, in 8; transparent ones are white."""
    highest = 1.0 if picture.mode == "F" else 65535.0
    grey = Image.new("L", picture.size)
    for top, band in _bands(picture):
        values = np.asarray(band).astype(np.float64)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= highest):
            raise PictureError(f"grey values outside 0..{highest:g}")
        clear = values == picture.info.get("transparency", -1)
        levels = np.where(clear, 255, np.rint(values * (255 / highest))).astype(np.uint8)
        grey.paste(Image.fromarray(levels), (0, top))
    return grey


def _bands(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The first row and the pixels of each of some bands, for what takes much memory."""
    width, height = picture.size
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(top + rows, height)))


def fit(picture: Image.Image, side: int, resize: Resize = "crop") -> Pixels:
    """The picture as uint8 [side, side, 3]: the shorter side scaled to `side` and the centre cut out (crop), both
    sides scaled (squash), or the longer side scaled and the rest filled with the mean of the border (pad).

    Bilinear with antialiasing, as Pillow does it (`scaling`).
    """
    if resize == "squash":
        return scaled(picture, (side, side))
    if resize == "crop":
        picture = _shortened(picture, side)
    width, height = picture.size
    reference = (min if resize == "crop" else max)(width, height)
    size = (max(1, side * width // reference), max(1, side * height // reference))
    return scaled(picture, size, (side, side)) if resize == "crop" else _pad(scaled(picture, size), side)


def _shortened(picture: Image.Image, side: int) -> Image.Image:
    """The middle of a picture so long that scaling it as a whole for its centre would fill the memory."""
    width, height = picture.size
    if side * side * max(width, height) <= SCALED_PIXELS * min(width, height):
        return picture
    half = 2 * min(width, height)
    box = (max(0, width // 2 - half), max(0, height // 2 - half), width // 2 + half, height // 2 + half)
    return picture.crop((box[0], box[1], min(width, box[2]), min(height, box[3])))


def _pad(array: Pixels, side: int) -> Pixels:
    border = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.rint(border.mean(axis=0))
    height, width = array.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = array
    return square
