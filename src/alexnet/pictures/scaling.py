"""Pictures scaled, bilinear with antialiasing, as Pillow does it: by a kernel in C where the making of a store has
built it, else by Pillow itself, to the same bytes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.compiled import SCALING, loaded

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
"""Width and height."""

TRIED = ((97, 61, 40, 25), (61, 83, 90, 97), (40, 90, 97, 90), (90, 120, 60, 80), (60, 140, 30, 81), (40, 400, 20, 361))
"""Sizes before and after, on which the kernel must be Pillow's equal; the last two lose nearly twice as many rows as
columns (`_down_first`)."""


class Side(ctypes.Structure):
    """As in the C source: pixels of a side, those after scaling, the first of these wanted, and how many."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("length", "scaled", "first", "count"))


Scale = Callable[[ctypes.c_void_p, ctypes.c_void_p, Side, Side], int]
address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def scaled(picture: Image.Image, size: Size, middle: Size | None = None) -> Pixels:
    """A picture of mode RGB at `size`, or what lies in the middle of that: uint8 [rows, columns, 3]."""
    kernel = kernel_in_use()
    found = _by_kernel(kernel, picture, size, middle or size) if kernel else None
    return _by_pillow(picture, size, middle or size) if found is None else found


def _by_pillow(picture: Image.Image, size: Size, middle: Size) -> Pixels:
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = _corner(size, middle)
    return np.asarray(picture)[top : top + middle[1], left : left + middle[0]]


def _corner(size: Size, middle: Size) -> Size:
    """Where the middle begins."""
    return round((size[0] - middle[0]) / 2), round((size[1] - middle[1]) / 2)


def _by_kernel(kernel: Scale, picture: Image.Image, size: Size, middle: Size) -> Pixels | None:
    """None for what is Pillow's: nothing to scale, other modes, rows not side by side (pictures of more than 16 MB)."""
    if picture.size == size or picture.mode != "RGB" or _down_first(picture.size, size):
        return None
    try:
        _, array = picture.__arrow_c_array__()
    except ValueError:
        return None
    sides = zip(picture.size, size, _corner(size, middle), middle, strict=True)
    across, down = (Side(*side) for side in sides)
    pixels = np.empty((down.count, across.count, 3), np.uint8)
    given, taken = ctypes.c_void_p(address(array, b"arrow_array")), ctypes.c_void_p(pixels.ctypes.data)
    return pixels if kernel(given, taken, across, down) else None


def _down_first(before: Size, after: Size) -> bool:
    """Whether Pillow 13 scales down before across, which rounds otherwise: where that loses many more rows than
    columns."""
    columns, rows = (old - new for old, new in zip(before, after, strict=True))
    return rows > 0 and rows > 2 * columns


def kernel_in_use() -> Scale | None:
    """The kernel, if it is built and gives what this Pillow gives."""
    library = loaded(SCALING)
    return None if library is None else _tried(library)


@cache
def _tried(library: ctypes.CDLL) -> Scale | None:
    kernel: Scale = library.scale
    for width, height, *size in TRIED:
        noise = (np.arange(3 * width * height, dtype=np.uint64) * 2654435761 >> 16).astype(np.uint8)
        picture, after = Image.fromarray(noise.reshape(height, width, 3)), (size[0], size[1])
        found = _by_kernel(kernel, picture, after, after)
        if found is not None and not np.array_equal(found, _by_pillow(picture, after, after)):
            return None
    return kernel
