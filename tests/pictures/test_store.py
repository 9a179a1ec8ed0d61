"""Pictures decoded once: what is in a store, when one is made, and what happens when something is wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from noise import MakePictures
from PIL import Image

from alexnet.errors import AlexNetError, PictureError, StorageError, UsageError
from alexnet.pictures import prepare as making
from alexnet.pictures.datasets import source
from alexnet.pictures.decode import decode, fit
from alexnet.pictures.prepare import open_store, prepare
from alexnet.pictures.store import Store

CLASSES = {"cats": 3, "dogs": 2}


@pytest.fixture
def data(tmp_path: Path, make_pictures: MakePictures) -> Path:
    """train/{cats,dogs} and test/{cats,dogs}."""
    make_pictures(tmp_path / "data" / "train", CLASSES)
    make_pictures(tmp_path / "data" / "test", {"cats": 1, "dogs": 2})
    return tmp_path / "data"


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    """Digest and modification time of every file."""
    return {
        str(file.relative_to(folder)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def stores(cache: Path) -> list[Path]:
    """Everything that lies where stores are kept, unfinished ones too."""
    return sorted((cache / "stores").iterdir()) if (cache / "stores").exists() else []


def read_all(opened: Store) -> None:
    """Whatever can be read from a store."""
    assert opened.counts and opened.digest
    for part in opened.parts.values():
        assert len(part.paths) == len(part.labels) == len(part.read(slice(None)))


# ---------------------------------------------------------------------------------------------------------- contents


@pytest.mark.parametrize(("size", "resize"), [(8, "crop"), (8, "squash"), (8, "pad"), (20, "crop"), (1, "pad")])
def test_pixels_are_those_of_the_decoder(data: Path, size: int, resize: Any) -> None:
    opened = open_store(data, size, resize)
    assert (opened.size, opened.resize, opened.name, opened.classes) == (size, resize, "data", ("cats", "dogs"))
    assert set(opened.parts) == {"train", "test"}
    for part in opened.parts.values():
        assert isinstance(part.pictures, np.memmap)
        assert part.pictures.dtype == np.uint8 and part.labels.dtype == np.int64
        assert part.pictures.shape == (len(part), size, size, 3)
        expected = [fit(decode((data / path).read_bytes()), size, resize) for path in part.paths]
        np.testing.assert_array_equal(part.read(slice(None)), expected)


def test_paths_labels_and_counts(data: Path) -> None:
    opened = open_store(data, 8)
    assert opened["train"].paths == [
        *(f"train/cats/{n:03d}.png" for n in range(3)),
        *(f"train/dogs/{n:03d}.png" for n in range(2)),
    ]
    assert opened["train"].labels.tolist() == [0, 0, 0, 1, 1]
    assert opened["test"].paths == ["test/cats/000.png", "test/dogs/000.png", "test/dogs/001.png"]
    assert opened["test"].labels.tolist() == [0, 1, 1]
    assert opened.counts == {"train": {"cats": 3, "dogs": 2}, "test": {"cats": 1, "dogs": 2}}
    assert opened.skipped == {} and opened.strays == 0


def test_stray_files_are_counted(data: Path) -> None:
    for name in ("train/cats/_DS_Store", "train/notes.txt"):
        (data / name).write_text("x")
    opened = open_store(data, 8)
    assert opened.strays == 2 and len(opened["train"]) == 5


def test_a_picture_can_be_neither_changed_nor_deleted_through_a_store(data: Path) -> None:
    before = tree(data)
    opened = open_store(data, 8)
    with pytest.raises(ValueError, match="read-only"):
        opened["train"].pictures[0] = 0
    opened["train"].read(slice(0, 2))[:] = 7  # a copy
    assert (np.asarray(opened["train"].read(slice(0, 2))) != 7).any()
    assert tree(data) == before


def test_choosing_from_a_part(data: Path) -> None:
    part = open_store(data, 8)["train"]
    chosen = part.take(np.array([4, 0, 2]))
    assert len(chosen) == 3
    assert chosen.labels.tolist() == [1, 0, 0]
    assert chosen.paths == [part.paths[4], part.paths[0], part.paths[2]]
    np.testing.assert_array_equal(chosen.read(np.array([2, 0])), part.read(np.array([2, 4])))
    again = chosen.take(np.array([1, 0]))
    assert again.paths == [part.paths[0], part.paths[4]]
    np.testing.assert_array_equal(again.read(slice(None)), part.read(np.array([0, 4])))
    assert part.with_labels(np.array([1, 1, 0, 0, 1])).take(np.array([4, 2])).labels.tolist() == [1, 0]


def test_a_store_of_a_csv_and_of_an_archive(tmp_path: Path, data: Path) -> None:
    """The same pictures by three ways, with the same digest."""
    paths = open_store(data, 8)["train"].paths
    (tmp_path / "list.csv").write_text("".join(f"data/{path},{path.split('/')[1]}\n" for path in paths))
    archive = shutil.make_archive(str(tmp_path / "packed"), "xztar", data / "train")
    folder, table, packed = (open_store(d, 8) for d in (data / "train", tmp_path / "list.csv", archive))
    assert folder.digest == table.digest == packed.digest
    assert folder.folder != table.folder != packed.folder
    np.testing.assert_array_equal(packed["train"].read(slice(None)), folder["train"].read(slice(None)))


def test_odd_names_survive(tmp_path: Path, make_pictures: MakePictures) -> None:
    names = ["café & 'co'", "猫", "a\nb", os.fsdecode(b"caf\xe9")]
    paths = make_pictures(tmp_path / "data", dict.fromkeys(names, 1))
    opened = open_store(tmp_path / "data", 8)
    assert opened["train"].paths == paths
    assert opened.classes == tuple(sorted(names))
    assert opened.counts == {"train": dict.fromkeys(names, 1)}


# ------------------------------------------------------------------------------------------------------------- cache


def test_a_store_is_made_once_in_the_cache(data: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = open_store(data, 8)
    said = capsys.readouterr()
    assert said.out == ""
    assert "8 pictures" in said.err and str(first.folder) in said.err, "what, how large and where is said before"
    assert stores(cache) == [first.folder]
    before = {name: entry for name, entry in tree(first.folder).items() if name != "store.json"}
    second = open_store(str(data), 8)
    assert capsys.readouterr() == ("", "")
    assert {name: entry for name, entry in tree(first.folder).items() if name != "store.json"} == before
    assert (second.folder, second.digest) == (first.folder, first.digest)


def test_a_cache_that_can_only_be_read_is_used(data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_store(data, 32)

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(making.os, "utime", refused)
    assert open_store(data, 32).digest == first.digest


def test_the_cap_of_the_cache_is_said_before_it_fills(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_store(data, 8)
    assert "50 GB" in capsys.readouterr().err


def test_sizes_and_resize_rules_have_stores_of_their_own(data: Path, cache: Path) -> None:
    made = [open_store(data, 8), open_store(data, 9), open_store(data, 8, "squash"), open_store(data, 8, "pad")]
    assert len({opened.folder for opened in made}) == len({opened.digest for opened in made}) == 4
    assert len(stores(cache)) == 4
    assert open_store(data, 8, "squash").folder == made[2].folder


@pytest.mark.parametrize("change", ["picture", "time", "added", "removed"])
def test_a_changed_folder_is_prepared_anew(data: Path, change: str) -> None:
    first = open_store(data, 8)
    file = data / "train/cats/001.png"
    if change == "picture":
        Image.new("RGB", (14, 10), (9, 9, 9)).save(file)
    elif change == "time":
        os.utime(file, (1, 1))
    elif change == "added":
        shutil.copy(file, file.with_name("new.png"))
    else:
        file.unlink()
    second = open_store(data, 8)
    assert second.folder != first.folder
    assert (second.digest == first.digest) == (change == "time")


def test_a_changed_split_of_a_table_is_prepared_anew(tmp_path: Path, data: Path) -> None:
    rows = [f"data/train/{c}/{n:03d}.png,{c}" for c, n in (("cats", 0), ("cats", 1), ("dogs", 0), ("dogs", 1))]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    assert len(open_store(tmp_path / "list.csv", 8)["train"]) == 4
    (tmp_path / "list.csv").write_text("\n".join([*rows[:3], rows[3] + ",test"]))
    assert {name: len(part) for name, part in open_store(tmp_path / "list.csv", 8).parts.items()} == {
        "train": 3,
        "test": 1,
    }


@pytest.mark.parametrize("value", ["", "relative/cache", None])
def test_without_a_proper_cache_variable_the_home_folder_is_used(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The XDG specification: a relative path is to be ignored."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert making.cache_folder() == tmp_path / ".cache" / "alexnet"


def test_the_least_recently_used_stores_are_dropped(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Room for three stores and no more; one of them is used again before the fourth comes."""
    oldest, middle, newest = (open_store(data, size).folder for size in (8, 9, 10))
    taken = sum(file.stat().st_size for folder in (oldest, middle, newest) for file in folder.iterdir())
    for age, folder in ((300, oldest), (200, middle), (100, newest)):
        os.utime(folder / "store.json", (time.time() - age,) * 2)
    assert open_store(data, 8).folder == oldest  # used again, so it is the newest now
    monkeypatch.setattr(making, "CACHE_BYTES", taken + 100)
    capsys.readouterr()
    added = open_store(data, 11).folder
    assert sorted([oldest, newest, added]) == stores(cache)
    assert middle.name in capsys.readouterr().err
    assert len(open_store(data, 9)["train"]) == 5, "it is made again when wanted"


