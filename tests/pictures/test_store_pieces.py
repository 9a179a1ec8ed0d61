"""Stores in several files: what is read from them, and what a process that was killed need not have made in vain."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise import MakePictures

from alexnet.errors import PictureError, StorageError
from alexnet.pictures import prepare as making
from alexnet.pictures import store_pieces
from alexnet.pictures.prepare import Plan, open_store, prepare
from alexnet.pictures.store import opened
from alexnet.pictures.store_pieces import Pieces, pieces_of

SIDE = 8
THREE = 3 * 3 * SIDE**2  # bytes of a piece of three pictures


@pytest.fixture
def data(tmp_path: Path, make_pictures: MakePictures) -> Path:
    """Ten pictures to train on, that is four pieces of three, and two to test on, one piece."""
    make_pictures(tmp_path / "data" / "train", {"cats": 6, "dogs": 4})
    make_pictures(tmp_path / "data" / "test", {"cats": 1, "dogs": 1})
    return tmp_path / "data"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of three pictures."""
    monkeypatch.setattr(store_pieces, "PIECE_BYTES", THREE)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_a_piece_of_the_size_of_imagenets_is_a_gigabyte() -> None:
    """1,281,167 pictures of 256 x 256: 251.9 GB, and every row in one piece, in order."""
    found = pieces_of("train", 1_281_167, 256 * 256 * 3)
    assert found[0].rows.start == 0 and found[-1].rows.stop == 1_281_167
    assert all(one.rows.stop == other.rows.start for one, other in pairwise(found))
    assert max(len(piece.rows) for piece in found) * 256 * 256 * 3 <= 2**30
    assert len(found) == 235 and len({piece.name for piece in found}) == 235


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_several_pieces_read_as_one_array(counts: list[int], draw: st.DataObject) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (sum(counts), 2, 2, 3), np.uint8)
    ends = np.cumsum(counts)
    several = tuple(whole[end - count : end] for count, end in zip(counts, ends, strict=True))
    read = Pieces(several, ends - counts, whole.shape)
    rows = np.array(draw.draw(st.lists(st.integers(0, len(whole) - 1))), np.int64)
    np.testing.assert_array_equal(read[rows], whole[rows])
    chosen = draw.draw(st.slices(len(whole)))
    np.testing.assert_array_equal(read[chosen], whole[chosen])


@pytest.mark.parametrize("kept", ["raw", "jpeg"])
def test_a_store_in_pieces_holds_what_one_in_a_file_holds(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    one = prepare(data, tmp_path / "one", SIDE, kept=kept)  # type: ignore[arg-type]
    monkeypatch.setattr(store_pieces, "PIECE_BYTES", THREE)
    several = prepare(data, tmp_path / "several", SIDE, kept=kept)  # type: ignore[arg-type]
    assert several.digest == one.digest and several.counts == one.counts
    assert len([name for name in contents(several.folder) if name.startswith("train.0")]) == {"raw": 4, "jpeg": 8}[kept]
    for name, part in one.parts.items():
        assert several[name].paths == part.paths
        np.testing.assert_array_equal(several[name].read(slice(None)), part.read(slice(None)))
        np.testing.assert_array_equal(several[name].read(np.array([1, 0])), part.read(np.array([1, 0])))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "one", "several"]
    assert open_store(several.folder, 4)["train"].read(slice(None)).shape == (10, 4, 4, 3)


@pytest.mark.usefixtures("small")
def test_digests_name_the_piece_that_is_damaged(tmp_path: Path, data: Path) -> None:
    """Each is the SHA-256 of the BLAKE2b digests of its pictures."""
    store = prepare(data, tmp_path / "store", SIDE)
    entries = json.loads((tmp_path / "store/store.json").read_text())["parts"]["train"]["shards"]
    for number, entry in enumerate(entries):
        pictures = store["train"].read(slice(3 * number, 3 * number + 3))
        digests = b"".join(hashlib.blake2b(picture.tobytes(), digest_size=32).digest() for picture in pictures)
        assert entry["digest"] == hashlib.sha256(digests).hexdigest() and entry["count"] == len(pictures)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kept", ["raw", "jpeg"])
