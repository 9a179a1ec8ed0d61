"""Data sets in their authors' own form, on miniatures made here, and how a name finds them."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from noise import MakePictures, picture
from PIL import Image

import alexnet as package
from alexnet.errors import UsageError
from alexnet.pictures.datasets import NAMED, located, source
from alexnet.pictures.sources import Source
from alexnet.training.config import read_config

CIFAR = "airplane automobile bird cat deer dog frog horse ship truck".split()


def read_all(data: Source) -> dict[str, list[tuple[str, int, Image.Image]]]:
    """Part → path, label and picture of every sample."""
    answer = {}
    for part, entries in data.samples().parts.items():
        pictures = {index: read() for index, read in data.pictures([path for path, _ in entries])}
        assert sorted(pictures) == list(range(len(entries)))
        answer[part] = [(path, label, pictures[i]) for i, (path, label) in enumerate(entries)]
    return answer


# ------------------------------------------------------------------------------------------------------- cats-vs-dogs


def encoded(name: str, kind: str, **options: bytes) -> bytes:
    stream = io.BytesIO()
    picture(name, (14, 10)).save(stream, kind, **options)
    return stream.getvalue()


def without_jfif(name: str) -> bytes:
    """A JPEG as cameras write it: its first segment is Exif's."""
    whole = encoded(name, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    assert whole[2:4] == b"\xff\xe0" and whole[20:22] == b"\xff\xe1"
    return whole[:2] + whole[20:]


def make_pets(file: Path, count: int = 30) -> tuple[list[str], list[str]]:
    """PetImages as Microsoft packs it, with what there is beside the pictures; the names to keep and to drop."""
    kept, dropped = [], []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("readme[1].txt", "about")
        for animal in ("Cat", "Dog"):
            packed.writestr(f"PetImages/{animal}/", "")
            for number in range(count):
                name = f"PetImages/{animal}/{number}.jpg"
                contents = {7: without_jfif(name), 11: encoded(name, "PNG"), 13: b""}.get(number)
                packed.writestr(name, encoded(name, "JPEG") if contents is None else contents)
                (kept if contents is None else dropped).append(name)
            packed.writestr(f"PetImages/{animal}/Thumbs.db", b"JFIF")
    return kept, dropped


@pytest.mark.parametrize("name", ["kagglecatsanddogs_5340.zip", "renamed.zip"])
def test_pet_images_as_tensorflow_datasets_reads_them(tmp_path: Path, name: str) -> None:
    """Without what is not JFIF; ordered by MD5 of "train" and the name; `train[:80%]` and the rest."""
    kept, dropped = make_pets(tmp_path / name)
    data = source(tmp_path / name)
    samples = data.samples()
    ordered = sorted(kept, key=lambda key: int(hashlib.md5(f"train{key}".encode()).hexdigest(), 16))
    assert len(kept) == 54 and samples.classes == ("cat", "dog") and data.name == "cats-vs-dogs"
    assert [path for path, _ in samples.parts["train"]] == ordered[:43]  # 0.8 x 54 = 43.2
    assert [path for path, _ in samples.parts["test"]] == ordered[43:]
    assert set(samples.strays) == {*dropped, "readme[1].txt", "PetImages/Cat/Thumbs.db", "PetImages/Dog/Thumbs.db"}
    for path, label, found in (entry for part in read_all(data).values() for entry in part):
        assert label == ("/Dog/" in path)
        assert found.tobytes() == Image.open(io.BytesIO(encoded(path, "JPEG"))).tobytes()


def test_pet_images_of_one_animal(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("PetImages/Cat/0.jpg", encoded("x", "JPEG"))
    with pytest.raises(UsageError, match="no cats or no dogs"):
        source(tmp_path / "x.zip").samples()


def test_the_published_counts() -> None:
    """25,000 less the 1,738 that TensorFlow Datasets drops, 80 % of them rounded; Kaggle's; CIFAR-10's."""
    pets = NAMED["cats-vs-dogs"].parts
    assert sum(pets.values()) == 25_000 - 1_738 and pets["train"] == round(0.8 * 23_262) == 18_610
    assert NAMED["cats-and-dogs"].parts == {"train": 8_005, "test": 2_023}
    assert NAMED["cifar10"].parts == {"train": 50_000, "test": 10_000}


# -------------------------------------------------------------------------------------------------------------- CIFAR


def make_cifar(folder: Path, count: int = 12, files: int = 5) -> dict[str, list[tuple[int, np.ndarray]]]:
    """The binary version's folder; part → label and picture [32, 32, 3] of every record, in order."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    truth: dict[str, list[tuple[int, np.ndarray]]] = {"train": [], "test": []}
    for name in (*(f"data_batch_{number}.bin" for number in range(1, files + 1)), "test_batch.bin"):
        content = b""
        for _ in range(count):
            label, pixels = int(rng.integers(10)), rng.integers(0, 256, (32, 32, 3), np.uint8)
            planes = [pixels[:, :, channel].tobytes() for channel in range(3)]  # row by row, red first
            content += bytes([label]) + b"".join(planes)
            truth["test" if name.startswith("test") else "train"].append((label, pixels))
        (folder / name).write_bytes(content)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR) + "\n\n")
    (folder / "readme.html").write_text("<html>")
    return truth


def pack_cifar(folder: Path, archive: Path) -> Path:
    """As the authors packed it: the files in no particular order."""
    order = "data_batch_1.bin batches.meta.txt data_batch_3.bin data_batch_4.bin test_batch.bin readme.html "
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, folder.name, recursive=False)
        for name in (order + "data_batch_5.bin data_batch_2.bin").split():
            packed.add(folder / name, f"{folder.name}/{name}")
    return archive


FORMS: dict[str, Callable[[Path], Path]] = {
    "archive": lambda folder: pack_cifar(folder, folder.parent / "cifar-10-binary.tar.gz"),
    "folder": lambda folder: folder,
    "folder around it": lambda folder: folder.parent,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_cifar_in_binary(tmp_path: Path, form: Callable[[Path], Path]) -> None:
    truth = make_cifar(tmp_path / "unpacked" / "cifar-10-batches-bin")
    data = source(form(tmp_path / "unpacked" / "cifar-10-batches-bin"))
    assert data.name == "cifar10" and data.samples().classes == tuple(CIFAR)
    found = read_all(data)
    assert {part: len(entries) for part, entries in found.items()} == {"train": 60, "test": 12}
    for part, entries in found.items():
        assert [label for _, label, _ in entries] == [label for label, _ in truth[part]]
        for (_, _, mine), (_, theirs) in zip(entries, truth[part], strict=True):
            np.testing.assert_array_equal(np.asarray(mine), theirs)


def test_some_pictures_of_cifar(tmp_path: Path) -> None:
    truth = make_cifar(tmp_path / "cifar-10-batches-bin")
    data = source(pack_cifar(tmp_path / "cifar-10-batches-bin", tmp_path / "x.tar.gz"))
    paths = [path for path, _ in data.samples().parts["train"]]
    wanted = [paths[50], paths[3]]
    given = {index: read() for index, read in data.pictures(wanted)}
    np.testing.assert_array_equal(np.asarray(given[0]), truth["train"][50][1])
    np.testing.assert_array_equal(np.asarray(given[1]), truth["train"][3][1])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (lambda f: (f / "data_batch_2.bin").write_bytes(bytes(3073 + 5)), "not made of whole pictures"),
    "another class": (lambda f: (f / "test_batch.bin").write_bytes(bytes([10]) + bytes(3072)), "classes that CIFAR-10"),
    "no test batch": (lambda f: (f / "test_batch.bin").unlink(), "are missing"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_cifar(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    make_cifar(tmp_path / "cifar-10-batches-bin")
    damage(tmp_path / "cifar-10-batches-bin")
    with pytest.raises(UsageError, match=message):
        source(tmp_path).samples()


@pytest.mark.parametrize("packed", [True, False])
def test_pickles_are_never_read(tmp_path: Path, packed: bool) -> None:
    """The Python version could run anything; this one would leave a file behind."""

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "run",))

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "batches.meta", "test_batch"):
        (folder / name).write_bytes(pickle.dumps(Hostile()))
    data = folder
    if packed:
        data = tmp_path / "cifar-10-python.tar.gz"
        with tarfile.open(data, "w:gz") as archive:
            archive.add(folder, folder.name)
    with pytest.raises(UsageError, match=r"pickles.*cifar-10-binary\.tar\.gz"):
        source(data)
    assert not (tmp_path / "run").exists()


# -------------------------------------------------------------------------------------------------------------- names


def make_named(name: str, folder: Path, make_pictures: MakePictures) -> Path:
    """The data set of that name in a folder, as its users have it."""
    folder.mkdir(parents=True, exist_ok=True)
    if name == "cifar10":
        make_cifar(folder / "made" / "cifar-10-batches-bin")
        return pack_cifar(folder / "made" / "cifar-10-batches-bin", folder / "cifar-10-binary.tar.gz")
    if name == "cats-vs-dogs":
        make_pets(folder / "kagglecatsanddogs_5340.zip")
        return folder / "kagglecatsanddogs_5340.zip"
    root = folder / "cats-and-dogs"
    for part in ("training_set/training_set", "test_set/test_set"):
        make_pictures(root / part, {"cats": 6, "dogs": 6})
        (root / part / "cats" / "_DS_Store").write_bytes(b"Bud1")
    return root


NAMES = ("cifar10", "cats-vs-dogs", "cats-and-dogs")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_finds_its_files(
    tmp_path: Path, cache: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In the current folder first, then in the cache; and the same samples as by path."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="download it from https://") as caught:
        source(name)
    assert (
        caught.value.exit_code == 2 and str(tmp_path) in str(caught.value) and str(cache / "data") in str(caught.value)
    )
    kept = make_named(name, cache / "data", make_pictures)
    assert located(name) == str(kept) and set(source(name).samples().parts) == {"train", "test"}
    here = make_named(name, tmp_path, make_pictures)
    assert located(name) == str(here)
    assert source(name).samples() == source(here).samples()
    assert source(name).fingerprint() == source(here).fingerprint()


def test_kaggles_zip_by_name(tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = make_named("cats-and-dogs", tmp_path / "made", make_pictures)
    shutil.make_archive(str(tmp_path / "cat-and-dog"), "zip", root)
    samples = source("cats-and-dogs").samples()
    assert samples.classes == ("cats", "dogs") and len(samples.strays) == 2
    assert {part: len(entries) for part, entries in samples.parts.items()} == {"train": 12, "test": 12}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", NAMES)
def test_a_run_by_name(tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Trained on, evaluated on by name and by path; the run knows where its pictures lie."""
    monkeypatch.chdir(tmp_path)
    path = make_named(name, tmp_path, make_pictures)
    found = package.train(name, out="run", variant="lenet-5", epochs=1, settings=["batch_size=8"])
    assert read_config(tmp_path / "run").data == str(path)
    by_name = package.evaluate(tmp_path / "run", name).scores
    assert by_name["images"] == found["test"]["images"] and by_name["split"] == "test"
    assert package.evaluate(tmp_path / "run", path, split="validation").scores["images"] > 0
