"""Pictures for schemathesis, which knows none: loaded by it as its hooks."""

from __future__ import annotations

import io

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def picture(kind: str, width: int, height: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    data = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(data, kind)
    return data.getvalue()


PICTURES = st.builds(picture, st.sampled_from(KINDS), st.integers(1, 60), st.integers(1, 60), st.integers(0, 9))
schemathesis.openapi.format("binary", PICTURES)
for media_type in ("image/png", "image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, PICTURES)
