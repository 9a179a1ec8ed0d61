"""The one decoder: the picture a viewer shows, within limits, or a reason. And the one way to a square."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
from by_hand import UPRIGHT, bmp, chunk, encode, noise, orientation, png, tiff, tiles
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, features

from alexnet.errors import PictureError
from alexnet.pictures.decode import FORMATS, Limits, decode, fit, read

Array = NDArray[Any]


def shown(data: bytes, limits: Limits | None = None) -> NDArray[np.int64]:
    """What comes out of the decoder, wide enough to subtract."""
    picture = decode(data, limits) if limits else decode(data)
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(np.int64)


def why_not(data: bytes, limits: Limits | None = None) -> str:
    """The reason for which bytes are refused."""
    with pytest.raises(PictureError) as caught:
        decode(data, limits) if limits else decode(data)
    assert caught.value.exit_code == 3
    assert str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- orientation

TURNED: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("number", UPRIGHT)
@pytest.mark.parametrize("form", TURNED)
def test_pictures_are_turned_upright(form: str, number: int) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    stored = tiles()
    exif: dict[str, Any] = {"tiffinfo": {0x0112: number}} if form == "TIFF" else {"exif": orientation(number)}
    data = encode(Image.fromarray(stored), form, **TURNED[form], **exif)
    expected = UPRIGHT[number](stored).astype(int)
    picture = shown(data)
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= (0 if form in ("PNG", "WEBP", "TIFF") else 12)


@pytest.mark.parametrize("number", UPRIGHT)
def test_orientation_after_the_pixels_of_a_png_counts_too(number: int) -> None:
    """The standard lets the eXIf chunk stand on either side of IDAT."""
    stored = noise()
    late = chunk(b"eXIf", orientation(number).removeprefix(b"Exif\0\0"))
    picture = shown(png([row.tobytes() for row in stored], 24, 8, 2, after=late))
    np.testing.assert_array_equal(picture, UPRIGHT[number](stored))


@pytest.mark.parametrize("number", UPRIGHT)
def test_16_bit_pictures_are_turned_too(number: int) -> None:
    stored = noise(channels=1)
    rows = [(row.astype(">u2") * 257).tobytes() for row in stored]
    data = png(rows, 24, 16, 0, chunk(b"eXIf", orientation(number).removeprefix(b"Exif\0\0")))
    np.testing.assert_array_equal(shown(data)[..., 0], UPRIGHT[number](stored))


@pytest.mark.parametrize("number", [0, 9, 255])
def test_orientations_that_do_not_exist_are_none(number: int) -> None:
    data = encode(Image.fromarray(noise()), "PNG", exif=orientation(number))
    np.testing.assert_array_equal(shown(data), noise())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0", orientation(6)[:20], orientation(6)[:14]])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_metadata_is_no_damaged_picture(form: str, exif: bytes) -> None:
    """Every viewer shows these; the pixels are whole."""
    data = encode(Image.fromarray(tiles()), form, exif=exif, **TURNED[form])
    assert np.abs(shown(data) - tiles()).max() <= (0 if form != "JPEG" else 12)


def test_pillow_says_nothing_on_the_error_stream() -> None:
    """Its warnings, with the place in its code, are no help to the user; a reason is in the exception."""
    whole = encode(Image.fromarray(noise()), "JPEG", exif=orientation(6)[:20])
    packed = encode(Image.fromarray(noise()), "TIFF", compression="tiff_lzw")
    code = """if True:
        import sys
        from alexnet.errors import PictureError
        from alexnet.pictures.decode import decode
        for line in sys.stdin:
            try:
                decode(bytes.fromhex(line))
                print("whole")
            except PictureError:
                print("refused")
    """
    lines = f"{whole.hex()}\n{packed[:-30].hex()}\n"
    answer = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, text=True, timeout=60)
    assert answer.stdout.split() == ["whole", "refused"]
    assert answer.stderr == ""


# -------------------------------------------------------------------------------------------------------------- grey


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "BMP", "GIF"])
def test_one_bit(form: str) -> None:
    stored = noise(channels=1) > 127
    data = encode(Image.fromarray(stored), form)
    np.testing.assert_array_equal(shown(data), np.repeat(stored[..., None] * 255, 3, axis=2))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "BMP", "GIF", "WEBP"])
def test_eight_bits(form: str) -> None:
    stored = noise(channels=1)
    data = encode(Image.fromarray(stored), form, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(shown(data), np.repeat(stored[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("depth", "row", "expected"), [(2, b"\x1b", [0, 85, 170, 255]), (4, b"\x08\xf0", [0, 136, 255, 0])]
)
def test_two_and_four_bits(depth: int, row: bytes, expected: list[int]) -> None:
    assert shown(png([row], 4, depth, 0))[0, :, 1].tolist() == expected


def wide(values: NDArray[np.uint16]) -> dict[str, bytes]:
    """The same 16-bit grey values in every format that has them."""
    height, width = values.shape
    return {
        "PNG": png([row.astype(">u2").tobytes() for row in values], width, 16, 0),
        "TIFF, little end first": tiff(width, height, 16, values.astype("<u2").tobytes()),
        "TIFF, big end first": tiff(width, height, 16, values.astype(">u2").tobytes(), ">"),
        "PGM": b"P5 %d %d 65535\n" % (width, height) + values.astype(">u2").tobytes(),
        "PGM in words": b"P2 %d %d 65535\n" % (width, height) + b" ".join(b"%d" % v for v in values.ravel()),
    }


@pytest.mark.parametrize("form", wide(np.zeros((1, 1), np.uint16)))
def test_16_bits_are_scaled_not_clipped(form: str) -> None:
    """65,535 is 255 · 257, so a value v is the byte v/257."""
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    np.testing.assert_array_equal(shown(wide(levels * 257)[form])[..., 0], levels)
    values = np.random.default_rng(0).integers(0, 65536, (9, 11)).astype(np.uint16)
    picture = shown(wide(values)[form])
    assert np.abs(picture - values[..., None] / 257).max() <= 0.5
    assert (picture[..., :1] == picture).all()


@pytest.mark.parametrize("photometric", [1, 0], ids=["zero is black", "zero is white"])
@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_tiff_of_every_depth(bits: int, photometric: int) -> None:
    """Two pixels: all bits clear, all bits set."""
    pixels = {1: b"\x40", 4: b"\x0f", 8: b"\0\xff", 16: b"\0\0\xff\xff"}[bits]
    picture = shown(tiff(2, 1, bits, pixels, photometric=photometric))
    assert picture[0, :, 0].tolist() == ([0, 255] if photometric else [255, 0])


@pytest.mark.parametrize("photometric", [1, 0], ids=["zero is black", "zero is white"])
def test_tiff_of_12_bits_is_right_or_refused(photometric: int) -> None:
    """As microscopes write it. Taken for 16 bits, it would be all but black."""
    try:
        picture = shown(tiff(2, 1, 12, b"\x00\x0f\xff", photometric=photometric))
    except PictureError:
        return
    assert picture[0, :, 0].tolist() == ([0, 255] if photometric else [255, 0])


@pytest.mark.parametrize(("top", "values"), [(100, [0, 50, 100]), (1023, [0, 511, 1023]), (4095, [0, 2048, 4095])])
def test_pgm_with_any_highest_value(top: int, values: list[int]) -> None:
    pixels = np.array(values, ">u2" if top > 255 else "u1").tobytes()
    picture = shown(b"P5 3 1 %d\n" % top + pixels)
    assert np.abs(picture[0, :, 0] - np.array(values) * 255 / top).max() <= 1
    assert picture[0, -1].tolist() == [255, 255, 255]


def test_colour_of_16_bits() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(">u2")
    picture = shown(png([row.tobytes() for row in values], 7, 16, 2))
    assert np.abs(picture - values.astype(float) / 257).max() <= 1


def test_fractions_run_from_zero_to_one() -> None:
    values = np.array([[0, 0.25, 0.5, 1]], "<f4")
    picture = shown(tiff(4, 1, 32, values.tobytes(), sample=3))
    assert np.abs(picture[0, :, 0] - [0, 63.75, 127.5, 255]).max() <= 0.5


@pytest.mark.parametrize("values", [[0, 1.5], [-1, 0], [0, np.nan], [0, np.inf], [0, 300]])
def test_grey_values_without_a_known_scale_are_refused(values: list[float]) -> None:
    assert "grey" in why_not(tiff(2, 1, 32, np.array([values], "<f4").tobytes(), sample=3))


# ------------------------------------------------------------------------------------------------------ transparency


def on_white(colours: Array, alpha: Array) -> NDArray[np.float64]:
    share = alpha[..., None] / 255
    mixed: NDArray[np.float64] = colours * share + 255 * (1 - share)
    return mixed


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_transparent_colours_lie_on_white(form: str) -> None:
    """What is hidden stays hidden: a viewer does not show the colour of transparent pixels."""
    stored = noise(channels=4)
    stored[:4, :, 3] = 0
    stored[4:8, :, 3] = 255
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    picture = shown(encode(Image.fromarray(stored), form, **options))
    assert np.abs(picture - on_white(stored[..., :3], stored[..., 3])).max() <= 1
    assert (picture[:4] == 255).all()
    np.testing.assert_array_equal(picture[4:8], stored[4:8, :, :3])


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_grey_lies_on_white(depth: int) -> None:
    stored = noise(channels=2)
    stored[:4, :, 1] = 0
    wide_rows = [(row.astype(">u2") * 257).tobytes() for row in stored]
    picture = shown(png(wide_rows if depth == 16 else [row.tobytes() for row in stored], 24, depth, 4))
    assert np.abs(picture - on_white(stored[..., :1], stored[..., 1])).max() <= 1
    assert (picture[:4] == 255).all()


def test_a_palette_with_transparency() -> None:
    """Four colours of falling opacity; the last has none given, which means all."""
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [90, 90, 90]], np.uint8)
    opacity = np.array([0, 100, 255, 255])
    data = png([b"\x1b"], 4, 2, 3, chunk(b"PLTE", colours.tobytes()), chunk(b"tRNS", bytes([0, 100, 255])))
    assert np.abs(shown(data)[0] - on_white(colours, opacity)).max() <= 1


def test_a_palette_without_transparency() -> None:
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [90, 90, 90]], np.uint8)
    np.testing.assert_array_equal(shown(png([b"\x1b"], 4, 2, 3, chunk(b"PLTE", colours.tobytes())))[0], colours)


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes_in_other_formats(form: str) -> None:
    stored = Image.fromarray(noise()).quantize(13)
    np.testing.assert_array_equal(shown(encode(stored, form)), np.asarray(stored.convert("RGB")))


def test_a_gif_with_a_transparent_colour() -> None:
    stored = Image.new("P", (4, 2), 1)
    stored.putpalette([250, 0, 0, 0, 0, 250])
    stored.putpixel((2, 1), 0)
    picture = shown(encode(stored, "GIF", transparency=0))
    assert picture[1, 2].tolist() == [255, 255, 255]
    assert picture[0, 0].tolist() == [0, 0, 250]


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)])
def test_one_colour_of_a_png_may_be_transparent(depth: int, colour: int) -> None:
    """tRNS for pictures without a palette names the colour, here black; white on white would show nothing."""
    channels = 3 if colour == 2 else 1
    length = max(1, channels * depth // 8)
    hidden = chunk(b"tRNS", bytes(2 * channels))
    rows = [bytes(length), bytes([0x40] * length)]  # one pixel a row
    picture = shown(png(rows, 1, depth, colour, hidden))
    assert picture[0, 0].tolist() == [255, 255, 255]
    plain = shown(png(rows, 1, depth, colour))
    assert plain[0, 0].tolist() == [0, 0, 0]
    if depth > 1:
        np.testing.assert_array_equal(picture[1], plain[1])


# -------------------------------------------------------------------------------------------------- CMYK, animations


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_inks_the_right_way_round(form: str) -> None:
    """No ink is white paper. A JPEG with Adobe's marker stores paper minus ink."""
    inks = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255], [100, 50, 0, 60]])
    stored = np.broadcast_to(inks.astype(np.uint8), (16, 6, 4)).repeat(16, axis=1)
    data = encode(Image.fromarray(stored, "CMYK"), form, **({"quality": 95} if form == "JPEG" else {}))
    assert form == "TIFF" or b"Adobe" in data
    light = 255 - inks
    expected = light[:, :3] * light[:, 3:] / 255
    assert np.abs(shown(data)[8, 8::16] - expected).max() <= 6


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation(form: str) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    colours = [(200, 30, 60), (0, 255, 0), (0, 0, 255)]
    frames = [Image.new("RGB", (20, 12), colour) for colour in colours]
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {"quality": 100} if form == "AVIF" else {}
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.n_frames == 3  # type: ignore[attr-defined]
    assert np.abs(shown(data) - colours[0]).max() <= (3 if form == "AVIF" else 0)


