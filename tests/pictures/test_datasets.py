"""Every form in which data come, what is refused, and how validation pictures are set aside."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from noise import MakePictures, picture
from PIL import Image

from alexnet.errors import AlexNetError, PictureError, UsageError
from alexnet.pictures import patterns
from alexnet.pictures.datasets import source, split
from alexnet.pictures.sources import Source

CLASSES = {"cats": 3, "dogs": 2}
KAGGLE = {"training_set/training_set": CLASSES, "test_set/test_set": {"cats": 1, "dogs": 2}}


def contents(data: Source) -> dict[str, list[tuple[str, str, bytes]]]:
    """Part → (path, class, pixels) of every picture, as the source reads them."""
    samples = data.samples()
    answer = {}
    for part, entries in samples.parts.items():
        paths = [path for path, _ in entries]
        pixels = {index: read().tobytes() for index, read in data.pictures(paths)}
        assert sorted(pixels) == list(range(len(paths)))
        answer[part] = [(path, samples.classes[label], pixels[i]) for i, (path, label) in enumerate(entries)]
    return answer


def truth(root: Path, folders: dict[str, list[str]]) -> dict[str, list[tuple[str, str, bytes]]]:
    """The same, from what the test itself wrote: part → relative paths, whose last folder is the class."""
    return {
        part: [(path, Path(path).parent.name, Image.open(root / path).tobytes()) for path in paths]
        for part, paths in folders.items()
    }


def refused(data: Path | str, *words: str) -> str:
    """The message with which DATA is refused: a usage error that names the path and some words."""
    with pytest.raises(UsageError) as caught:
        data_source = source(data)
        list(data_source.pictures([path for entries in data_source.samples().parts.values() for path, _ in entries]))
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in message
    for word in (str(data), *words):
        assert word in message
    return message


# ----------------------------------------------------------------------------------------------------------- folders


def test_class_folders(tmp_path: Path, make_pictures: MakePictures) -> None:
    paths = make_pictures(tmp_path, {"dogs": 2, "cats": 3, "zebras": 1})
    data = source(tmp_path)
    assert data.samples().classes == ("cats", "dogs", "zebras")
    assert data.name == tmp_path.name
    assert contents(data) == truth(tmp_path, {"train": paths})


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("training_set", "validation_set", "test_set"),
        ("Train", "Valid", "Test"),
        ("TRAINING", "VALIDATION", "TESTING"),
        ("train_images", "val_images", "test_images"),
        ("train-set", "val data", "testset"),
    ],
)
def test_parts(tmp_path: Path, make_pictures: MakePictures, names: tuple[str, str, str]) -> None:
    expected = {}
    for part, name, count in zip(("train", "validation", "test"), names, (3, 1, 2), strict=True):
        expected[part] = [f"{name}/{p}" for p in make_pictures(tmp_path / name, {"cats": count, "dogs": count})]
    assert contents(source(tmp_path)) == truth(tmp_path, expected)


@pytest.mark.parametrize("names", [{"train"}, {"train", "test"}, {"train", "valid"}, {"test"}])
def test_any_of_the_parts_may_be_missing(tmp_path: Path, make_pictures: MakePictures, names: set[str]) -> None:
    for name in names:
        make_pictures(tmp_path / name, CLASSES)
    parts = source(tmp_path).samples().parts
    assert set(parts) == {{"valid": "validation"}.get(name, name) for name in names}


def test_two_folders_of_one_part_are_taken_together(tmp_path: Path, make_pictures: MakePictures) -> None:
    for name in ("train", "training_set", "test"):
        make_pictures(tmp_path / name, CLASSES)
    parts = source(tmp_path).samples().parts
    assert {part: len(entries) for part, entries in parts.items()} == {"train": 10, "test": 5}


def test_classes_of_all_parts_share_their_numbers(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "train", {"bears": 1, "cats": 1, "dogs": 1})
    make_pictures(tmp_path / "test", {"cats": 1, "ants": 1})
    samples = source(tmp_path).samples()
    assert samples.classes == ("ants", "bears", "cats", "dogs")
    assert [label for _, label in samples.parts["train"]] == [1, 2, 3]
    assert [label for _, label in samples.parts["test"]] == [0, 2]


@pytest.mark.parametrize("wrapping", ["photos", "photos/2012/all", "data"])
def test_wrapping_folders_are_looked_through(tmp_path: Path, make_pictures: MakePictures, wrapping: str) -> None:
    paths = make_pictures(tmp_path / wrapping, CLASSES)
    (tmp_path / "readme.txt").write_text("about these pictures")
    assert contents(source(tmp_path)) == truth(tmp_path, {"train": [f"{wrapping}/{path}" for path in paths]})


def test_wrapped_parts(tmp_path: Path, make_pictures: MakePictures) -> None:
    train = [f"archive/train/{path}" for path in make_pictures(tmp_path / "archive" / "train", CLASSES)]
    test = [f"archive/test/{path}" for path in make_pictures(tmp_path / "archive" / "test", CLASSES)]
    assert contents(source(tmp_path)) == truth(tmp_path, {"train": train, "test": test})


def make_kaggle(root: Path, make_pictures: MakePictures) -> dict[str, list[str]]:
    """training_set/training_set/{cats,dogs} and test_set/test_set/{cats,dogs} with a `_DS_Store` in each class."""
    folders = {}
    for folder, classes in KAGGLE.items():
        part = "train" if folder.startswith("training") else "test"
        folders[part] = [f"{folder}/{path}" for path in make_pictures(root / folder, classes)]
        for name in classes:
            (root / folder / name / "_DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return folders


def test_cats_and_dogs_as_kaggle_has_them(tmp_path: Path, make_pictures: MakePictures) -> None:
    folders = make_kaggle(tmp_path, make_pictures)
    data = source(tmp_path)
    samples = data.samples()
    assert samples.classes == ("cats", "dogs")
    assert contents(data) == truth(tmp_path, folders)
    assert len(samples.strays) == 4 and all(path.endswith("_DS_Store") for path in samples.strays)


@pytest.mark.parametrize("names", [("trains", "valves"), ("test tubes", "trainers"), ("training shoes", "validators")])
def test_classes_whose_names_begin_like_parts(
    tmp_path: Path, make_pictures: MakePictures, names: tuple[str, str]
) -> None:
    make_pictures(tmp_path, dict.fromkeys(names, 2))
    samples = source(tmp_path).samples()
    assert samples.classes == names
    assert set(samples.parts) == {"train"}


@pytest.mark.parametrize("below", ["", "/old"])
def test_a_class_called_train_among_others(tmp_path: Path, make_pictures: MakePictures, below: str) -> None:
    make_pictures(tmp_path, {f"{name}{below}": 2 for name in ("bus", "train", "tram")})
    samples = source(tmp_path).samples()
    assert samples.classes == ("bus", "train", "tram")
    assert [label for _, label in samples.parts["train"]] == [0, 0, 1, 1, 2, 2]


def test_pictures_may_lie_deeper_in_their_class_folder(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "cats", {"black": 2, "white": 1})
    make_pictures(tmp_path, {"dogs": 2})
    samples = source(tmp_path).samples()
    assert samples.classes == ("cats", "dogs")
    assert [label for _, label in samples.parts["train"]] == [0, 0, 0, 1, 1]


def test_hidden_files_and_what_macs_leave_behind_do_not_count(tmp_path: Path, make_pictures: MakePictures) -> None:
    paths = make_pictures(tmp_path, CLASSES)
    for hidden in (".git", ".thumbnails", "__MACOSX", "cats/.cache", "__MACOSX/dogs"):
        make_pictures(tmp_path, {hidden: 1})
    for name in (".DS_Store", "cats/.DS_Store", "cats/._000.png", "dogs/.hidden.jpg"):
        shutil.copy(tmp_path / paths[0], tmp_path / name)
    data = source(tmp_path)
    assert contents(data) == truth(tmp_path, {"train": paths})
    assert data.samples().strays == ()


def test_other_files_are_strays(tmp_path: Path, make_pictures: MakePictures) -> None:
    paths = make_pictures(tmp_path, CLASSES)
    strays = ["cats/Thumbs.db", "dogs/list.txt", "labels.csv"]
    for name in strays:
        (tmp_path / name).write_text("x")
    samples = source(tmp_path).samples()
    assert sorted(samples.strays) == sorted(strays)
    assert [path for path, _ in samples.parts["train"]] == paths


@pytest.mark.parametrize("ending", ["jpg JPEG Png bmp gif tif TIFF webp pgm ppm pbm".split()])
def test_endings_of_pictures_in_any_case(tmp_path: Path, ending: list[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for suffix in ending:
            (tmp_path / name / f"1.{suffix}").write_bytes(b"")
    assert len(source(tmp_path).samples().parts["train"]) == 2 * len(ending)


def test_odd_names(tmp_path: Path, make_pictures: MakePictures) -> None:
    """Spaces, quotes, other alphabets, a line break, and bytes that are no UTF-8."""
    names = ["café & 'co'", "猫", "a\nb", os.fsdecode(b"caf\xe9")]
    paths = make_pictures(tmp_path, dict.fromkeys(names, 1))
    assert contents(source(tmp_path)) == truth(tmp_path, {"train": paths})
    assert len(source(tmp_path).fingerprint()) > 0


# ------------------------------------------------------------------------------------------------------------- links


def test_a_class_folder_may_be_a_link(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "elsewhere", {"wolves": 2})
    paths = make_pictures(tmp_path / "data", CLASSES)
    (tmp_path / "data" / "wolves").symlink_to(tmp_path / "elsewhere" / "wolves")
    (tmp_path / "data" / "cats" / "linked.png").symlink_to(tmp_path / "elsewhere" / "wolves" / "000.png")
    expected = sorted([*paths, "wolves/000.png", "wolves/001.png", "cats/linked.png"])
    assert contents(source(tmp_path / "data")) == truth(tmp_path / "data", {"train": expected})


@pytest.mark.parametrize("target", ["cats", "cats/inner", "."])
def test_a_link_that_leads_back_up_adds_nothing(tmp_path: Path, make_pictures: MakePictures, target: str) -> None:
    """Else the dogs would be found again below the cats."""
    paths = make_pictures(tmp_path, {**CLASSES, "cats/inner": 1})
    (tmp_path / "cats" / "inner" / "loop").symlink_to(tmp_path / target)
    assert [path for path, _ in source(tmp_path).samples().parts["train"]] == sorted(paths)


def test_a_dangling_link_is_a_picture_that_cannot_be_read(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, CLASSES)
    (tmp_path / "cats" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    data = source(tmp_path)
    assert "cats/gone.png" in [path for path, _ in data.samples().parts["train"]]
    ((_, read),) = data.pictures(["cats/gone.png"])
    with pytest.raises(PictureError, match="No such file"):
        read()


# ---------------------------------------------------------------------------------------------------------- archives


def pack(folder: Path, archive: Path, prefix: str = "") -> Path:
    """All of a folder in an archive, whose kind is told by its name."""
    files = sorted(path for path in folder.rglob("*"))
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in files:
                if file.is_file():
                    name = zipfile.ZipInfo(prefix + str(file.relative_to(folder)))  # which keeps a leading ./
                    packed.writestr(name, file.read_bytes(), zipfile.ZIP_DEFLATED)
        return archive
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".txz": "w:xz"}.get(archive.suffix, "w")
    with tarfile.open(archive, mode) as packed:  # type: ignore[call-overload]
        for file in files:
            packed.add(file, prefix + str(file.relative_to(folder)), recursive=False)
    return archive


ARCHIVES = ["x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.txz"]


@pytest.mark.parametrize("name", [*ARCHIVES, "X.ZIP"])
def test_archives_of_class_folders(tmp_path: Path, make_pictures: MakePictures, name: str) -> None:
    paths = make_pictures(tmp_path / "data", CLASSES)
    data = source(shutil.move(pack(tmp_path / "data", tmp_path / name.lower()), tmp_path / name))
    assert data.name in ("x", "X")
    assert contents(data) == truth(tmp_path / "data", {"train": paths})


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_of_wrapped_parts(tmp_path: Path, make_pictures: MakePictures, name: str) -> None:
    folders = {}
    for part in ("train", "test"):
        made = make_pictures(tmp_path / "top" / "data" / f"{part}_set", CLASSES)
        folders[part] = [f"data/{part}_set/{path}" for path in made]
    (tmp_path / "top" / "data" / "train_set" / "cats" / "_DS_Store").write_bytes(b"Bud1")
    data = source(pack(tmp_path / "top", tmp_path / name))
    assert contents(data) == truth(tmp_path / "top", folders)
    assert data.samples().strays == ("data/train_set/cats/_DS_Store",)


def test_kaggle_archive(tmp_path: Path, make_pictures: MakePictures) -> None:
    folders = make_kaggle(tmp_path / "data", make_pictures)
    data = source(pack(tmp_path / "data", tmp_path / "archive.zip"))
    assert data.samples().classes == ("cats", "dogs")
    assert contents(data) == truth(tmp_path / "data", folders)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.xz"])
def test_archives_whose_paths_begin_with_a_dot(tmp_path: Path, make_pictures: MakePictures, name: str) -> None:
    """As `tar -C folder .` and `zip -r x.zip ./cats` make them."""
    make_pictures(tmp_path / "data", CLASSES)
    packed = contents(source(pack(tmp_path / "data", tmp_path / name, "./")))
    plain = contents(source(tmp_path / "data"))
    assert [pixels for _, _, pixels in packed["train"]] == [pixels for _, _, pixels in plain["train"]]


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_archives_ignore_hidden_files(tmp_path: Path, make_pictures: MakePictures, name: str) -> None:
    paths = make_pictures(tmp_path / "data", CLASSES)
    make_pictures(tmp_path / "data", {"__MACOSX/cats": 1, ".git": 1})
    data = source(pack(tmp_path / "data", tmp_path / name))
    assert contents(data) == truth(tmp_path / "data", {"train": paths})


def test_a_zip_may_be_called_tar(tmp_path: Path, make_pictures: MakePictures) -> None:
    """Contents tell, not the ending."""
    paths = make_pictures(tmp_path / "data", CLASSES)
    pack(tmp_path / "data", tmp_path / "x.zip").rename(tmp_path / "x.tar")
    assert contents(source(tmp_path / "x.tar")) == truth(tmp_path / "data", {"train": paths})


def test_reading_some_pictures_of_an_archive(tmp_path: Path, make_pictures: MakePictures) -> None:
    """In the order in which they lie, with the index of each among those wanted."""
    make_pictures(tmp_path / "data", CLASSES)
    wanted = ["dogs/001.png", "cats/002.png", "dogs/000.png"]
    for name in ("x.zip", "x.tar.gz"):
        data = source(pack(tmp_path / "data", tmp_path / name))
        given = {wanted[index]: read().tobytes() for index, read in data.pictures(wanted)}
        assert given == {path: Image.open(tmp_path / "data" / path).tobytes() for path in wanted}


def test_a_picture_that_was_added_to_a_tar_again_counts_once(tmp_path: Path, make_pictures: MakePictures) -> None:
    """`tar -r` appends a newer copy; unpacking leaves the last."""
    paths = make_pictures(tmp_path / "data", CLASSES)
    pack(tmp_path / "data", tmp_path / "x.tar")
    Image.new("RGB", (14, 10), (1, 2, 3)).save(tmp_path / "data" / paths[0])
    with tarfile.open(tmp_path / "x.tar", "a") as packed:
        packed.add(tmp_path / "data" / paths[0], paths[0])
    assert contents(source(tmp_path / "x.tar")) == truth(tmp_path / "data", {"train": paths})


# ------------------------------------------------------------------------------------------------------------ tables


def write_table(tmp_path: Path, make_pictures: MakePictures, text: str) -> Path:
    """A csv file beside pictures/{one,two}, whose folder names are not the labels."""
    make_pictures(tmp_path / "pictures", {"one": 2, "two": 2})
    table = tmp_path / "list.csv"
    table.write_text(text, encoding="utf-8")
    return table


ROWS = "pictures/one/000.png,dog\npictures/one/001.png,cat\npictures/two/000.png,dog\npictures/two/001.png,cat\n"


@pytest.mark.parametrize("heading", ["", "path,label\n", "Filename,Class\n", "image,label\n", "file,label\n"])
@pytest.mark.parametrize("dressed", [str, lambda rows: rows.replace("\n", "\r\n"), lambda rows: rows + "\n\n"])
def test_table_of_path_and_label(
    tmp_path: Path, make_pictures: MakePictures, heading: str, dressed: Callable[[str], str]
) -> None:
    table = write_table(tmp_path, make_pictures, dressed(heading + ROWS))
    data = source(table)
    assert data.name == "list"
    expected = [(path, label) for path, label in (line.split(",") for line in ROWS.split())]
    given = contents(data)
    assert set(given) == {"train"}
    assert sorted((path, label) for path, label, _ in given["train"]) == sorted(expected)
    for path, _, pixels in given["train"]:
        assert pixels == Image.open(tmp_path / path).tobytes()


def test_table_with_splits(tmp_path: Path, make_pictures: MakePictures) -> None:
    rows = [f"{row},{part}" for row, part in zip(ROWS.split(), ("train", "val", "", "TEST"), strict=True)]
    table = write_table(tmp_path, make_pictures, "\n".join(["path,label,split", *rows]))
    given = {part: [(path, label) for path, label, _ in entries] for part, entries in contents(source(table)).items()}
    assert given == {
        "train": [("pictures/one/000.png", "dog"), ("pictures/two/000.png", "dog")],
        "validation": [("pictures/one/001.png", "cat")],
        "test": [("pictures/two/001.png", "cat")],
    }


def test_table_as_spreadsheets_write_it(tmp_path: Path, make_pictures: MakePictures) -> None:
    """A byte order mark, quotes, blanks, labels with commas and accents."""
    text = '\ufeffpath,label\r\n"pictures/one/000.png","cats, tame"\r\n pictures/one/001.png , Löwe \r\n'
    samples = source(write_table(tmp_path, make_pictures, text)).samples()
    assert samples.classes == ("Löwe", "cats, tame")
    assert sorted(samples.parts["train"]) == [("pictures/one/000.png", 1), ("pictures/one/001.png", 0)]


def test_table_with_a_missing_picture(tmp_path: Path, make_pictures: MakePictures) -> None:
    data = source(write_table(tmp_path, make_pictures, ROWS + "pictures/three/9.png,cat\n"))
    ((_, read),) = data.pictures(["pictures/three/9.png"])
    with pytest.raises(PictureError, match="No such file"):
        read()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (ROWS + "pictures/one/000.png\n", "5"),
        (ROWS + "pictures/one/000.png,\n", "5"),
        (ROWS + ",cat\n", "5"),
        (ROWS.replace("dog", "dog,train") + "a.png,cat,holdout\n", "holdout"),
        ("a.png,cat\nb.png,cat\n", "class"),
        ("", "class"),
        ("path,label\n", "class"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, make_pictures: MakePictures, text: str, word: str) -> None:
    refused(write_table(tmp_path, make_pictures, text), word)


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00\x81" * 100)
    refused(tmp_path / "list.csv")


# ------------------------------------------------------------------------------------------------------------- names


def test_the_embedded_data_set_has_a_name() -> None:
    samples = source("patterns").samples()
    assert samples.classes == patterns.CLASSES
    assert {part: len(entries) for part, entries in samples.parts.items()} == {"train": 4000, "test": 1000}
    for part, row, index in (("train", 0, 0), ("train", 17, 17), ("test", 3, 4003)):
        path, label = samples.parts[part][row]
        assert label == patterns.label(index)
        assert patterns.CLASSES[label] in path
        ((_, read),) = source("patterns").pictures([path])
        np.testing.assert_array_equal(np.asarray(read()), patterns.draw(index)[0])


# ----------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("name", ["nowhere", "nowhere/at/all", "pattern", "x.zip", "n" * 300, "a\0b", ""])
def test_missing_paths(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        source(name).samples()
    assert caught.value.exit_code == 2
    assert name in str(caught.value)


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "no pictures")


def test_empty_class_folders(tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / name).mkdir()
    refused(tmp_path, "no pictures")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "notes.txt").write_text("x")
    refused(tmp_path, "no pictures")


@pytest.mark.parametrize("below", ["", "photos", "train", "photos/train"])
def test_one_class(tmp_path: Path, make_pictures: MakePictures, below: str) -> None:
    make_pictures(tmp_path / below, {"cats": 3})
    refused(tmp_path, "cats")


def test_pictures_without_any_class_folder(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, {".": 3})
    refused(tmp_path, "000.png")


@pytest.mark.parametrize("part", ["", "train/"])
def test_a_picture_beside_the_class_folders(tmp_path: Path, make_pictures: MakePictures, part: str) -> None:
    make_pictures(tmp_path / part, CLASSES)
    make_pictures(tmp_path / "test", CLASSES) if part else None
    Image.new("RGB", (4, 4)).save(tmp_path / part / "cover.png")
    refused(tmp_path, f"{part}cover.png")


def test_a_test_part_without_classes(tmp_path: Path, make_pictures: MakePictures) -> None:
    """As competitions give it out. It must not turn 'train' and 'test' into the two classes."""
    make_pictures(tmp_path / "train", CLASSES)
    make_pictures(tmp_path, {"test": 3})
    refused(tmp_path, "test/000.png")


@pytest.mark.parametrize("name", ["photos.txt", "photo.png", "photos.rar"])
def test_files_that_are_no_data_set(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else")
    refused(tmp_path / name)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.xz"])
@pytest.mark.parametrize("filling", [b"", b"these are not pictures", b"\0" * 20_000, b"PK\3\4" + b"x" * 500])
def test_files_that_are_only_called_archives(tmp_path: Path, name: str, filling: bytes) -> None:
    (tmp_path / name).write_bytes(filling)
    refused(tmp_path / name)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.xz"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_truncated_archives(tmp_path: Path, make_pictures: MakePictures, name: str, share: float) -> None:
    """A tar is cut within its members; it ends in empty blocks, which nobody misses."""
    make_pictures(tmp_path / "data", {"cats": 20, "dogs": 20})
    archive = pack(tmp_path / "data", tmp_path / name)
    whole = archive.read_bytes()
    length = len(whole.rstrip(b"\0")) if name == "x.tar" else len(whole)
    archive.write_bytes(whole[: int(share * length)])
    refused(archive)


def test_a_tar_that_is_damaged_in_the_middle(tmp_path: Path, make_pictures: MakePictures) -> None:
    """The pictures after the damage must not go missing without a word."""
    make_pictures(tmp_path / "data", {"cats": 20, "dogs": 20})
    archive = pack(tmp_path / "data", tmp_path / "x.tar")
    data = bytearray(archive.read_bytes())
    data[data.index(b"dogs/010.png")] ^= 1  # in a header, which has a checksum
    archive.write_bytes(data)
    refused(archive)


def test_a_zip_with_a_damaged_picture(tmp_path: Path, make_pictures: MakePictures) -> None:
    """The one picture is refused, or the archive is; nothing but our own errors comes out."""
    paths = make_pictures(tmp_path / "data", CLASSES)
    archive = pack(tmp_path / "data", tmp_path / "x.zip")
    with zipfile.ZipFile(archive) as packed:
        info = packed.getinfo(paths[2])
    data = bytearray(archive.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises((PictureError, UsageError)):
        for _, read in source(archive).pictures(paths):
            read()


Damaged = Callable[[str, list[tuple[float, int]]], Path]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """Changes bytes of an archive of four pictures; places are given as shares of its length."""
    folder = tmp_path_factory.mktemp("damaged")
    for name in ("a/1.bmp", "a/2.bmp", "b/1.bmp", "b/2.bmp"):
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(name, (6, 5)).save(folder / "data" / name)
    whole = {name: pack(folder / "data", folder / name).read_bytes() for name in ARCHIVES}

    def damage(name: str, positions: list[tuple[float, int]]) -> Path:
        data = bytearray(whole[name])
        for position, change in positions:
            data[int(position * len(data))] ^= change
        (folder / name).write_bytes(data)
        return folder / name

    return damage


@given(positions=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=5))
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.xz"])
@settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_damaged_archives_raise_only_our_errors(
    damaged: Damaged, name: str, positions: list[tuple[float, int]]
) -> None:
    archive = damaged(name, positions)
    try:
        paths = [path for entries in source(archive).samples().parts.values() for path, _ in entries]
        for _, read in source(archive).pictures(paths):
            assert read().mode == "RGB"
    except AlexNetError as error:
        assert str(error)


def test_too_large_a_picture_in_an_archive_is_refused_unread(
    tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """65 MiB of zeros that take 65 kB in the archive."""
    paths = make_pictures(tmp_path / "data", CLASSES)
    archive = pack(tmp_path / "data", tmp_path / "x.zip")
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as packed, packed.open("cats/huge.bmp", "w") as member:
        for _ in range(65):
            member.write(bytes(2**20))
    opened = []
    whole_read = zipfile.ZipFile.read

    def read_and_note(self: zipfile.ZipFile, member: zipfile.ZipInfo, pwd: bytes | None = None) -> bytes:
        opened.append(member.filename)
        return whole_read(self, member, pwd)

    monkeypatch.setattr(zipfile.ZipFile, "read", read_and_note)
    reads = dict(source(archive).pictures([*paths, "cats/huge.bmp"]))
    with pytest.raises(PictureError, match="bytes"):
        reads[len(paths)]()
    assert reads[0]().size == (14, 10)
    assert "cats/huge.bmp" not in opened


# ------------------------------------------------------------------------------------------------------- fingerprint


@pytest.fixture(params=["folder", "x.zip", "x.tar.gz", "list.csv"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, make_pictures: MakePictures) -> Path:
    """The same pictures as a folder, an archive and a table."""
    make_pictures(tmp_path / "folder", {"one": 2, "two": 2})
    if request.param == "folder":
        return tmp_path / "folder"
    if request.param == "list.csv":
        (tmp_path / "list.csv").write_text(ROWS.replace("pictures/", "folder/"))
        return tmp_path / "list.csv"
    return pack(tmp_path / "folder", tmp_path / request.param)


def test_fingerprint_stays_while_nothing_changes(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source(kept).fingerprint()
    contents(source(kept))
    file = kept / "one/000.png" if kept.is_dir() else kept
    os.utime(file, ns=(0, file.stat().st_mtime_ns))  # last access
    assert source(kept).fingerprint() == source(str(kept)).fingerprint() == before
    monkeypatch.chdir(kept.parent)
    assert source(kept.name).fingerprint() == before


@pytest.mark.parametrize("change", ["size", "time"])
def test_fingerprint_changes_with_the_pictures(kept: Path, change: str) -> None:
    before = source(kept).fingerprint()
    file = kept.parent / "folder/two/001.png" if kept.name in ("folder", "list.csv") else kept
    status = file.stat()
    if change == "size":
        file.write_bytes(file.read_bytes() + b"\0")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert source(kept).fingerprint() != before


def test_fingerprint_changes_with_names(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, CLASSES)
    seen = {source(tmp_path).fingerprint()}
    (tmp_path / "cats" / "000.png").rename(tmp_path / "cats" / "renamed.png")
    seen.add(source(tmp_path).fingerprint())
    (tmp_path / "cats" / "renamed.png").rename(tmp_path / "dogs" / "renamed.png")
    seen.add(source(tmp_path).fingerprint())
    (tmp_path / "dogs" / "renamed.png").unlink()
    seen.add(source(tmp_path).fingerprint())
    assert len(seen) == 4


@pytest.mark.parametrize(
    "edited",
    [
        ROWS.replace("001.png,cat", "001.png,cow"),
        ROWS.replace("one/001.png,cat", "one/001.png,dog"),
        ROWS.replace("two/001.png,cat", "two/001.png,cat,test"),
        ROWS.replace("pictures/two/001.png,cat\n", ""),
    ],
    ids=["renamed class", "other label", "other split", "one less"],
)
def test_fingerprint_changes_with_the_table(tmp_path: Path, make_pictures: MakePictures, edited: str) -> None:
    table = write_table(tmp_path, make_pictures, ROWS)
    before, samples = source(table).fingerprint(), source(table).samples()
    table.write_text(edited)
    assert source(table).samples() != samples
    assert source(table).fingerprint() != before


# ------------------------------------------------------------------------------------------------------------- split

label_lists = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(np.array)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


@given(labels=label_lists, fraction=fractions, seed=seeds)
@settings(deadline=None, max_examples=200)
def test_split_is_stratified(labels: np.ndarray, fraction: float, seed: int) -> None:
    stay, aside = split(labels, fraction, seed)
    assert sorted([*stay.tolist(), *aside.tolist()]) == list(range(len(labels)))
    assert stay.tolist() == sorted(stay.tolist()) and aside.tolist() == sorted(aside.tolist())
    for number in set(labels.tolist()):
        count, taken = int((labels == number).sum()), int((labels[aside] == number).sum())
        assert taken <= count - 1, "one of each class stays"
        if count >= 2:
            assert taken >= 1
            assert abs(taken - fraction * count) <= max(0.5, 1 - fraction * count, 1 - (1 - fraction) * count) + 1e-9


@given(labels=label_lists, fraction=fractions, seed=seeds)
@settings(deadline=None, max_examples=50)
def test_split_gives_the_same_each_time(labels: np.ndarray, fraction: float, seed: int) -> None:
    first, again = split(labels, fraction, seed), split(labels.copy(), fraction, seed)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_split_is_drawn_by_its_seed() -> None:
    labels = np.repeat([0, 1], 50)
    drawn = {tuple(split(labels, 0.1, seed)[1].tolist()) for seed in range(20)}
    assert len(drawn) == 20


def test_every_picture_may_be_set_aside() -> None:
    """400 draws of 10 out of 50: each picture is taken 80 times, give or take 8; 40 is 5 deviations."""
    labels = np.repeat([0, 1], 50)
    counts = np.bincount(np.concatenate([split(labels, 0.2, seed)[1] for seed in range(400)]), minlength=100)
    assert counts.sum() == 400 * 20
    assert counts.min() > 40 and counts.max() < 120


def test_split_of_a_known_size() -> None:
    labels = np.repeat([0, 1, 2, 3], [4000, 30, 2, 1])
    _, aside = split(labels, 0.1, 0)
    assert np.bincount(labels[aside], minlength=4).tolist() == [400, 3, 1, 0]
