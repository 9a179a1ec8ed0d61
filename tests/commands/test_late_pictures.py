"""Pictures that are damaged or go while a command is at work with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import run

from alexnet.insight.features import layers
from alexnet.pictures import making
from alexnet.pictures.store import Part
from alexnet.use import predict

TRAIN = "train DATA --variant lenet-5 --epochs 3 --set batch_size=4 --out new"
EVALUATE = "evaluate W/run DATA --split train"
COMPRESS = "compress W/run --data DATA --epochs 2 --ratio 4 --out new.safetensors"
OF_A_STORE = {TRAIN: 4, COMPRESS: 3, EVALUATE: 1}  # and at which reading it is damaged


def command(line: str, world: Path, data: Path | str) -> list[str]:
    return [word.replace("W/", f"{world}/").replace("DATA", str(data)) for word in line.split()]


def at_reading(number: int, harm: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something when a part of a store is read for the n-th time."""
    read, readings = Part.read, []

    def harmed(part, places):
        readings.append(places)
        if len(readings) == number:
            harm()
        return read(part, places)

    monkeypatch.setattr(Part, "read", harmed)


def cut(file: Path) -> None:
    os.truncate(file, 200)


def blank(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("kept, file, harm", [("raw", "npy", cut), ("jpeg", "jpegs", cut), ("jpeg", "jpegs", blank)])
@pytest.mark.parametrize("line", OF_A_STORE, ids=[line.split()[0] for line in OF_A_STORE])
def test_a_store_damaged_while_it_is_read(line, kept, file, harm, world, desk, monkeypatch, undrawn) -> None:
    """What is mapped of a file that is cut is not there any more: to reach for it would end the process."""
    assert run("prepare", world / "photos", "--out", "store", "--size", "32", "--store", kept).code == 0
    at_reading(OF_A_STORE[line], lambda: harm(desk / "store" / f"train.{file}"), monkeypatch)
    answer = run(*command(line, world, "store"))
    last = answer.err.splitlines()[-1]
    assert (answer.code, answer.out) == (2, "") and "Traceback" not in answer.err, answer
    assert f"store/train.{file}: damaged" in last and last.endswith("prepare the store anew")
    assert not list(desk.glob("*.safetensors"))


@pytest.fixture
def copied(world: Path, desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures that may be harmed, and a cache that has no store of them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(desk / "cache"))
    return Path(shutil.copytree(world / "photos", desk / "photos"))


def thin_out(photos: Path) -> None:
    """Leave two pictures of eight whole."""
    (photos / "ash" / "0.png").unlink()
    os.truncate(photos / "ash" / "1.png", 90)
    shutil.rmtree(photos / "birch")


@pytest.mark.parametrize("line", (TRAIN, EVALUATE), ids=("train", "evaluate"))
def test_pictures_that_go_before_they_are_prepared(line, copied, world, desk, monkeypatch) -> None:
    made = making.made
    monkeypatch.setattr(making, "made", lambda *given: (thin_out(copied), made(*given))[1])
    answer = run(*command(line, world, copied))
    assert (answer.code, answer.out) == (3, "")
    assert "ash/0.png: No such file or directory and 5 more; repair or leave out" in answer.err.splitlines()[-1]
    assert not (desk / "new").exists() and not [*desk.glob("cache/alexnet/stores/*")]


@pytest.mark.parametrize("line", (TRAIN, EVALUATE), ids=("train", "evaluate"))
def test_pictures_that_go_once_they_are_prepared(line, copied, world, desk, monkeypatch, undrawn) -> None:
    at_reading(1, lambda: shutil.rmtree(copied), monkeypatch)
    assert run(*command(line, world, copied), "--json").code == 0
    assert not copied.exists()


@pytest.mark.parametrize(
    "where, line",
    [
        (predict, "predict DATA --model W/model.safetensors --out new.csv"),
        (layers, "features DATA --model W/model.safetensors --out new"),
    ],
    ids=("predict", "features"),
)
def test_pictures_that_go_once_they_are_listed(where, line, copied, world, desk, monkeypatch) -> None:
    """The others are answered."""
    listed = where.listed
    monkeypatch.setattr(where, "listed", lambda inputs: (listed(inputs), thin_out(copied))[0])
    answer = run(*command(line, world, copied))
    assert answer.code == 3 and "6 of 8 pictures refused" in answer.err.splitlines()[-1]
    table = (desk / "new.csv" if where is predict else desk / "new" / "index.csv").read_text().splitlines()
    assert len(table) == 9 and sum("No such file or directory" in line for line in table) == 5