# ----------------------------------------------------------------------------------------------------- plain formats


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_lossless_formats_keep_every_pixel(form: str) -> None:
    data = encode(Image.fromarray(noise(23, 17)), form, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(shown(data), noise(23, 17))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_jpeg(options: dict[str, Any]) -> None:
    assert np.abs(shown(encode(Image.fromarray(tiles()), "JPEG", quality=95, **options)) - tiles()).mean() <= 3


def test_files_put_together_by_hand() -> None:
    """Bytes written after the formats' own descriptions, not by Pillow."""
    stored = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)
    rows = [row[:, ::-1].tobytes() + b"\0\0" for row in stored]  # blue first, rows filled up to four bytes
    np.testing.assert_array_equal(shown(bmp(2, -2, 24, rows[0] + rows[1])), stored)
    np.testing.assert_array_equal(shown(bmp(2, 2, 24, rows[1] + rows[0])), stored)
    np.testing.assert_array_equal(shown(b"P6\n# a remark\n2 2 255\n" + stored.tobytes()), stored)
    np.testing.assert_array_equal(shown(b"P3 2 2 255 " + b" ".join(b"%d" % v for v in stored.ravel())), stored)
    np.testing.assert_array_equal(shown(png([row.tobytes() for row in stored], 2, 8, 2)), stored)
    assert shown(b"P1 2 1 1 0")[0, :, 0].tolist() == [0, 255]
    assert shown(b"P4 2 1 \x80")[0, :, 0].tolist() == [0, 255]