def test_a_finished_piece_is_never_made_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: str
) -> None:
    """Stopped after eight pictures of twelve: two pieces stand, their six pictures are not decoded again, and every
    file comes out as without the stop."""
    whole = contents(prepare(data, tmp_path / "whole", SIDE, kept=kept).folder)  # type: ignore[arg-type]
    attempt, decoded = Plan.attempt, []
    monkeypatch.setattr(making, "MEASURED", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    def stopping(plan: Plan, read: object) -> object:
        decoded.append(read)
        if len(decoded) == 9:
            raise KeyboardInterrupt
        return attempt(plan, read)  # type: ignore[arg-type]

    monkeypatch.setattr(Plan, "attempt", stopping)
    with pytest.raises(KeyboardInterrupt):
        prepare(data, tmp_path / "store", SIDE, kept=kept)  # type: ignore[arg-type]
    assert "the same command goes on with it" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    decoded.clear()
    store = prepare(data, tmp_path / "store", SIDE, kept=kept)  # type: ignore[arg-type]
    assert len(decoded) == 12 - 6 and contents(store.folder) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "store", "whole"]


KILLED = """
import sys, time
from pathlib import Path
from alexnet.pictures import prepare, store_pieces
store_pieces.PIECE_BYTES = int(sys.argv[3])
attempt = prepare.Plan.attempt
def slowly(plan, read):
    time.sleep(0.004)
    return attempt(plan, read)
prepare.Plan.attempt = slowly
prepare.prepare(sys.argv[1], Path(sys.argv[2]), 8, kept=sys.argv[4])
"""


@pytest.mark.parametrize("kept", ["raw", pytest.param("jpeg", marks=pytest.mark.slow)])
def test_killed_again_and_again(tmp_path: Path, make_pictures: MakePictures, kept: str) -> None:
    """SIGKILL at several moments; the store that comes out in the end is the one of a single go, byte by byte."""
    make_pictures(tmp_path / "data", {"cats": 60, "dogs": 60})
    command = [sys.executable, "-c", KILLED, str(tmp_path / "data"), str(tmp_path / "store"), str(8 * 192), kept]
    for finished in (1, 7):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        hidden = tmp_path / ".store.making"
        deadline = time.monotonic() + 60
        while len(list(hidden.glob("*.made.json"))) < finished and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "store").exists() and len(list(hidden.glob("*.made.json"))) >= finished
    subprocess.run(command, check=True, timeout=60, stderr=subprocess.DEVNULL)
    command[4] = str(tmp_path / "whole")
    subprocess.run(command, check=True, timeout=60, stderr=subprocess.DEVNULL)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "store", "whole"]


@pytest.mark.usefixtures("small")
def test_an_unreadable_picture_costs_no_second_go(
    tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_pictures(tmp_path / "data", {"cats": 60, "dogs": 60})
    (tmp_path / "data" / paths[7]).write_bytes(b"no picture")
    with pytest.raises(PictureError, match="--unreadable skip"):
        prepare(tmp_path / "data", tmp_path / "store", SIDE)
    monkeypatch.setattr(Plan, "attempt", None)  # whoever decodes now fails
    store = prepare(tmp_path / "data", tmp_path / "store", SIDE, unreadable="skip")
    assert [*store.skipped] == [paths[7]] and len(store["train"]) == 119
    assert store["train"].paths == [path for path in paths if path != paths[7]]


@pytest.mark.usefixtures("small")
def test_other_files_begin_anew(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(data, tmp_path / "more")
    spare = (tmp_path / "more/train/cats/000.png").read_bytes()
    (data / "test/dogs/000.png").write_bytes(b"")
    with pytest.raises(PictureError):
        prepare(data, tmp_path / "store", SIDE)
    capsys.readouterr()
    (data / "test/dogs/000.png").write_bytes(spare)
    store = prepare(data, tmp_path / "store", SIDE)
    assert "begun anew" in capsys.readouterr().err
    assert opened(store.folder)["test"].paths == ["test/cats/000.png", "test/dogs/000.png"]


@pytest.mark.usefixtures("small")
def test_what_it_takes_is_forecast(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=12 * 192 - 1))
    with pytest.raises(StorageError, match=r"needed.*free"):
        prepare(data, tmp_path / "store", SIDE)
    said = capsys.readouterr().err
    assert "pictures a second" in said and "12 take about 0:00:0" in said and "of memory" in said
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=12 * 192))
    assert len(prepare(data, tmp_path / "store", SIDE)["train"]) == 10
