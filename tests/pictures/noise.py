"""Pictures of noise, each its own."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

MakePictures = Callable[..., list[str]]


def picture(name: str, size: tuple[int, int]) -> Image.Image:
    """A picture that depends on its name and size alone, and differs from that of any other name."""
    width, height = size
    chance = np.random.Generator(np.random.Philox(key=zlib.crc32(os.fsencode(name))))
    return Image.fromarray(chance.integers(0, 256, (height, width, 3), dtype=np.uint8))
