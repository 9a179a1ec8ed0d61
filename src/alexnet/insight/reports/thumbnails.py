"""Small pictures as text, to be written into a page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.pictures.decode import Pixels

QUALITY = 80  # of JPEG: 4 to 7 kB for a photograph of 128 x 128


def jpeg(picture: Pixels, side: int) -> str:
    """uint8 [H, W, 3] as a JPEG whose longer side is at most `side`, in a data URI."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(image, "jpeg", quality=QUALITY)


def png(picture: NDArray[np.uint8]) -> str:
    """uint8 [H, W, 3] or [H, W, 4] as a PNG, pixel by pixel, in a data URI."""
    return _uri(Image.fromarray(np.ascontiguousarray(picture)), "png", optimize=True)


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