def test_every_format_of_the_list_is_decoded() -> None:
    forms = [form for form in FORMATS if form != "AVIF" or features.check("avif")]
    assert {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"} <= set(forms)
    for form in forms:
        assert shown(encode(Image.fromarray(tiles()), form)).shape == tiles().shape


# ------------------------------------------------------------------------------------------------------------ limits


def test_byte_limit(tmp_path: Path) -> None:
    data = encode(Image.fromarray(noise()), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    assert decode(data, Limits(bytes=len(data))).size == (24, 16)
    assert read(tmp_path / "a.png", Limits(bytes=len(data))) == data
    assert "bytes" in why_not(data, Limits(bytes=len(data) - 1))
    with pytest.raises(PictureError, match=f"{len(data):,} bytes"):
        read(tmp_path / "a.png", Limits(bytes=len(data) - 1))


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    """One byte more than 64 MiB, of which none is on the disk."""
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(PictureError, match="bytes"):
        read(path)


def test_pixel_limit() -> None:
    data = encode(Image.fromarray(noise()), "PNG")
    assert decode(data, Limits(pixels=24 * 16)).size == (24, 16)
    assert "24 x 16" in why_not(data, Limits(pixels=24 * 16 - 1))


def boastful(side: int) -> dict[str, bytes]:
    """Small files whose headings claim `side` x `side` pixels."""
    one = Image.new("RGB", (64, 64), (1, 2, 3))
    jpeg = bytearray(encode(one, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    gif = bytearray(encode(one, "GIF"))
    gif[6:10] = struct.pack("<HH", side, side)
    webp = bytearray(encode(one, "WEBP", lossless=True))
    start = webp.index(b"VP8L") + 9
    size = min(side, 16384) - 1
    webp[start : start + 4] = struct.pack("<I", size | size << 14)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    heading = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return {
        "PNG": b"\x89PNG\r\n\x1a\n" + heading + pixels + chunk(b"IEND", b""),
        "BMP": bmp(side, side, 24, bytes(100)),
        "TIFF": tiff(side, side, 8, bytes(100)),
        "PPM": b"P6 %d %d 255\n" % (side, side) + bytes(100),
        "JPEG": bytes(jpeg),
        "GIF": bytes(gif),
        "WEBP": bytes(webp),
    }


MEASURED = """
import json, resource, sys, warnings
sys.path.insert(0, sys.argv[1])
from test_decode import boastful, why_not
warnings.simplefilter("ignore")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pictures, found = boastful(int(sys.argv[2])), {}
for form, data in pictures.items():
    before = peak()
    found[form] = (why_not(data), peak() - before)
print(json.dumps(found))
"""


@pytest.mark.parametrize("side", [10_001, 12_000, 50_000])
def test_a_heading_that_claims_too_much_costs_no_memory(side: int) -> None:
    """In a process of its own: one that has trained keeps all the memory that it ever had."""
    command = [sys.executable, "-c", MEASURED, str(Path(__file__).parent), str(side)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, tuple[str, int]] = json.loads(answer)
    assert found.keys() == boastful(1).keys()
    for reason, kilobytes in found.values():
        assert "pixels" in reason and "limit" in reason
        assert kilobytes < 50_000


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_pixel_limit_may_be_raised() -> None:
    """Beyond Pillow's own: 180 million pixels that the user allows. The file is cut short, and that is the reason."""
    assert "truncated" in why_not(bmp(15_000, 12_000, 8, claimed=256), Limits(pixels=10**9))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_frame_limit(form: str) -> None:
    frames = [Image.fromarray(noise(seed=number)) for number in range(5)]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert decode(data, Limits(frames=5)).size == (24, 16)
    assert "5 frames" in why_not(data, Limits(frames=4))


# ----------------------------------------------------------------------------------------------------------- refused

PAGE = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>Sorry</body></html>"


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"some text", PAGE, b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"P6"],
)
def test_what_is_no_picture(data: bytes) -> None:
    why_not(data)


def test_a_web_page_called_jpg(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(PAGE)
    assert "known format" in why_not(read(tmp_path / "cat.jpg"))


def test_contents_tell_the_format_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(encode(Image.fromarray(noise()), "PNG"))
    np.testing.assert_array_equal(shown(read(tmp_path / "cat.jpg")), noise())


PSD = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 2, 2, 8, 3) + bytes(12) + struct.pack(">H", 0) + bytes(12)


@pytest.mark.parametrize("form", ["DDS", "EPS", "ICO", "TGA", "JPEG2000", "PCX", "PSD", "SGI", "PDF", "ICNS"])
def test_formats_that_are_not_on_the_list(form: str) -> None:
    """Sound files, which Pillow itself would open or hand to Ghostscript."""
    data = PSD if form == "PSD" else encode(Image.fromarray(tiles(64, 64)), form)
    if form != "PDF":
        assert Image.open(io.BytesIO(data)).format == form
    assert "known format" in why_not(data)


WHOLE = {
    "JPEG": encode(Image.fromarray(noise(48, 32)), "JPEG"),
    "progressive JPEG": encode(Image.fromarray(noise(48, 32)), "JPEG", progressive=True),
    "PNG": encode(Image.fromarray(noise(48, 32)), "PNG"),
    "GIF": encode(Image.fromarray(noise(48, 32)), "GIF"),
    "WebP": encode(Image.fromarray(noise(48, 32)), "WEBP"),
    "lossless WebP": encode(Image.fromarray(noise(48, 32)), "WEBP", lossless=True),
    "BMP": encode(Image.fromarray(noise(48, 32)), "BMP"),
    "TIFF": encode(Image.fromarray(noise(48, 32)), "TIFF"),
    "LZW TIFF": encode(Image.fromarray(noise(48, 32)), "TIFF", compression="tiff_lzw"),
    "JPEG TIFF": encode(Image.fromarray(noise(48, 32)), "TIFF", compression="jpeg"),
    "PPM": encode(Image.fromarray(noise(48, 32)), "PPM"),
    "PPM in words": b"P3 48 32 255 " + b" ".join(b"%d" % value for value in noise(48, 32).ravel()),
}


@pytest.mark.parametrize("form", WHOLE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_truncated_files_are_refused(form: str) -> None:
    """Cut anywhere but in the closing bytes, after which nothing of the picture is missing."""
    data = WHOLE[form]
    assert shown(data).size
    for share in (0.05, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95):
        for _ in range(2):  # a second try must not succeed
            why_not(data[: int(share * len(data))])


FLAT = encode(Image.new("RGB", (64, 64), (10, 200, 30)), "PNG")


@pytest.mark.parametrize("data", [WHOLE["PNG"], FLAT], ids=["noise", "flat"])
def test_a_damaged_png_is_refused_at_every_try(data: bytes) -> None:
    """Any changed byte of the pixels' chunk is told by its checksum, as in every viewer."""
    start = data.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", data[start - 8 : start - 4])
    passed = []
    for place in range(start, start + length, max(1, length // 150)):
        damaged = bytearray(data)
        damaged[place] ^= 0x04
        for attempt in (1, 2):
            try:
                decode(bytes(damaged))
                passed.append((place - start, attempt))
            except PictureError:
                pass
    assert passed == []


SECOND: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(noise(seed=2))]}
SEEDS = {
    **WHOLE,
    "PNG with a palette": encode(Image.fromarray(noise()).quantize(9), "PNG", transparency=2),
    "16-bit PNG": wide(noise(channels=1).astype(np.uint16) * 257)["PNG"],
    "JPEG with EXIF": encode(Image.fromarray(noise()), "JPEG", exif=orientation(6)),
    "CMYK JPEG": encode(Image.fromarray(noise(channels=4), "CMYK"), "JPEG"),
    "animated GIF": encode(Image.fromarray(noise()), "GIF", **SECOND),
    "animated WebP": encode(Image.fromarray(noise()), "WEBP", **SECOND),
    "animated PNG": encode(Image.fromarray(noise()), "PNG", **SECOND),
    "BMP with a palette": encode(Image.fromarray(noise()).quantize(9), "BMP"),
    "16-bit TIFF": wide(noise(channels=1).astype(np.uint16) * 257)["TIFF, little end first"],
    "deflated TIFF": encode(Image.fromarray(noise()), "TIFF", compression="tiff_adobe_deflate"),
}
places = st.one_of(st.floats(0, 1, exclude_max=True), st.integers(0, 120))  # a share, or a byte of the heading
changes = st.lists(st.tuples(places, st.integers(1, 255)), max_size=8)


@given(form=st.sampled_from(sorted(SEEDS)), changes=changes, keep=st.one_of(st.just(1.0), st.floats(0, 1)))
@settings(deadline=None, max_examples=500)
@example(form="GIF", changes=[(6, 255), (7, 255)], keep=1.0)
def test_whatever_the_bytes_only_our_error_comes_out(form: str, changes: list[tuple[float, int]], keep: float) -> None:
    data = bytearray(SEEDS[form])
    for place, change in changes:
        data[int(place * len(data)) if isinstance(place, float) else min(place, len(data) - 1)] ^= change
    limits = Limits(pixels=300_000, frames=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in use; as errors they would hide what comes after them
        try:
            picture = decode(bytes(data[: int(keep * len(data))]), limits)
        except PictureError as error:
            assert str(error)
            return
    assert picture.mode == "RGB"
    assert 0 < picture.width * picture.height <= limits.pixels
    assert len(picture.tobytes()) == 3 * picture.width * picture.height


@given(data=st.binary(max_size=300), start=st.sampled_from(sorted({data[:12] for data in SEEDS.values()})))
@settings(deadline=None, max_examples=200)
def test_nonsense_after_a_promising_start(data: bytes, start: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert decode(start + data, Limits(pixels=300_000)).mode == "RGB"
        except PictureError as error:
            assert str(error)


# -------------------------------------------------------------------------------------------------------------- read


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.png", tmp_path / ("n" * 300), "a\0b", "/dev/null"):
        with pytest.raises(PictureError) as caught:
            read(path)
        assert str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    raised = []

    def attempt() -> None:
        try:
            read(tmp_path / "pipe.png")
        except PictureError as error:
            raised.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for someone to write"
    assert raised == ["not a regular file"]


# --------------------------------------------------------------------------------------------------------------- fit

Resize = Literal["crop", "squash", "pad"]
RULES = cast(tuple[Resize, ...], ("crop", "squash", "pad"))
sides = st.integers(1, 60)


@given(width=sides, height=sides, side=st.integers(1, 40), resize=st.sampled_from(RULES))
@settings(deadline=None, max_examples=200)
def test_the_square_has_the_side_asked_for(width: int, height: int, side: int, resize: Resize) -> None:
    array = fit(Image.new("RGB", (width, height), (9, 99, 199)), side, resize)
    assert (array.shape, array.dtype) == ((side, side, 3), np.uint8)
    assert (array == [9, 99, 199]).all(), "nothing foreign in it, the border neither"


@given(width=sides, height=sides, side=st.integers(1, 40))
@settings(deadline=None, max_examples=200)
@example(width=500, height=375, side=256)
@example(width=333, height=500, side=224)
def test_crop_is_the_shorter_side_scaled_and_the_centre_cut_out(width: int, height: int, side: int) -> None:
    """As torchvision's Resize and CenterCrop do it, through Pillow: lengths rounded down, margins to the even."""
    picture = Image.fromarray(noise(width, height))
    scale = Fraction(side, min(width, height))
    scaled = picture.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
    left, top = round((scaled.width - side) / 2.0), round((scaled.height - side) / 2.0)
    expected = scaled.crop((left, top, left + side, top + side))
    np.testing.assert_array_equal(fit(picture, side), np.asarray(expected))


@given(width=sides, height=sides, side=st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_squash_is_a_plain_resize(width: int, height: int, side: int) -> None:
    picture = Image.fromarray(noise(width, height))
    expected = picture.resize((side, side), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fit(picture, side, "squash"), np.asarray(expected))


@pytest.mark.parametrize("resize", RULES)
def test_a_square_of_the_right_size_stays_as_it_is(resize: Resize) -> None:
    np.testing.assert_array_equal(fit(Image.fromarray(noise(32, 32)), 32, resize), noise(32, 32))


def test_pad_fills_up_with_the_mean_of_the_border() -> None:
    """4 x 2 pixels in a square of 4: the picture in the middle rows, above and below what its edge looks like."""
    stored = noise(4, 2)
    array = fit(Image.fromarray(stored), 4, "pad")
    np.testing.assert_array_equal(array[1:3], stored)
    for row in (array[0], array[3]):
        assert (row == row[0]).all()
        assert (stored.min(axis=(0, 1)) <= row[0]).all() and (row[0] <= stored.max(axis=(0, 1))).all()
    tall = fit(Image.fromarray(np.full((6, 2, 3), (5, 70, 250), np.uint8)), 6, "pad")
    assert (tall == [5, 70, 250]).all()


@given(
    half=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    odd=st.tuples(st.booleans(), st.booleans()),
    side=st.integers(12, 70),
    resize=st.sampled_from(RULES),
)
@settings(deadline=None, max_examples=150)
def test_the_centre_stays_the_centre(half: tuple[int, int], odd: tuple[bool, bool], side: int, resize: Resize) -> None:
    """A white mark in the exact middle, on black; half a pixel is what an odd margin may cost."""
    width, height = (2 * h + o for h, o in zip(half, odd, strict=True))
    stored = np.zeros((height, width, 3), np.uint8)
    reach = min(half) // 3
    stored[height // 2 - reach : height // 2 + reach + odd[1], width // 2 - reach : width // 2 + reach + odd[0]] = 255
    light = fit(Image.fromarray(stored), side, resize)[..., 0].astype(float)
    assert light.sum() > 0
    rows, columns = np.indices(light.shape)
    centre = [(rows * light).sum() / light.sum(), (columns * light).sum() / light.sum()]
    assert np.abs(np.array(centre) - (side - 1) / 2).max() <= 0.55


@pytest.mark.parametrize("size", [(600, 400), (400, 600), (901, 400)])
def test_a_circle_stays_a_circle(size: tuple[int, int]) -> None:
    """Its second moments, which are equal in all directions; squashed by a factor f, they differ by f²."""
    picture = Image.new("RGB", size)
    box = [size[0] / 2 - 150, size[1] / 2 - 150, size[0] / 2 + 150, size[1] / 2 + 150]
    ImageDraw.Draw(picture).ellipse(box, "white")
    for resize, scale in (("crop", 100 / min(size)), ("pad", 100 / max(size))):
        high, wide, area = moments(fit(picture, 100, cast(Resize, resize)))
        assert high / wide == pytest.approx(1, abs=0.03)
        assert area == pytest.approx(np.pi * (150 * scale) ** 2, rel=0.03)
    high, wide, _ = moments(fit(picture, 100, "squash"))
    assert high / wide == pytest.approx((size[0] / size[1]) ** 2, rel=0.03)


def moments(array: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Variance of the light along rows and columns, and how many white pixels it would fill."""
    light = array[..., 0] / 255
    rows, columns = np.indices(light.shape)
    row, column = (rows * light).sum() / light.sum(), (columns * light).sum() / light.sum()
    high, wide = ((rows - row) ** 2 * light).sum(), ((columns - column) ** 2 * light).sum()
    return high / light.sum(), wide / light.sum(), light.sum()


def test_making_smaller_is_antialiased() -> None:
    """A chessboard of single pixels becomes its mean, not some of its pixels."""
    board = np.indices((200, 200)).sum(axis=0) % 2 * 255
    array = fit(Image.fromarray(board.astype(np.uint8)).convert("RGB"), 20)
    assert np.abs(array.astype(int) - 127.5).max() <= 2


def test_a_thin_picture_does_not_fill_the_memory() -> None:
    """1 x 1,000 pixels to 256 x 256: scaled as a whole first, it would be 256 x 256,000."""
    code = """if True:
        import resource
        from PIL import Image
        from alexnet.pictures.decode import fit
        picture = Image.new("RGB", (1, 1000), "white")
        fit(picture, 16)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fit(picture, 256)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 50_000  # kB
