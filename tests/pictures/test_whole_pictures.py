"""No half of a picture is ever shown as a whole one, and no whole one is taken for a half."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from by_hand import encode, noise, page, tags
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_pictures import AVIF
from PIL import Image

from alexnet.errors import PictureError
from alexnet.pictures.decode import decode


def scene(width: int, height: int, seed: int, grey_end: bool = False) -> Image.Image:
    """Soft shapes as in a photograph; the end may be of the very grey with which libjpeg fills up."""
    rough = noise(max(2, width // 9), max(2, height // 9), seed=seed)
    picture = np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)).copy()
    if grey_end:
        picture[height * 3 // 4 :] = 128
    return Image.fromarray(picture)


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {}),
    "JPEG, progressive": ("JPEG", {"progressive": True}),
    "JPEG with restarts": ("JPEG", {"restart_marker_blocks": 2}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "PPM": ("PPM", {}),
    "TIFF": ("TIFF", {}),
    "TIFF, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF, deflated": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF, JPEG": ("TIFF", {"compression": "jpeg"}),
    "WebP": ("WEBP", {}),
    "WebP, lossless": ("WEBP", {"lossless": True}),
    **({"AVIF": ("AVIF", {})} if AVIF else {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_cut_at_every_tenth_byte(kind: str) -> None:
    """Refused, at every try; or the very pixels of the whole, where only an end mark is missing."""
    form, options = KINDS[kind]
    data = encode(scene(48, 40, 1), form, **options)
    whole, shown = decode(data).tobytes(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in range(0, len(data), 10):
            for _ in range(2):
                try:
                    assert decode(data[:length]).tobytes() == whole
                    shown.append(length)
                except PictureError as error:
                    assert str(error).isprintable()
    assert all(length >= len(data) - 40 for length in shown)


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_behind_a_picture_changes_nothing(kind: str) -> None:
    form, options = KINDS[kind]
    data = encode(scene(96, 64, 1), form, **options)
    for more in (b"\0" * 1000, b"\n", bytes(range(256)) * 9, data):
        assert decode(data + more).tobytes() == decode(data).tobytes()


options = st.fixed_dictionaries(
    {"quality": st.integers(5, 100), "subsampling": st.integers(0, 2), "optimize": st.booleans()},
    optional={"restart_marker_blocks": st.integers(1, 9)},
)


@given(
    size=st.tuples(st.integers(17, 150), st.integers(17, 150)),
    seed=st.integers(0, 99),
    options=options,
    share=st.floats(0, 1, exclude_max=True),
    grey_end=st.booleans(),
    progressive=st.booleans(),
    scaled=st.booleans(),
)
@example(  # cut between ff and 00
    size=(36, 89),
    seed=34,
    options={"quality": 36, "subsampling": 2, "optimize": True},
    share=0.34191333960964065,
    grey_end=False,
    progressive=False,
    scaled=False,
)
@example(  # ffd0 in a quantization table, cut before the first restart
    size=(45, 45),
    seed=73,
    options={"quality": 15, "subsampling": 0, "optimize": False, "restart_marker_blocks": 8},
    share=0.2294522725690884,
    grey_end=False,
    progressive=False,
    scaled=True,
)
@settings(deadline=None, max_examples=150)
def test_jpegs_that_say_they_end(
    size: tuple[int, int],
    seed: int,
    options: dict[str, Any],
    share: float,
    grey_end: bool,
    progressive: bool,
    scaled: bool,
) -> None:
    """Cut anywhere in their data and closed with an end marker: libjpeg fills them up with grey and says nothing.

    Of a progressive one the last scan, which only refines, may be cut.
    """
    data = encode(scene(*size, seed, grey_end), "JPEG", progressive=progressive, **options)
    least = 4 if scaled else 0
    assert decode(data, least=least)
    first = data.index(b"\xff\xda") + 14
    last = data.rindex(b"\xff\xda") if progressive else len(data) - 2
    end = first + int(share * (last - first))
    if not progressive:
        rows = -(-size[1] // 16) - 1
        end = min(end, last - (last - first) // max(1, rows) - 16)  # at least the last row of blocks is missing
    if end > first and not (grey_end and share > 0.5 and not progressive):
        with pytest.raises(PictureError):
            decode(data[:end] + b"\xff\xd9", least=least)


@given(
    width=st.integers(1, 20), rows=st.integers(1, 20), missing=st.integers(1, 20), form=st.sampled_from(["L", "RGB"])
)
@settings(deadline=None, max_examples=60)
def test_strips_and_rows_that_are_missing(width: int, rows: int, missing: int, form: str) -> None:
    """A heading that asks for more rows than there are, of a TIFF, a BMP, a PPM and a PNG."""
    bits = (8,) * len(form)
    pixels = bytes(range(1, 1 + min(255, width))) * len(form) * rows
    pixels = (pixels * 20)[: width * len(form) * rows]
    file = page(tags(width, rows + missing, bits, 2 if form == "RGB" else 1), pixels)
    png = bytearray(encode(Image.frombytes(form, (width, rows), pixels), "PNG"))
    png[20:24] = struct.pack(">I", rows + missing)
    ppm = io.BytesIO()
    Image.frombytes(form, (width, rows), pixels).save(ppm, "PPM")
    lying = ppm.getvalue().replace(b"%d %d\n" % (width, rows), b"%d %d\n" % (width, rows + missing), 1)
    for data in (file, with_checksum(png), lying):
        with pytest.raises(PictureError):
            decode(data)


def with_checksum(png: bytearray) -> bytes:
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    return bytes(png)
