"""What goes wrong when the work is nearly done: a full disk, a folder that goes, readers that go, a signal unheard."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import run
from processes import MAY_MOUNT, shell

from alexnet.training import retraining

PREDICT = "alexnet predict W/photos --model W/model.safetensors --out new.csv"


def test_files_are_written_when_who_reads_has_gone(world: Path, desk: Path) -> None:
    answer = shell(f"{PREDICT.replace('W/', f'{world}/')} | true; exit ${{PIPESTATUS[0]}}", desk)
    assert (answer.code, answer.err) == (0, "")
    assert len((desk / "new.csv").read_text().splitlines()) == 9


def test_a_full_disk_behind_answers_is_not_the_file_s(world: Path, desk: Path) -> None:
    answer = shell(f"{PREDICT.replace('W/', f'{world}/')} > /dev/full", desk)
    assert (answer.code, answer.err) == (7, "alexnet: input/output: No space left on device\n")
    assert not list(desk.iterdir())


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system without room for a file of any size, in which names can be made."""
    place = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", place], check=True)
    (place / "filler").write_bytes(bytes(8192))
    yield place
    subprocess.run(["umount", place], check=True)


FULL = (
    "compress W/run --data W/photos --epochs 1 --ratio 4 --out D/new.safetensors",
    "export W/model.safetensors --to onnx --out D/new.onnx",
    "export W/model.safetensors --to pt2 --out D/new.pt2",
    "export W/model.safetensors --to keras --out D/new.h5",
    "export W/model.safetensors --to safetensors --out D/new.safetensors",
    "weights convert W/model.safetensors --out D/new.safetensors",
    "features W/photos --model W/model.safetensors --out D/new",
    "features W/photos --model W/model.safetensors --parquet --out D/new",
    "predict W/photos --model W/model.safetensors --out D/new.csv",
    "predict W/photos --model W/model.safetensors --out D/new.parquet",
    "evaluate W/run W/photos --out D/new",
    "neighbours W/picture.png --index W/index --out D/new.png",
    "summary lenet-5 --plot D/new.svg",
    "explain W/picture.png --model W/model.safetensors --out D/new",
    "predict W/photos --model W/model.safetensors --sheet D/new.png",
    "compare W/run W/again --out D/new.html",
    "check W/photos --out D/new.json",
    "datasets show W/photos --out D/new.png",
)
SAID = ("check", "compare", "evaluate", "neighbours", "predict")  # whose answer does not need the file


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts: needs root on Linux, and the right to")
@pytest.mark.parametrize("line", FULL, ids=[" ".join(line.split()[:1] + line.split("D/")[1:]) for line in FULL])
def test_a_disk_that_is_full_when_the_file_is_written(line: str, world: Path, desk: Path, disk: Path) -> None:
    answer = run(*line.replace("W/", f"{world}/").replace("D/", f"{disk}/").split())
    last = answer.err.splitlines()[-1]
    assert answer.code == 7 and last.count("No space left on device") == 1 and ".partial" not in last, answer
    assert [place.name for place in disk.rglob("*") if place.is_file()] == ["filler"]
    begun = line.endswith(".parquet")  # which has a heading, refused before the first answer
    assert bool(answer.out) == (line.split()[0] in SAID and not begun)


COMPRESS = ("--epochs", "1", "--ratio", "4", "--out")


def test_the_folder_of_the_output_goes_during_the_work(world: Path, desk: Path, monkeypatch) -> None:
    retrain = retraining.retrain

    def last(*arguments):
        shutil.rmtree(desk / "place")
        return retrain(*arguments)

    monkeypatch.setattr(retraining, "retrain", last)
    (desk / "place").mkdir()
    answer = run("compress", world / "run", "--data", world / "photos", *COMPRESS, "place/new.safetensors")
    assert answer.code == 7 and answer.out == "" and "place/new.safetensors" in answer.err.splitlines()[-1], answer
    assert not list(desk.iterdir())


def test_terminated_where_nobody_hears_of_it(world: Path, desk: Path, monkeypatch) -> None:
    """The exit code is that of the signal, not of the message that could not be said."""
    retrain, heard = retraining.retrain, os.dup(2)

    def last(*arguments):
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()
        return retrain(*arguments)

    monkeypatch.setattr(retraining, "retrain", last)
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), 2)
        try:
            answer = run("compress", world / "run", "--data", world / "photos", *COMPRESS, "new.safetensors")
        finally:
            os.dup2(heard, 2)
            os.close(heard)
    assert answer.code == 143 and not list(desk.iterdir())


def test_a_model_whose_path_is_no_utf_8_is_not_called_damaged(world: Path, desk: Path) -> None:
    model = desk / os.fsdecode(b"caf\xe9.safetensors")
    shutil.copy(world / "model.safetensors", model)
    answer = run("predict", world / "picture.png", "--model", model)
    assert answer.code == 2 and "must be UTF-8" in answer.err and answer.err[:-1].isprintable()
