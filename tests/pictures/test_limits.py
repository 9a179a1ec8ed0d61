"""Limits travel from the command line to the decoder; each holds at its number and not at the next."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from by_hand import encode, noise, orientation
from click.testing import CliRunner
from odd_pictures import AVIF
from PIL import Image

from alexnet.cli.main import cli
from alexnet.errors import PictureError, UsageError
from alexnet.network import variants
from alexnet.network.architecture import Input
from alexnet.pictures.decode import decode, stored
from alexnet.pictures.inputs import opened
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.prepare import open_store
from alexnet.training.recipe import with_settings
from alexnet.training.recipes import recipe
from alexnet.weights.files import Description
from alexnet.weights.model import Model

MakePictures = Callable[..., list[str]]
FORMS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", *(("AVIF",) if AVIF else ()))
LOSSLESS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}}


def test_the_usual_limits() -> None:
    assert Limits() == LIMITS == Limits(pixels=100_000_000, frames=1_000, bytes=64 * 2**20)


@pytest.mark.parametrize("form", FORMS)
def test_pixels(form: str) -> None:
    data = encode(Image.fromarray(noise(24, 16)), form, **LOSSLESS.get(form, {}))
    assert decode(data, Limits(pixels=384)).size == (24, 16)
    with pytest.raises(PictureError, match="24 x 16 pixels are more than the limit of 383"):
        decode(data, Limits(pixels=383))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", *(("AVIF",) if AVIF else ())])
def test_frames(form: str) -> None:
    frames = [Image.fromarray(noise(24, 16, seed=number)) for number in range(7)]
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], **LOSSLESS.get(form, {}))
    assert decode(data, Limits(frames=7)).size == (24, 16)
    with pytest.raises(PictureError, match="7 frames are more than the limit of 6"):
        decode(data, Limits(frames=6))


@pytest.mark.parametrize("form", FORMS)
def test_bytes(form: str) -> None:
    data = encode(Image.fromarray(noise(24, 16)), form)
    assert decode(data, Limits(bytes=len(data))).size == (24, 16)
    with pytest.raises(PictureError, match=f"{len(data):,} bytes are more than the limit of {len(data) - 1:,}"):
        decode(data, Limits(bytes=len(data) - 1))


def test_a_picture_at_the_usual_limit_of_pixels() -> None:
    """10,000 x 10,000 of one bit; and a row more."""
    flat = encode(Image.new("1", (10_000, 10_000)), "PNG")
    assert decode(flat).size == (10_000, 10_000)
    with pytest.raises(PictureError, match="10000 x 10001 pixels"):
        decode(encode(Image.new("1", (10_000, 10_001)), "PNG"))


def packed(folder: Path, kind: str) -> Path:
    """The folder itself, or an archive or a table of it."""
    files = sorted(folder.rglob("*.png"))
    if kind == "zip":
        with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
    elif kind == "tar":
        with tarfile.open(folder.with_suffix(".tar"), "w") as archive:
            archive.add(folder, ".")
    elif kind == "csv":
        rows = (f"data/{file.relative_to(folder)},{file.parent.name}\n" for file in files)
        folder.with_suffix(".csv").write_text("".join(rows))
    return folder if kind == "folder" else folder.with_suffix(f".{kind}")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "csv"])
def test_stores(kind: str, tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "data", {"cats": 2, "dogs": 2}, (30, 20))
    largest = max(file.stat().st_size for file in (tmp_path / "data").rglob("*.png"))
    data = packed(tmp_path / "data", kind)
    for limits in (Limits(pixels=599), Limits(bytes=largest - 1)):
        with pytest.raises(PictureError, match="more than the limit"):
            open_store(data, 8, limits=limits)
    assert len(open_store(data, 8, limits=Limits(pixels=600, bytes=largest))["train"]) == 4


def test_a_store_that_skips_is_another_for_other_limits(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "data", {"cats": 100, "dogs": 99}, (10, 10))
    Image.new("RGB", (50, 50)).save(tmp_path / "data" / "dogs" / "large.png")
    few = open_store(tmp_path / "data", 8, unreadable="skip", limits=Limits(pixels=2499))
    assert list(few.skipped) == ["dogs/large.png"]
    assert not open_store(tmp_path / "data", 8, unreadable="skip").skipped


def test_what_is_predicted(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("small.png", "large.png")]
    Image.new("RGB", (10, 10)).save(paths[0])
    Image.new("RGB", (10, 11)).save(paths[1])
    small, large = opened(paths, Input(8, 8), Limits(pixels=100))
    assert isinstance(small, np.ndarray) and isinstance(large, PictureError)
    assert "10 x 11 pixels" in str(large)


def test_the_recipe_has_them() -> None:
    changed = with_settings(recipe("fast"), ["max_pixels=7", "max_frames=8", "max_bytes=9"])
    assert (recipe("fast").limits, changed.limits) == (LIMITS, Limits(7, 8, 9))
    with pytest.raises(UsageError, match="max_pixels"):
        with_settings(recipe("fast"), ["max_pixels=0"])


def test_prepare_takes_them(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "data", {"cats": 2, "dogs": 2}, (30, 20))
    arguments = ["prepare", str(tmp_path / "data"), "--size", "8", "--out", str(tmp_path / "store")]
    refused = CliRunner().invoke(cli, [*arguments, "--max-pixels", "599"])
    assert isinstance(refused.exception, PictureError) and not (tmp_path / "store").exists()
    assert "30 x 20 pixels are more than the limit of 599" in str(refused.exception)
    assert CliRunner().invoke(cli, [*arguments, "--max-pixels", "600"]).exit_code == 0


@pytest.mark.parametrize("command", ["prepare", "predict", "evaluate"])
def test_every_command_that_decodes_has_them(command: str) -> None:
    told = CliRunner().invoke(cli, [command, "--help"]).output
    assert all(option in told for option in ("--max-pixels", "--max-frames", "--max-bytes"))
    wrong = CliRunner().invoke(cli, [command, "--max-frames", "0", "x"])
    assert wrong.exit_code == 2 and "--max-frames" in wrong.output


def test_one_decoder_for_what_is_stored(tmp_path: Path) -> None:
    """The square of a scaled JPEG is the same in a store, for a prediction and by the plain function."""
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "b").mkdir()
    data = encode(Image.fromarray(noise(400, 320)).resize((1600, 1280)), "JPEG", quality=80)
    for name in ("a/1.jpg", "b/1.jpg"):
        (tmp_path / "data" / name).write_bytes(data)
    squares: dict[str, Any] = {}
    for how in ("full", "scaled"):
        squares[how] = stored(data, 40, "crop", how)  # type: ignore[arg-type]
        kept = open_store(tmp_path / "data", 40, decode=how)["train"].read(slice(0, 1))[0]  # type: ignore[arg-type]
        rule = Input(32, 40, decode=how)  # type: ignore[arg-type]
        (asked,) = opened([str(tmp_path / "data" / "a/1.jpg")], rule)
        np.testing.assert_array_equal(kept, squares[how])
        np.testing.assert_array_equal(asked, squares[how])
    assert (squares["full"] != squares["scaled"]).any()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "CMYK", "I;16"])
def test_a_picture_that_is_opened_already_is_shown_like_its_file(mode: str, tmp_path: Path) -> None:
    """Opened by the caller with Pillow: transparency, orientation and 16 bits are what they are in a file."""
    description = Description(variants.variant("lenet-5"), ("a",) * 10, Input(20, 24))
    model = Model(lambda pictures: np.zeros((1, 10), np.float32), description)
    plain = Image.fromarray(noise(40, 30, 4))
    wide = Image.fromarray(noise(40, 30, 1).astype(np.uint16) * 257)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    options: dict[str, Any] = {} if mode == "CMYK" else {"exif": orientation(6)}
    (wide if mode == "I;16" else plain.convert(mode)).save(path, **options)
    with Image.open(path) as picture:
        assert picture.mode == mode
        np.testing.assert_array_equal(model.preprocess(picture), model.preprocess(path))


def test_nothing_opens_pictures_but_the_decoder() -> None:
    """D4: `Image.open` stands in one place, but for the other way of feeding that benchmarks measure beside ours."""
    source = Path(__file__).parents[2] / "src" / "alexnet"
    found = {str(file.relative_to(source)) for file in source.rglob("*.py") if "Image.open(" in file.read_text("utf-8")}
    assert found == {"pictures/decode.py", "experiments/bench/feeding.py"}
