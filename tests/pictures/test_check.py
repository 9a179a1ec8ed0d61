"""What is wrong with a data set: data sets with known faults, and what nobody should be told of."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noise import picture
from PIL import Image

from alexnet.errors import PictureError, UsageError
from alexnet.pictures.checks.check import check, to_leave_out
from alexnet.pictures.checks.glance import glance
from alexnet.pictures.limits import Limits
from alexnet.pictures.prepare import open_store, prepare
from alexnet.pictures.repeats import repeats
from alexnet.pictures.skip_list import read_skip_list, write_skip_list

Alexnet = Callable[..., Any]
QUIET = ("unreadable", "duplicates", "leaks", "contradictions", "warnings", "misnamed", "tiny", "long", "huge")
QUIET += ("passed_by", "odd_names", "no_files", "repeated_names", "bare_folders", "transparent", "many_frames")


def encoded(name: str, kind: str = "PNG", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    stream = io.BytesIO()
    picture(name, size).save(stream, kind, **options)
    return stream.getvalue()


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tidy(count: int = 4) -> dict[str, bytes]:
    """A data set with nothing to say of it."""
    parts = {"train": count, "val": 2, "test": 2}
    names = [f"{part}/{name}/{n}.png" for part in parts for name in ("cats", "dogs") for n in range(parts[part])]
    return {name: encoded(name) for name in names}


def tree(folder: Path) -> dict[str, Any]:
    """Everything of everything in a folder but when it was last read."""
    answer: dict[str, Any] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        kept = status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        answer[str(path)] = *kept, digest
    return answer


# ------------------------------------------------------------------------------------------------------- nothing to say


def test_of_a_tidy_data_set_nothing_is_said(tmp_path: Path) -> None:
    found = check(lay(tmp_path / "data", tidy()))
    assert {key: found[key] for key in QUIET} == {key: [] for key in QUIET}
    assert found["pictures"] == 16
    assert found["classes"] == {name: {"train": 4, "validation": 2, "test": 2} for name in ("cats", "dogs")}
    assert (found["formats"], found["modes"]) == ({"PNG": 16}, {"RGB": 16})
    assert found["sizes"] == {key: [40, 30] for key in ("smallest", "median", "largest")}
    json.dumps(found)


@pytest.mark.parametrize(
    ("kind", "mode", "ending"),
    [
        *[("JPEG", mode, ".jpg") for mode in ("L", "RGB", "CMYK")],
        *[("PNG", mode, ".png") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        *[("WEBP", mode, ".webp") for mode in ("RGB", "RGBA")],
        *[("TIFF", mode, ".tiff") for mode in ("1", "L", "RGB", "CMYK", "I;16", "F")],
        *[("BMP", mode, ".bmp") for mode in ("1", "L", "P", "RGB")],
        *[("PPM", mode, ".ppm") for mode in ("L", "RGB")],
        ("GIF", "P", ".gif"),
    ],
)
def test_what_any_viewer_shows_is_readable(tmp_path: Path, kind: str, mode: str, ending: str) -> None:
    odd = picture("odd", (40, 30))
    grey = np.asarray(odd.convert("L"))
    if mode == "F":
        shown = Image.fromarray((grey / 255).astype(np.float32))
    elif mode == "I;16":
        shown = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        shown = odd.convert(mode)
    lay(tmp_path, tidy())
    shown.save(tmp_path / f"train/cats/odd{ending}", kind)
    found = check(tmp_path)
    assert found["unreadable"] == [] and found["warnings"] == [] and found["misnamed"] == []
    assert found["formats"] == {"PNG": 16 + (kind == "PNG")} | ({kind: 1} if kind != "PNG" else {})
    assert found["transparent"] == (["train/cats/odd" + ending] if "A" in mode and kind == "PNG" else [])


def test_small_pictures_are_right_where_all_are_small(tmp_path: Path) -> None:
    files = {name: encoded(name, size=(8, 8)) for name in tidy()}
    assert check(lay(tmp_path, files))["tiny"] == []


# ----------------------------------------------------------------------------------------------------------- unreadable


def claiming(width: int, height: int) -> bytes:
    """A PNG whose heading lies about its size, with the right checksum."""
    content = encoded("huge")
    heading = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + heading + struct.pack(">I", zlib.crc32(heading)) + content[33:]


WHOLE = encoded("whole", "JPEG", (200, 150), quality=90)
BAD = {
    "cut.jpg": WHOLE[: len(WHOLE) // 2],
    "page.jpg": b"<!DOCTYPE html><title>404</title>",
    "empty.png": b"",
    "noise.png": bytes(range(256)) * 8,
    "half.png": encoded("half")[:-700],
    "huge.png": claiming(70_000, 70_000),
}
GOOD = {
    "plain.jpg": WHOLE,
    "grey.png": encoded("grey"),
    "really-a-png.jpg": encoded("really"),
    "progressive.jpg": encoded("progressive", "JPEG", progressive=True),
    "animated.gif": encoded("animated", "GIF", save_all=True, append_images=[picture("second", (40, 30))]),
}
names = st.dictionaries(
    st.tuples(st.sampled_from(["train/a", "train/b", "test/a", "test/b"]), st.integers(0, 5)),
    st.sampled_from(sorted(BAD | GOOD)),
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names)
def test_unreadable_is_what_cannot_be_decoded_and_what_training_refuses(
    tmp_path_factory: pytest.TempPathFactory, made: dict[tuple[str, int], str]
) -> None:
    """Both by how the files were made and by what preparing them for training says."""
    folder = tmp_path_factory.mktemp("data")
    sound = {f"train/{c}/{n}.png": encoded(f"{c}{n}", size=(10, 10)) for c in "ab" for n in range(2)}
    files = {f"{place}/{number}-{kind}": (BAD | GOOD)[kind] for (place, number), kind in made.items()}
    lay(folder, sound | files)
    found = check(folder)
    bad = sorted(name for name in files if name.rpartition("/")[2].partition("-")[2] in BAD)
    assert sorted(entry["path"] for entry in found["unreadable"]) == bad
    assert all(entry["reason"] for entry in found["unreadable"])
    assert found["pictures"] == len(sound) + len(files)
    if bad:
        with pytest.raises(PictureError):
            open_store(folder, 8)
        write_skip_list(folder / "bad.txt", to_leave_out(found))
    opened = open_store(folder, 8, leave_out=read_skip_list(folder / "bad.txt") if bad else ())
    assert sum(map(len, opened.parts.values())) == found["pictures"] - len(bad)
    assert opened.counts == {
        part: {name: found["classes"][name][part] for name in opened.classes} for part in opened.parts
    }


def test_the_product_decoder_decides_and_says_why(tmp_path: Path) -> None:
    lay(tmp_path, tidy() | {f"train/cats/{name}": content for name, content in BAD.items()})
    reasons = {Path(entry["path"]).name: entry["reason"] for entry in check(tmp_path)["unreadable"]}
    assert reasons.keys() == BAD.keys()
    assert reasons["empty.png"] == "empty file" and "more than the limit" in reasons["huge.png"]


def test_limits_are_options(tmp_path: Path) -> None:
    lay(tmp_path, tidy() | {"train/cats/large.png": encoded("large", size=(50, 40))})
    assert check(tmp_path)["unreadable"] == []
    for limits in (Limits(pixels=1999), Limits(bytes=6000)):
        found = check(tmp_path, limits=limits)["unreadable"]
        assert [entry["path"] for entry in found] == ["train/cats/large.png"] and "limit" in found[0]["reason"]
    assert check(tmp_path, limits=Limits(pixels=2000))["unreadable"] == []


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    lay(tmp_path, tidy())
    folder = tmp_path / "train/cats"
    os.mkfifo(folder / "pipe.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere")
    (folder / "to-itself.jpg").symlink_to("to-itself.jpg")
    (folder / "up").symlink_to("..")
    (folder / "link.png").symlink_to("../dogs/0.png")
    found = check(tmp_path)
    assert [entry["path"] for entry in found["unreadable"]] == [
        f"train/cats/{name}.jpg" for name in ("dangling", "pipe", "to-itself")
    ]
    assert found["links"] == [f"train/cats/{name}" for name in ("dangling.jpg", "link.png", "to-itself.jpg", "up")]
    assert [group["paths"] for group in found["contradictions"]] == [["train/cats/link.png", "train/dogs/0.png"]]


# --------------------------------------------------------------------------------------------------------------- copies


def pixels(path: Path) -> bytes:
    with Image.open(path) as opened:
        shown = opened.convert("RGB")
        return f"{shown.size}".encode() + shown.tobytes()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["train/a", "train/b", "test/a"])), max_size=9))
def test_copies_are_those_of_every_pair_compared(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("data")
    files = {f"train/{c}/x.png": encoded(f"only {c}") for c in "ab"}
    for place, (number, where) in enumerate(made):
        kind = ("PNG", "BMP", "TIFF")[place % 3]
        files[f"{where}/{place}.{kind.lower()}"] = encoded(f"picture {number}", kind)
    found = check(lay(folder, files))
    shown = {path: pixels(folder / path) for path in files}
    expected = {frozenset(q for q in files if shown[q] == shown[p]) for p in files}
    groups = {frozenset(group["paths"]): group for group in found["duplicates"]}
    assert groups.keys() == {group for group in expected if len(group) > 1}
    for group, entry in groups.items():
        assert entry["kind"] == "same"
        assert set(entry["parts"]) == {path.split("/")[0] for path in group}
        assert set(entry["classes"]) == {path.split("/")[1] for path in group}
        assert (entry in found["leaks"]) == (len(entry["parts"]) > 1)
        assert (entry in found["contradictions"]) == (len(entry["classes"]) > 1)


def photographs(folder: Path) -> dict[str, Image.Image]:
    from photographs import PHOTOGRAPHS

    cuts = {}
    for number, (x, y) in enumerate((x, y) for x in (0, 200, 400) for y in (0, 110, 220)):
        cuts[f"train/{'ab'[number % 2]}/{number}.png"] = PHOTOGRAPHS[number % 2].crop((x, y, x + 220, y + 190))
    for name, cut in cuts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cut.save(folder / name)
    return cuts


def test_near_copies_across_parts_and_classes(tmp_path: Path) -> None:
    cuts = photographs(tmp_path)
    (tmp_path / "test/a").mkdir(parents=True)
    (tmp_path / "test/b").mkdir()
    cuts["train/a/0.png"].resize((150, 130)).save(tmp_path / "test/a/leak.jpg", quality=50)
    cuts["train/b/1.png"].crop((3, 3, 216, 186)).save(tmp_path / "train/a/wrong.webp")
    picture("other", (200, 200)).save(tmp_path / "test/b/other.png")
    found = check(tmp_path)
    leak, wrong = ["test/a/leak.jpg", "train/a/0.png"], ["train/a/wrong.webp", "train/b/1.png"]
    assert [group["paths"] for group in found["leaks"]] == [leak]
    assert [group["paths"] for group in found["contradictions"]] == [wrong]
    assert [group["kind"] for group in found["duplicates"]] == ["near", "near"]
    assert len([line for line in found["warnings"] if "in several" in line]) == 2
    assert to_leave_out(found) == []
    assert to_leave_out(found, duplicates=True) == ["train/a/0.png", *wrong], "the test part keeps its own"


def test_copies_in_a_table_that_lists_a_file_twice(tmp_path: Path) -> None:
    lay(tmp_path, {f"{n}.png": encoded(str(n)) for n in range(4)})
    (tmp_path / "list.csv").write_text("0.png,a\n1.png,b\n0.png,b\n2.png,a\n3.png,b\n")
    found = check(tmp_path / "list.csv")
    assert [group["paths"] for group in found["contradictions"]] == [["0.png", "0.png"]]


# ---------------------------------------------------------------------------------------------------- classes and forms


def warned(folder: Path, *words: str) -> bool:
    warnings = check(folder)["warnings"]
    return any(all(word in line for word in words) for line in warnings)


def test_uneven_lone_and_missing_classes(tmp_path: Path) -> None:
    counts = {"train/cats": 20, "train/dogs": 4, "train/owl": 1, "test/cats": 2, "test/dogs": 2, "test/emu": 1}
    lay(tmp_path, {f"{n}/{i}.png": encoded(f"{n}{i}") for n, count in counts.items() for i in range(count)})
    (tmp_path / "train/hen").mkdir()
    lay(tmp_path, {"train/yak/photo.heic": b"ftyp", "train/ape/cut.jpg": b"no"})
    warnings = "\n".join(check(tmp_path)["warnings"])
    for words in (
        "no training pictures of ape, emu: training refuses",
        "a single training picture of owl:",
        "20 training pictures of cats, 1 of owl",
        "no test pictures of owl:",
        "folders without a picture, which are no classes: train/hen, train/yak",
        "files of formats that are not read, and need converting: train/yak/photo.heic",
        "more than 1% of the pictures are unreadable",
    ):
        assert words in warnings


def test_folders_beside_the_classes_alone_are_missed_as_classes(tmp_path: Path) -> None:
    lay(tmp_path, tidy() | {"notes/today.txt": b"x", "train/cats/raw/list.txt": b"x"})
    found = check(tmp_path)
    assert found["bare_folders"] == ["notes", "train/cats/raw"] and found["warnings"] == []


@pytest.mark.parametrize("pair", [("Cat", "cat"), ("big cat", "big_cat"), ("caf\u00e9", "cafe\u0301"), ("cat", "cat ")])
def test_classes_that_look_alike(tmp_path: Path, pair: tuple[str, str]) -> None:
    lay(tmp_path, {f"{name}/{i}.png": encoded(f"{name}{i}") for name in pair for i in range(3)})
    assert warned(tmp_path, "almost the same name", *pair)


def test_pictures_not_as_the_others(tmp_path: Path) -> None:
    odd = {
        "tiny.png": encoded("tiny", size=(3, 4)),
        "long.png": encoded("long", size=(200, 30)),
        "huge.png": encoded("huge", size=(2, 2)),
        "png.jpg": encoded("png"),
        "jpg.JPEG": encoded("jpg", "JPEG"),
        "frames.gif": GOOD["animated.gif"],
        "passed-by": encoded("passed", "JPEG"),
        "passed.txt": encoded("text", "WEBP"),
        "words.txt": b"just words",
        "Thumbs.db": b"x",
        "._hidden.jpg": b"x",
    }
    lay(tmp_path, tidy() | {f"train/cats/{name}": content for name, content in odd.items()})
    lay(tmp_path, {"__MACOSX/train/cats/._0.png": b"x", ".DS_Store": b"x"})
    Image.new("L", (6000, 5000)).save(tmp_path / "train/cats/huge.png")
    found = check(tmp_path)
    assert found["unreadable"] == []
    assert found["tiny"] == [{"path": "train/cats/tiny.png", "width": 3, "height": 4}]
    assert found["long"] == [{"path": "train/cats/long.png", "width": 200, "height": 30}]
    assert found["huge"] == [{"path": "train/cats/huge.png", "width": 6000, "height": 5000}]
    assert found["misnamed"] == [{"path": "train/cats/png.jpg", "format": "PNG"}]
    assert found["many_frames"] == ["train/cats/frames.gif"]
    assert found["passed_by"] == ["train/cats/passed-by", "train/cats/passed.txt"]
    assert [Path(path).name for path in found["strays"]] == ["Thumbs.db", "passed-by", "passed.txt", "words.txt"]
    assert found["hidden"] == [".DS_Store", "__MACOSX/train/cats/._0.png", "train/cats/._hidden.jpg"]
    assert len(found["warnings"]) == 3, "tiny, long, passed by"


def test_odd_names(tmp_path: Path) -> None:
    odd = ["a\nb.png", "-rf.png", "back\\slash.png", os.fsdecode(b"caf\xe9.png"), " blank.png", "tab\t.png"]
    plain = ["a b.png", "caf\u00e9.png", "a-b.png", "猫.png", "it's & (1).png"]
    lay(tmp_path, tidy())
    for name in [*odd, *plain]:
        (tmp_path / "train/cats" / name).write_bytes(encoded(name))
    found = check(tmp_path)
    assert sorted(found["odd_names"]) == sorted(f"train/cats/{name}" for name in odd)
    assert found["unreadable"] == [] and found["warnings"] == []
    assert json.loads(json.dumps(found)) == found


# ---------------------------------------------------------------------------------------------------- all forms of DATA


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts with a refused picture, a leak, a contradiction and a stray."""
    folder = tmp_path_factory.mktemp("forms") / "data"
    files = tidy() | {"train/cats/bad.png": BAD["half.png"], "train/dogs/notes.txt": b"x"}
    files |= {"test/cats/leak.png": files["train/cats/0.png"], "train/dogs/twice.png": files["train/cats/1.png"]}
    return lay(folder, files)


