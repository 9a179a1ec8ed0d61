"""How stores keep pictures, and JPEGs that are decoded at part of their size: what comes out, whichever way it came."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import alexnet
from alexnet.errors import PictureError, UsageError
from alexnet.network import variants
from alexnet.network.architecture import Input
from alexnet.pictures import views
from alexnet.pictures.decode import decode, fit, stored
from alexnet.pictures.prepare import open_store, prepare
from alexnet.pictures.store import Store
from alexnet.weights.files import Description, input_from_json
from alexnet.weights.model import Model


def photograph(number: int) -> Image.Image:
    """One of the two photographs that come with scikit-learn, 640 x 424: sides that 8 divides."""
    from sklearn.datasets import load_sample_images

    return Image.fromarray(load_sample_images().images[number]).crop((0, 0, 640, 424))


def jpeg(picture: Image.Image, **options: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=92, **options)
    return data.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two photographs of each of two classes, as JPEGs."""
    for name, number in (("china", 0), ("flower", 1)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for place, left in enumerate((0, 40)):
            whole = photograph(number).crop((left, 0, left + 600, 424))
            (tmp_path / "data" / name / f"{place}.jpg").write_bytes(jpeg(whole))
    return tmp_path / "data"


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.abs(one.astype(np.float64) - other)


# ---------------------------------------------------------------------------------------------------- scaled decoding


@pytest.mark.parametrize(("least", "expected"), [(0, 424), (300, 424), (213, 424), (212, 212), (106, 106), (1, 53)])
def test_a_jpeg_is_decoded_at_the_smallest_size_that_is_large_enough(least: int, expected: int) -> None:
    assert min(decode(jpeg(photograph(0)), least=least).size) == expected


def test_only_sizes_that_divide_evenly_are_taken() -> None:
    """500 x 375 can be halved in one direction alone; a picture half a pixel off would not be the same."""
    assert decode(jpeg(photograph(0).crop((0, 0, 500, 375))), least=10).size == (500, 375)
    assert decode(jpeg(photograph(0).crop((0, 0, 500, 372))), least=10).size == (125, 93)


def test_other_formats_are_decoded_in_full() -> None:
    data = io.BytesIO()
    photograph(0).save(data, "PNG")
    assert decode(data.getvalue(), least=10).size == (640, 424)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("progressive", [False, True])
def test_scaled_pixels_are_near_those_of_full_decoding(resize: str, number: int, progressive: bool) -> None:
    """The bound is the photograph's own: shrinking by another good filter (Lanczos) changes its pixels by more."""
    contents = jpeg(photograph(number), progressive=progressive)
    full = stored(contents, 100, resize)  # type: ignore[arg-type]
    scaled = stored(contents, 100, resize, "scaled")  # type: ignore[arg-type]
    assert not np.array_equal(full, scaled)
    box = (108, 0, 532, 424) if resize == "crop" else (0, 0, 640, 424)
    size = (100, 66) if resize == "pad" else (100, 100)
    other = np.asarray(photograph(number).resize(size, Image.Resampling.LANCZOS, box))
    here = full[17:83] if resize == "pad" else full
    limit = difference(here, other)
    found = difference(full, scaled)
    assert found.mean() < 0.6 * limit.mean()
    assert np.quantile(found, 0.99) < np.quantile(limit, 0.99)
    assert np.abs(full.mean((0, 1)) - scaled.mean((0, 1))).max() < 0.5, "no channel brighter or darker"


def test_turned_pictures_stay_in_their_place() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    contents = jpeg(photograph(1), exif=exif.tobytes())
    upright = decode(contents, least=100)
    assert upright.size == (106, 160)
    turned = np.asarray(photograph(1).transpose(Image.Transpose.ROTATE_270).reduce(4))
    assert difference(np.asarray(upright), turned).mean() < 3


def test_a_cut_jpeg_is_refused_at_any_size() -> None:
    contents = jpeg(photograph(0))
    with pytest.raises(PictureError):
        decode(contents[: len(contents) * 9 // 10], least=20)


def test_limits_hold_for_the_size_in_the_file() -> None:
    from alexnet.pictures.decode import Limits

    with pytest.raises(PictureError, match="640 x 424"):
        decode(jpeg(photograph(0)), Limits(pixels=100_000), least=20)


def test_the_rule_is_part_of_the_store_and_of_its_key(data: Path) -> None:
    full, scaled = open_store(data, 64), open_store(data, 64, decode="scaled")
    assert full.folder != scaled.folder and full.digest != scaled.digest
    assert (full.decode, scaled.decode) == ("full", "scaled")
    assert (full.rule, scaled.rule) == ("crop", "crop and scaled decoding")
    for part in scaled.parts.values():
        expected = [stored((data / path).read_bytes(), 64, "crop", "scaled") for path in part.paths]
        np.testing.assert_array_equal(part.read(slice(None)), expected)


def test_an_input_rule_of_before_means_full_decoding() -> None:
    before = {"size": 8, "stored": 8, "resize": "crop", "order": "RGB", "mean": [0.0] * 3, "scale": [1.0] * 3}
    rule = input_from_json(before)
    assert rule == Input(size=8, stored=8, mean=(0.0,) * 3, scale=(1.0,) * 3) and rule.decode == "full"
    assert input_from_json(before | {"decode": "scaled"}).decode == "scaled"
    with pytest.raises(ValueError, match="decode"):
        input_from_json(before | {"decode": "quickly"})


# -------------------------------------------------------------------------------------------------------------- forms


def kept(data: Path, folder: Path, kept: str, size: int = 128) -> Store:
    return prepare(data, folder, size, kept=kept)  # type: ignore[arg-type]


def test_a_store_of_jpegs_holds_nearly_the_same_pictures(data: Path, tmp_path: Path) -> None:
    raw, small = kept(data, tmp_path / "raw", "raw"), kept(data, tmp_path / "small", "jpeg")
    assert (small.classes, small.counts, small.size) == (raw.classes, raw.counts, raw.size)
    assert small["train"].paths == raw["train"].paths and small.digest != raw.digest
    used = {store.folder: sum(file.stat().st_size for file in store.folder.iterdir()) for store in (raw, small)}
    assert used[small.folder] < used[raw.folder] / 3
    for one, other in zip(raw["train"].read(slice(None)), small["train"].read(slice(None)), strict=True):
        mse = (difference(one, other) ** 2).mean()
        assert 10 * np.log10(255**2 / mse) > 32, "dB: a difference that one has to look for"


def test_rows_of_jpegs_are_taken_as_those_of_an_array(data: Path, tmp_path: Path) -> None:
    part = kept(data, tmp_path / "small", "jpeg")["train"]
    whole = part.read(slice(None))
    assert whole.shape == part.pictures.shape == (4, 128, 128, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(part.read(np.array([3, 0, 3])), whole[[3, 0, 3]])
    np.testing.assert_array_equal(part.take(np.array([2, 1])).read(slice(0, 2)), whole[[2, 1]])
    assert part.read(np.array([], np.int64)).shape == (0, 128, 128, 3)


def test_a_store_of_jpegs_makes_a_store_of_another_size(data: Path, tmp_path: Path) -> None:
    small = kept(data, tmp_path / "small", "jpeg")
    opened = open_store(small.folder, 64)
    assert (opened.kept, opened.size) == ("raw", 64)
    expected = [fit(Image.fromarray(picture), 64) for picture in small["train"].read(slice(None))]
    np.testing.assert_array_equal(opened["train"].read(slice(None)), expected)


@pytest.mark.parametrize("damage", ["cut", "places", "bytes", "missing"])
def test_damaged_jpegs_are_told(data: Path, tmp_path: Path, damage: str) -> None:
    folder = kept(data, tmp_path / "small", "jpeg").folder
    file = folder / "train.jpegs"
    contents = file.read_bytes()
    if damage == "cut":
        file.write_bytes(contents[:-100])
    elif damage == "places":
        np.save(folder / "train.places.npy", np.array([[-1, 5]] * 4))
    elif damage == "bytes":
        file.write_bytes(bytes(len(contents)))
    else:
        file.unlink()
    with pytest.raises(UsageError, match="prepare"):
        open_store(folder, 128)["train"].read(slice(None))


def test_stores_of_the_first_format_are_read(data: Path, tmp_path: Path) -> None:
    folder = kept(data, tmp_path / "raw", "raw").folder
    pictures = np.load(folder / "train.npy")
    document = json.loads((folder / "store.json").read_text())
    document["format"] = 1
    del document["decode"], document["store"]
    (folder / "store.json").write_text(json.dumps(document))
    opened = open_store(folder, 128)
    assert (opened.decode, opened.kept) == ("full", "raw")
    np.testing.assert_array_equal(opened["train"].read(slice(None)), pictures)


def test_files_of_a_named_data_set_are_found_where_they_are_said_to_lie(data: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    data.rename(tmp_path / "disk" / "cats-and-dogs")
    made = prepare("cats-and-dogs", tmp_path / "store", 16, origin=tmp_path / "disk")
    assert len(made["train"]) == 4
    with pytest.raises(UsageError, match="holds none of kagglecats"):
        prepare("cats-vs-dogs", tmp_path / "other", 16, origin=tmp_path / "disk")
    with pytest.raises(UsageError, match="--from"):
        prepare(tmp_path / "disk", tmp_path / "other", 16, origin=tmp_path)
    assert not (tmp_path / "other").exists()


# ----------------------------------------------------------------------------------------------------------------- use


@pytest.mark.parametrize("decoding", ["full", "scaled"])
def test_a_file_and_its_stored_picture_are_the_same_input(data: Path, decoding: str) -> None:
    """The promise D4: what a model is asked about in use is what it was trained and evaluated on, bit for bit."""
    rule = Input(size=56, stored=64, decode=decoding)  # type: ignore[arg-type]
    variant = variants.variant("lenet-5")
    model = Model(lambda pictures: np.zeros((len(pictures), 10), np.float32), Description(variant, ("a",) * 10, rule))
    part = open_store(data, 64, decode=decoding)["train"]  # type: ignore[arg-type]
    files = [data / path for path in part.paths]
    expected = views.centre(part.read(slice(None)), 56)
    np.testing.assert_array_equal(model.preprocess(files), expected)
    np.testing.assert_array_equal(model.preprocess([file.read_bytes() for file in files]), expected)


@pytest.mark.usefixtures("undrawn")
def test_training_on_a_store_of_jpegs(photos: Path, tmp_path: Path) -> None:
    store = prepare(photos, tmp_path / "store", 32, kept="jpeg").folder
    asked = {"variant": "lenet-5", "epochs": 1, "settings": ["size=32", "decode=scaled"]}
    for name in ("one", "two"):
        alexnet.train(store, out=tmp_path / name, **asked)  # type: ignore[arg-type]
    one, two = ((tmp_path / name / "last.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    rule = alexnet.load(tmp_path / "one").input
    assert (rule.stored, rule.decode) == (32, "full"), "as the store was made, whatever the recipe says"
    assert alexnet.evaluate(tmp_path / "one", store).scores["images"] == 18
    alexnet.train(photos, out=tmp_path / "three", **asked)  # type: ignore[arg-type]
    assert alexnet.load(tmp_path / "three").input.decode == "scaled"
    with pytest.raises(UsageError, match="prepared with crop, but the model wants crop and scaled decoding"):
        alexnet.evaluate(tmp_path / "three", store)