def test_a_store_larger_than_the_cap_is_refused_and_drops_nothing(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_store(data, 8)
    monkeypatch.setattr(making, "CACHE_BYTES", 1000)
    with pytest.raises(UsageError, match="prepare --out"):
        open_store(data, 9)
    assert stores(cache) == [first.folder]


RACE = """
import sys, time
from pathlib import Path
from alexnet.pictures.prepare import open_store
gate = Path(sys.argv[2])
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.0005)
store = open_store(sys.argv[1], 32)
print(store.folder, store.digest, len(store["train"]))
"""


def test_several_processes_may_make_one_store_at_once(tmp_path: Path, cache: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "data", {"cats": 40, "dogs": 40}, (64, 48))
    command = [sys.executable, "-c", RACE, str(tmp_path / "data"), str(tmp_path / "go")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for run in runs:
            assert run.stdout is not None and run.stdout.readline() == "ready\n"
        (tmp_path / "go").touch()
        answers = [run.communicate(timeout=60) for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    assert [run.returncode for run in runs] == [0] * 3, answers
    assert len({out for out, _ in answers}) == 1
    (folder,) = stores(cache)
    assert answers[0][0].split() == [str(folder), open_store(tmp_path / "data", 32).digest, "80"]
    read_all(open_store(tmp_path / "data", 32))


# ------------------------------------------------------------------------------------------------------------ digest


def test_equal_pictures_in_other_folders_have_one_digest(tmp_path: Path, data: Path) -> None:
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy/train/cats/000.png").rename(tmp_path / "copy/train/cats/0.png")  # still the first
    first, second = open_store(data, 8), open_store(tmp_path / "copy", 8)
    assert first.folder != second.folder
    assert first.digest == second.digest
    assert {name: part.digest for name, part in first.parts.items()} == {
        name: part.digest for name, part in second.parts.items()
    }


@pytest.mark.parametrize("change", ["pixel", "label", "class name", "part"])
def test_whatever_training_can_see_changes_the_digest(tmp_path: Path, data: Path, change: str) -> None:
    before = open_store(data, 10)
    copy = shutil.copytree(data, tmp_path / "copy")
    file = copy / "train/cats/002.png"
    if change == "pixel":
        picture = Image.open(file)
        red, green, blue = picture.getpixel((7, 5))  # type: ignore[misc]
        picture.putpixel((7, 5), (red, green, blue ^ 1))
        picture.save(file)
    elif change == "label":
        file.rename(copy / "train/dogs/000a.png")
    elif change == "class name":
        (copy / "train/dogs").rename(copy / "train/wolves")
        (copy / "test/dogs").rename(copy / "test/wolves")
    else:
        (copy / "test").rename(copy / "val")
    after = open_store(copy, 10)
    assert after.digest != before.digest
    assert (after["train"].digest == before["train"].digest) == (change in ("class name", "part"))


def test_another_label_alone_changes_the_digest(tmp_path: Path, data: Path) -> None:
    rows = [f"data/train/{path}" for path in ("cats/000.png", "cats/001.png", "dogs/000.png")]
    digests = set()
    for labels in ("aab", "abb", "aba"):
        (tmp_path / "list.csv").write_text("".join(f"{row},{x}\n" for row, x in zip(rows, labels, strict=True)))
        digests.add(open_store(tmp_path / "list.csv", 8)["train"].digest)
    assert len(digests) == 3


# -------------------------------------------------------------------------------------------------------- unreadable


def spoil(folder: Path, *paths: str) -> dict[str, tuple[str, int]]:
    """Cut some pictures off in the middle; what all files look like then."""
    for path in paths:
        (folder / path).write_bytes((folder / path).read_bytes()[:-60])
    return tree(folder)


@pytest.mark.parametrize(
    "bad", [["train/cats/001.png"], ["train/cats/001.png", "test/dogs/000.png", "test/dogs/001.png"]]
)
def test_unreadable_pictures_are_refused(data: Path, cache: Path, bad: list[str]) -> None:
    before = spoil(data, *bad)
    with pytest.raises(PictureError) as caught:
        open_store(data, 8)
    message = str(caught.value)
    assert caught.value.exit_code == 3 and "\n" not in message
    assert any(path in message for path in bad)
    assert (f"{len(bad) - 1} more" in message) == (len(bad) > 1)
    assert tree(data) == before
    assert stores(cache) == [], "nothing half-made stays"


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder"])
def test_what_is_no_picture_is_named_with_its_reason(data: Path, kind: str) -> None:
    file = data / "train/cats/001.png"
    file.unlink()
    if kind == "missing":
        file.symlink_to(data / "nowhere")
    elif kind == "folder":
        file.mkdir()
        (file / "inner.png").write_bytes(b"")
    else:
        file.write_bytes({"empty": b"", "text": b"404 Not Found"}[kind])
    with pytest.raises(PictureError, match=r"train/cats/001\.png"):
        open_store(data, 8)


def test_a_few_may_be_skipped_and_are_listed(
    tmp_path: Path, make_pictures: MakePictures, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 of 200 are one per cent."""
    paths = make_pictures(tmp_path / "data", {"cats": 100, "dogs": 100}, (6, 6))
    bad = ["cats/007.png", "dogs/055.png"]
    before = spoil(tmp_path / "data", *bad)
    opened = open_store(tmp_path / "data", 4, unreadable="skip")
    assert sorted(opened.skipped) == bad and all(opened.skipped.values())
    assert "2" in capsys.readouterr().err
    part = opened["train"]
    assert part.paths == [path for path in paths if path not in bad]
    assert opened.counts == {"train": {"cats": 99, "dogs": 99}}
    assert len(part) == len(part.labels) == 198 and set(part.labels.tolist()) == {0, 1}
    expected = [fit(decode((tmp_path / "data" / path).read_bytes()), 4) for path in part.paths]
    np.testing.assert_array_equal(part.read(slice(None)), expected)
    assert tree(tmp_path / "data") == before
    again = open_store(tmp_path / "data", 4, unreadable="skip")
    assert again.skipped == opened.skipped and again.digest == opened.digest
    with pytest.raises(PictureError):
        open_store(tmp_path / "data", 4)


def test_more_than_one_per_cent_is_not_skipped(tmp_path: Path, cache: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path / "data", {"cats": 100, "dogs": 100}, (6, 6))
    before = spoil(tmp_path / "data", "cats/007.png", "dogs/055.png", "dogs/056.png")
    with pytest.raises(PictureError, match=r"2 more.*1%.*200"):
        open_store(tmp_path / "data", 4, unreadable="skip")
    assert tree(tmp_path / "data") == before
    assert stores(cache) == []


def test_leaving_pictures_out(data: Path) -> None:
    whole = open_store(data, 8)
    out = ["train/cats/001.png", "test/dogs/000.png"]
    opened = open_store(data, 8, leave_out=out)
    for name, part in whole.parts.items():
        kept = [row for row, path in enumerate(part.paths) if path not in out]
        assert opened[name].paths == [part.paths[row] for row in kept]
        assert opened[name].labels.tolist() == part.labels[kept].tolist()
        np.testing.assert_array_equal(opened[name].read(slice(None)), part.read(np.array(kept)))
    assert opened.digest != whole.digest
    assert open_store(data, 8, leave_out=out[::-1]).folder == opened.folder
    assert len(open_store(data, 8)["train"]) == 5


def test_unreadable_pictures_may_be_left_out(data: Path) -> None:
    spoil(data, "train/cats/001.png")
    assert len(open_store(data, 8, leave_out=["train/cats/001.png"])["train"]) == 4


def test_leaving_a_whole_part_out(data: Path) -> None:
    opened = open_store(
        data, 8, leave_out=[f"test/{name}" for name in ("cats/000.png", "dogs/000.png", "dogs/001.png")]
    )
    assert len(opened["train"]) == 5
    assert len(opened.parts.get("test", ())) == 0


# ---------------------------------------------------------------------------------------------------------- prepared


def test_a_prepared_store_is_data(tmp_path: Path, data: Path, cache: Path) -> None:
    made = prepare(data, tmp_path / "out" / "store", 8, "pad")
    assert made.folder == tmp_path / "out" / "store"
    before = tree(made.folder)
    opened = open_store(made.folder, 8)
    assert (opened.folder, opened.digest, opened.resize, opened.size) == (made.folder, made.digest, "pad", 8)
    assert opened["train"].paths == made["train"].paths
    assert stores(cache) == [] and tree(made.folder) == before
    assert made.digest == open_store(data, 8, "pad").digest
    shutil.rmtree(data)
    read_all(open_store(made.folder, 8))


def test_a_prepared_store_may_be_moved(tmp_path: Path, data: Path) -> None:
    made = prepare(data, tmp_path / "store", 8)
    pixels, digest = made["train"].read(slice(None)), made.digest
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    opened = open_store(tmp_path / "elsewhere", 8)
    assert opened.digest == digest
    np.testing.assert_array_equal(opened["train"].read(slice(None)), pixels)


def test_a_prepared_store_at_another_size(tmp_path: Path, data: Path, cache: Path) -> None:
    """Scaled from the stored pictures, by Pillow; paths, labels, names and resize rule stay."""
    made = prepare(data, tmp_path / "store", 16, "squash")
    smaller = open_store(tmp_path / "store", 8)
    assert (smaller.size, smaller.resize, smaller.classes) == (8, "squash", made.classes)
    assert stores(cache) == [smaller.folder]
    for name, part in made.parts.items():
        assert smaller[name].paths == part.paths
        assert smaller[name].labels.tolist() == part.labels.tolist()
        expected = [Image.fromarray(row).resize((8, 8), Image.Resampling.BILINEAR) for row in part.read(slice(None))]
        np.testing.assert_array_equal(smaller[name].read(slice(None)), np.stack([np.asarray(p) for p in expected]))


def test_leaving_pictures_of_a_prepared_store_out(tmp_path: Path, data: Path) -> None:
    made = prepare(data, tmp_path / "store", 8)
    opened = open_store(tmp_path / "store", 8, leave_out=["train/dogs/000.png"])
    assert opened["train"].paths == [path for path in made["train"].paths if path != "train/dogs/000.png"]
    np.testing.assert_array_equal(opened["train"].read(slice(None)), made["train"].read(np.array([0, 1, 2, 4])))
    np.testing.assert_array_equal(opened["test"].read(slice(None)), made["test"].read(slice(None)))


def test_prepared_stores_of_equal_pictures_keep_their_own_paths(tmp_path: Path, make_pictures: MakePictures) -> None:
    """At another size both come from the cache, and must not be taken for each other there."""
    make_pictures(tmp_path / "one", CLASSES)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two/cats/000.png").rename(tmp_path / "two/cats/000-first.png")
    for name in ("one", "two"):
        prepare(tmp_path / name, tmp_path / f"{name}-store", 16)
    opened = {name: open_store(tmp_path / f"{name}-store", 8) for name in ("one", "two")}
    assert opened["one"]["train"].paths[0] == "cats/000.png"
    assert opened["two"]["train"].paths[0] == "cats/000-first.png"
    assert {name: store.name for name, store in opened.items()} == {"one": "one", "two": "two"}


def test_preparing_over_another_store_does_not_pass_it_off_as_the_new_one(
    tmp_path: Path, data: Path, make_pictures: MakePictures
) -> None:
    make_pictures(tmp_path / "birds", {"owls": 2, "rooks": 2})
    prepare(tmp_path / "birds", tmp_path / "store", 8)
    before = tree(tmp_path / "store")
    with pytest.raises(AlexNetError, match="store"):
        prepare(data, tmp_path / "store", 8)
    assert tree(tmp_path / "store") == before


def test_preparing_into_a_folder_with_other_things_is_refused(tmp_path: Path, data: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(AlexNetError, match="thesis"):
        prepare(data, tmp_path / "thesis", 8)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "thesis"]


def test_preparing_refuses_unreadable_pictures_and_leaves_nothing(tmp_path: Path, data: Path) -> None:
    spoil(data, "train/cats/001.png")
    with pytest.raises(PictureError, match=r"train/cats/001\.png"):
        prepare(data, tmp_path / "store", 8)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_was_never_a_store_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="nothing-here"):
        open_store(tmp_path / "nothing-here", 8)
    assert stores(cache) == []


# ----------------------------------------------------------------------------------------------------------- damaged


class Damage(NamedTuple):
    """Something that may happen to a file of a store."""

    file: str
    happens: Callable[[Path], object]


def edit(**changes: Any) -> Callable[[Path], object]:
    """Other values in store.json; a field that becomes None is taken out."""

    def apply(path: Path) -> None:
        document = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))

    return apply


def cut(length: int) -> Callable[[Path], object]:
    """Only the first bytes, or all but the last."""
    return lambda path: path.write_bytes(path.read_bytes()[:length])


def pickled(path: Path) -> None:
    """An array of objects, which only unpickling could read."""
    np.save(path, np.array([{"a": 1}] * 5, object), allow_pickle=True)


ARRAYS = ("train.npy", "train.labels.npy")
DAMAGES = {
    **{f"{file} missing": Damage(file, Path.unlink) for file in (*ARRAYS, "test.npy", "train.paths.txt")},
    **{f"{file} empty": Damage(file, cut(0)) for file in (*ARRAYS, "train.paths.txt", "store.json")},
    **{f"{file} cut in its heading": Damage(file, cut(50)) for file in ARRAYS},
    **{f"{file} one byte short": Damage(file, cut(-1)) for file in (*ARRAYS, "train.paths.txt", "store.json")},
    **{f"{file} is text": Damage(file, lambda p: p.write_text("not an array")) for file in ARRAYS},
    **{f"{file} is a pickle": Damage(file, pickled) for file in ARRAYS},
    "paths one line short": Damage("train.paths.txt", lambda p: p.write_text(p.read_text().rpartition("\n")[0])),
    "labels for fewer pictures": Damage("train.labels.npy", lambda p: np.save(p, np.zeros(4, np.int64))),
    "labels of no class": Damage("train.labels.npy", lambda p: np.save(p, np.full(5, 7))),
    "pictures of another size": Damage("train.npy", lambda p: np.save(p, np.zeros((5, 4, 4, 3), np.uint8))),
    "pictures of another type": Damage("train.npy", lambda p: np.save(p, np.zeros((5, 8, 8, 3), np.float32))),
    "a list": Damage("store.json", lambda p: p.write_text("[1, 2, 3]")),
    "a number": Damage("store.json", lambda p: p.write_text("7")),
    "an empty object": Damage("store.json", lambda p: p.write_text("{}")),
    "another encoding": Damage("store.json", lambda p: p.write_bytes(b"\xff\xfe{\0}\0")),
    "a later format": Damage("store.json", edit(format=99)),
    "parts as a list": Damage("store.json", edit(parts=["train", "test"])),
    "a part as a number": Damage("store.json", edit(parts={"train": 5})),
    "a part without its count": Damage("store.json", edit(parts={"train": {"digest": ""}})),
    "a part that is not there": Damage("store.json", edit(parts={"attic": {"count": 5, "digest": ""}})),
    **{f"no {field}": Damage("store.json", edit(**{field: None})) for field in ("classes", "size", "resize", "parts")},
    "classes as a number": Damage("store.json", edit(classes=2)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_stores_are_refused(tmp_path: Path, data: Path, damage: Damage) -> None:
    """When it is opened, or at the latest when what is damaged is read."""
    prepare(data, tmp_path / "store", 8)
    damage.happens(tmp_path / "store" / damage.file)
    with pytest.raises(UsageError) as caught:
        read_all(open_store(tmp_path / "store", 8))
    assert caught.value.exit_code == 2
    assert str(tmp_path / "store") in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_store_in_the_cache_is_named(data: Path) -> None:
    folder = open_store(data, 8).folder
    cut(-1)(folder / "train.npy")
    with pytest.raises(UsageError, match=folder.name):
        open_store(data, 8)


# -------------------------------------------------------------------------------------------------------------- disk


def test_too_little_room_on_the_disk(data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noticed beforehand; what it takes is 8 pictures of 8 · 8 · 3 bytes."""
    usage = shutil.disk_usage(data)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=8 * 8 * 8 * 3 - 1))
    with pytest.raises(StorageError) as caught:
        open_store(data, 8)
    assert caught.value.exit_code == 7 and "free" in str(caught.value)
    assert stores(cache) == []


@pytest.mark.parametrize("saved", [0, 1])
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_in_the_middle(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, saved: int, reason: int
) -> None:
    """The error of the system, as one of ours, and no litter."""
    calls = 0
    whole_save = np.save

    def save(file: Any, array: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > saved:
            raise OSError(reason, os.strerror(reason), str(file))
        whole_save(file, array, **options)

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(StorageError, match=os.strerror(reason)):
        open_store(data, 8)
    assert stores(cache) == []


def test_a_cache_that_is_no_folder(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="file"):
        open_store(data, 8)


def test_sources_are_only_read(tmp_path: Path, data: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "tar", data))
    before = tree(tmp_path)
    for given in (data, archive):
        open_store(given, 8)
        source(given).fingerprint()
    assert tree(tmp_path) == before