def facts(found: dict[str, Any]) -> Any:
    """What must be the same whatever form the data set has."""
    groups = {key: sorted(group["paths"] for group in found[key]) for key in ("duplicates", "leaks", "contradictions")}
    refused = [(entry["path"], entry["reason"]) for entry in found["unreadable"]]
    return found["pictures"], found["classes"], refused, groups, found["warnings"]


@pytest.mark.parametrize("form", ["zip", "tar", "gztar", "xztar"])
def test_archives_are_told_as_folders_are(faulty: Path, tmp_path: Path, form: str) -> None:
    packed = check(shutil.make_archive(str(tmp_path / "data"), form, faulty))
    assert facts(packed) == facts(check(faulty))
    assert packed["strays"] == ["train/dogs/notes.txt"]


def test_tables_stores_and_names(faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = check(faulty)
    rows = [(str(p.relative_to(faulty)), p.parent.name, p.parent.parent.name) for p in sorted(faulty.rglob("*.png"))]
    with (faulty / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    table = check(faulty / "list.csv")
    (faulty / "list.csv").unlink()
    assert (table["pictures"], table["unreadable"]) == (whole["pictures"], whole["unreadable"])
    assert [set(group["paths"]) for group in table["leaks"]] == [{"test/cats/leak.png", "train/cats/0.png"}]
    shutil.copytree(faulty, tmp_path / "sound")
    (tmp_path / "sound/train/cats/bad.png").unlink()
    prepare(tmp_path / "sound", tmp_path / "store", 64)
    stored = check(tmp_path / "store")
    assert (stored["formats"], stored["unreadable"]) == ({}, [])
    assert facts(stored)[3] == facts(whole)[3]
    monkeypatch.setattr("alexnet.pictures.datasets.Patterns", lambda: Few())
    drawn = check("patterns")
    assert drawn["pictures"] == 60 and drawn["duplicates"] == [] and drawn["warnings"] == []


def Few() -> Any:
    from alexnet.pictures.sources import Patterns

    return Patterns(counts={"train": 40, "test": 20})


# ----------------------------------------------------------------------------------------------------- hostile archives


def test_a_damaged_file_in_a_zip_does_not_hide_the_others(tmp_path: Path) -> None:
    files = tidy()
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    content = (tmp_path / "data.zip").read_bytes()
    inside = files["train/cats/1.png"]
    place = content.index(inside) + len(inside) // 2
    (tmp_path / "data.zip").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    found = check(tmp_path / "data.zip")
    assert [entry["path"] for entry in found["unreadable"]] == ["train/cats/1.png"]
    assert "zip" in found["unreadable"][0]["reason"] and found["pictures"] == 16


def test_a_hostile_zip_harms_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tidy().items():
            archive.writestr(name, content)
        archive.writestr("train/cats/../../../../escaped.png", encoded("escaped"))
        archive.writestr("train/cats/bomb.png", bytes(80 * 2**20))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("train/cats/0.png", encoded("newer"))
    before = sorted(tmp_path.parent.iterdir())
    found = check(tmp_path / "data.zip")
    assert sorted(tmp_path.parent.iterdir()) == before and not (tmp_path.parent / "escaped.png").exists()
    assert [entry["path"] for entry in found["unreadable"]] == ["train/cats/bomb.png"]
    assert found["repeated_names"] == ["train/cats/0.png"]


def test_links_and_devices_in_a_tar_are_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        for name, content in tidy().items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, kind, target in (
            ("train/cats/hard.png", tarfile.LNKTYPE, "train/dogs/0.png"),
            ("train/cats/soft.png", tarfile.SYMTYPE, "/etc/passwd"),
            ("train/cats/pipe.png", tarfile.FIFOTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
    found = check(tmp_path / "data.tar")
    assert found["pictures"] == 16 and found["unreadable"] == []
    assert found["no_files"] == [f"train/cats/{name}.png" for name in ("hard", "soft", "pipe")]
    assert any("links or devices in the archive, passed by: train/cats/hard.png" in line for line in found["warnings"])


@pytest.mark.parametrize("form", ["zip", "tar", "gztar", "xztar"])
def test_archives_cut_off_are_refused(faulty: Path, tmp_path: Path, form: str) -> None:
    """A tar also where it is cut between two files, or one of its headings is damaged."""
    archive = Path(shutil.make_archive(str(tmp_path / "data"), form, faulty))
    whole = archive.read_bytes()
    places = range(0, len(whole) - 10240, 512) if form == "tar" else range(0, len(whole) - 8, len(whole) // 9)
    for place in places:
        archive.write_bytes(whole[:place])
        with pytest.raises(UsageError):
            check(archive)
    if form == "tar":
        place = whole.index(b"train/cats/2.png")
        archive.write_bytes(whole[:place] + b"!" + whole[place + 1 :])
        with pytest.raises(UsageError, match="not a whole"):
            check(archive)


# ------------------------------------------------------------------------------------------------------ nothing touched


def test_nothing_is_touched_and_a_folder_nobody_may_write_to_will_do(faulty: Path, tmp_path: Path, cache: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(faulty, data)
    (data / "train/cats/link.png").symlink_to("0.png")
    folders = [data, *(path for path in data.rglob("*") if path.is_dir())]
    for path in data.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(stat.S_IRUSR)
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    before = tree(data)
    found = check(data)
    assert tree(data) == before
    assert not cache.exists(), "nothing is stored either"
    assert found["pictures"] == 20 and len(found["unreadable"]) == 1
    for folder in folders:
        folder.chmod(stat.S_IRWXU)


# --------------------------------------------------------------------------------------------- what training says first


def test_a_store_knows_at_a_glance(faulty: Path, tmp_path: Path) -> None:
    opened = open_store(faulty, 16, leave_out=["train/cats/bad.png"])
    assert opened.repeated == {"copies": 2, "leaks": 1, "contradictions": 1}
    lines = glance(opened)
    assert len(lines) == 4
    assert any("several parts" in line for line in lines) and any("passed by: 1" in line for line in lines)
    sound = lay(tmp_path / "sound", tidy())
    assert glance(open_store(sound, 16)) == ()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_repeats_are_those_counted_one_by_one(rows: list[tuple[int, int, int]]) -> None:
    kinds = np.random.default_rng(7).integers(0, 256, (6, 32), dtype=np.uint8)
    numbers, parts, labels = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    where = {n: ({p for m, p, _ in rows if m == n}, {c for m, _, c in rows if m == n}) for n, _, _ in rows}
    assert repeats(kinds[numbers], parts, labels) == {
        "copies": len(rows) - len(where),
        "leaks": sum(len(seen[0]) > 1 for seen in where.values()),
        "contradictions": sum(len(seen[1]) > 1 for seen in where.values()),
    }


def test_leaving_out_everything_is_refused(tmp_path: Path) -> None:
    data = lay(tmp_path, tidy())
    with pytest.raises(UsageError, match="every picture"):
        check(data, list(tidy()))


# --------------------------------------------------------------------------------------------------------- from outside


def test_the_command(faulty: Path, alexnet: Alexnet, tmp_path: Path) -> None:
    answer = alexnet("check", faulty, "--json", "--out", "found.csv", "--skip-list-out", "bad.txt")
    assert answer.code == 3
    assert answer.json["pictures"] == 19 and [e["path"] for e in answer.json["unreadable"]] == ["train/cats/bad.png"]
    rows = list(csv.reader((tmp_path / "found.csv").read_text().splitlines()))
    assert rows[0] == ["finding", "path", "detail"] and rows[1][:2] == ["unreadable", "train/cats/bad.png"]
    assert (tmp_path / "bad.txt").read_text() == "train/cats/bad.png\n"
    again = alexnet("check", faulty, "--skip-list-out", "bad.txt")
    assert again.code == 2 and "bad.txt exists" in again.err and again.out == ""
    clean = alexnet("check", faulty, "--skip-list", "bad.txt")
    assert clean.code == 0 and "Every picture can be decoded." in clean.out


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_fits_the_terminal(faulty: Path, alexnet: Alexnet, width: int) -> None:
    answer = alexnet("check", faulty, COLUMNS=str(width))
    assert answer.code == 3
    assert max(map(len, answer.out.splitlines())) <= width
    for words in ("cats", "Unreadable", "bad.png", "Warnings", "several parts"):
        assert words in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "no such file or folder"),
        (("data", "--out", "found.txt"), ".json or .csv"),
        (("data", "--out", "none/found.json"), "no folder"),
        (("data", "--skip-list", "none.txt"), "none.txt"),
        (("data", "--duplicates"), "--skip-list-out"),
        (("data/train/cats",), "one folder a class"),
        (("data", "--skip-lst", "x"), "--skip-list"),
        ((), "DATA"),
    ],
)
def test_wrong_uses_are_answered_in_a_line(
    tmp_path: Path, alexnet: Alexnet, arguments: tuple[str, ...], words: str
) -> None:
    lay(tmp_path / "data", tidy())
    answer = alexnet("check", *arguments)
    assert answer.code == 2 and words in answer.err and answer.out == ""
    assert "Traceback" not in answer.err and len(answer.err.splitlines()) == 1


def test_training_takes_what_was_written_whatever_the_names(tmp_path: Path, alexnet: Alexnet) -> None:
    """Line breaks, bytes that are not UTF-8, dashes, quotation marks: through both programs, and back; and training
    says and records what can be seen at a glance."""
    odd = ["a\nb.jpg", "-rf.jpg", '"quoted".jpg', os.fsdecode(b"caf\xe9.jpg"), " blank.jpg", "#1.jpg", "a\rb.jpg"]
    files = {name: encoded(name, size=(32, 32)) for name in tidy(8)}
    lay(tmp_path / "data", files | {"test/dogs/leak.png": files["train/dogs/3.png"]})
    for name in odd:
        (tmp_path / "data/train/cats" / name).write_bytes(b"no picture")
    assert alexnet("check", "data", "--skip-list-out", "bad.txt").code == 3
    network = ("--out", "run", "--variant", "lenet-5", "--epochs", "1", "--set", "batch_size=8")
    trained = alexnet("train", "data", "--skip-list", "bad.txt", *network)
    assert trained.code == 0, trained.err
    assert "leaves out 7 pictures; it names 7 paths" in trained.err
    warnings = json.loads((tmp_path / "run/config.json").read_text())["warnings"]
    assert len(warnings) == 2 and "1 picture in several parts" in warnings[0]
    log = (tmp_path / "run/log.txt").read_text()
    assert all(f"warning: {line}" in log and f"warning: {line}" in trained.err for line in warnings)
    assert alexnet("check", "data", "--skip-list", "bad.txt", "--json").json["pictures"] == 25


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "alexnet", "check", "patterns", "--out", "found.json", "--skip-list-out", "bad"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        children = Path(f"/proc/{process.pid}/task")
        while process.poll() is None and len(list(children.iterdir())) < 2:  # until its threads decode
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code and out == "" and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------------------- real archives

REAL = {("cat.2565", "cat.3565"), ("cat.2580", "cat.4726"), ("cat.3411", "cat.4435"), ("dog.1273", "dog.980")}
REAL |= {("dog.180", "dog.74"), ("dog.2027", "dog.3082"), ("cat.4126", "cat.4575")}


def real(name: str) -> Path:
    """An archive of real pictures, in the folder that ALEXNET_PICTURES names."""
    path = Path(os.environ.get("ALEXNET_PICTURES", "nowhere")) / name
    if not path.is_file():
        pytest.skip(f"{name} is not here: ALEXNET_PICTURES names no folder with it")
    return path


@pytest.mark.slow
def test_of_real_photographs_nothing_is_said_that_is_not_so() -> None:
    """10,000 dogs and cats: the pairs that show the same were looked at, all of them."""
    found = check(real("cats-and-dogs.tar"))
    assert (found["pictures"], found["unreadable"]) == (10_000, [])
    assert {tuple(sorted(Path(path).stem for path in group["paths"])) for group in found["duplicates"]} == REAL
    assert len(found["leaks"]) == 2 and found["contradictions"] == [] and len(found["warnings"]) == 1
    assert not any(found[key] for key in ("tiny", "long", "huge", "misnamed", "strays", "odd_names", "passed_by"))


@pytest.mark.slow
def test_the_copies_in_cifar10_are_of_one_class() -> None:
    """Of pairs found by chance nine in ten would be of two classes. Barz and Denzler (2020) found 3.3 % of its test
    pictures in the training part, with what looks much alike; ours are 1.8 % at least."""
    found = check(real("cifar10.tar.xz"))
    assert (found["pictures"], found["unreadable"], found["contradictions"]) == (60_000, [], [])
    assert 500 < len(found["duplicates"]) < 700 and 150 < len(found["leaks"]) < 330
    assert not any(found[key] for key in ("tiny", "long", "huge", "misnamed", "strays", "odd_names", "passed_by"))
    assert len(found["warnings"]) == 2
