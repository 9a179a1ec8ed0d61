"""Measurements and experiments of hours that do not end as they should: a full disk, a folder that goes, signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from in_process import run
from processes import MAY_MOUNT

from alexnet.experiments import rerun
from alexnet.experiments.bench import network, turns
from alexnet.pictures.store import Part

FIGURES = {"seconds": 0.5, "normalisation": 0.1, "memory": 1e9, "flops": 1e12}


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 100 MB."""
    place = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", 0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts: needs root on Linux, and the right to")
def test_figures_are_said_that_the_disk_does_not_take(disk: Path, monkeypatch) -> None:
    for module in (network, turns):
        monkeypatch.setattr(module, "process", lambda arguments: FIGURES)
    fill(disk)
    answer = run("bench", "train", "--turns", "1", "--out", disk / "new.json", "--json")
    assert answer.code == 7 and answer.json["ours"] == 256.0 and answer.json["stock"] == 256.0
    assert answer.err.splitlines()[-1] == f"alexnet: {disk / 'new.json'}: cannot be written: No space left on device"
    assert [place.name for place in disk.iterdir()] == ["filler"]


EXPERIMENT = ("experiment", "cifar-11pct", "--quick", "--data")  # two small networks, 40 pictures


def in_the_run(harm: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    read, readings = Part.read, []

    def harmed(part, places):
        readings.append(places)
        if len(readings) == 4:
            harm()
        return read(part, places)

    monkeypatch.setattr(Part, "read", harmed)


def before_the_table(harm: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    report = rerun._report
    monkeypatch.setattr(rerun, "_report", lambda *given: (harm(), report(*given))[1])


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts: needs root on Linux, and the right to")
@pytest.mark.parametrize("when", [in_the_run, before_the_table])
def test_a_disk_that_fills_during_an_experiment(when, disk, world, desk, monkeypatch, undrawn) -> None:
    """The same command goes on once there is room."""
    command = (*EXPERIMENT, world / "tens", "--out", disk / "new")
    with monkeypatch.context() as patch:
        when(lambda: fill(disk), patch)
        answer = run(*command)
    assert (answer.code, answer.out) == (7, "") and "No space left on device" in answer.err.splitlines()[-1], answer
    assert not [place for place in disk.rglob("*") if "partial" in place.name]
    (disk / "filler").unlink()
    done = run(*command, "--json")
    assert done.code == 0 and done.json["finished"]


@pytest.mark.parametrize("when", [in_the_run, before_the_table])
def test_the_folder_of_an_experiment_goes(when, world, desk, monkeypatch, undrawn) -> None:
    when(lambda: shutil.rmtree(desk / "new"), monkeypatch)
    answer = run(*EXPERIMENT, world / "tens", "--out", "new")
    last = answer.err.splitlines()[-1]
    assert (answer.code, answer.out) == (7, "") and "new/" in last and "No such file or directory" in last, answer
    assert not (desk / "new").exists()


# ------------------------------------------------------------------------------------------------------------- signals


class Moment(NamedTuple):
    """When a signal comes: so long after there are so many processes and a file."""

    processes: int
    seconds: float
    file: str = "."


MEASUREMENTS = {
    "bench train --variant cifar-18pct --batch 2": Moment(2, 1),
    "bench predict --variant cifar-18pct --batch 1": Moment(2, 3),
    "bench data W/photos": Moment(2, 5),
    "bench serve --model W/model.safetensors": Moment(3, 1),
    "experiment cifar-11pct --quick --data W/tens --out new": Moment(1, 0, "new/tenth-0/history.csv"),
}


def processes(mark: str) -> list[str]:
    """Everything that runs and was started with this text in its environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_text())
        except OSError:  # has ended, or is another's
            continue
    return found


def interrupted(line: str, moment: Moment, sent: signal.Signals, world: Path, desk: Path) -> list[str]:
    """What a command says to a signal, Ctrl-C for all of its processes or SIGTERM for the first, before all end."""
    temporary = desk / "temporary"
    temporary.mkdir()
    words = [word.replace("W/", f"{world}/") for word in line.split()]
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "alexnet", *words]
    process = subprocess.Popen(command, **pipes, env=environment, cwd=desk, start_new_session=True)
    while process.poll() is None and not (
        len(processes(str(temporary))) >= moment.processes and (desk / moment.file).exists()
    ):
        time.sleep(0.1)
    time.sleep(moment.seconds)
    (os.killpg if sent == signal.SIGINT else os.kill)(process.pid, sent)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + sent, "") and "Traceback" not in err, err
    deadline = time.monotonic() + 10
    while processes(str(temporary)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes(str(temporary)) and not list(temporary.iterdir())
    return [said for said in err.splitlines() if said.startswith("alexnet")]


SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize("sent", SIGNALS, ids=SIGNALS.values())
@pytest.mark.parametrize("line", MEASUREMENTS, ids=[" ".join(line.split()[:2]) for line in MEASUREMENTS])
def test_measuring_is_interrupted(line: str, sent: signal.Signals, world: Path, desk: Path) -> None:
    said = interrupted(line, MEASUREMENTS[line], sent, world, desk)
    if line.startswith("bench "):
        assert said == [f"alexnet: {SIGNALS[sent]}"] and [place.name for place in desk.iterdir()] == ["temporary"]
    else:
        assert len(said) == 1 and "go on with: alexnet train --resume new/tenth-0" in said[0]
        assert "UNFINISHED" in (desk / "new" / "table.md").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("seconds", [0, *(pytest.param(late, marks=pytest.mark.slow) for late in (0.5, 1))])
def test_a_server_is_interrupted_while_it_starts(seconds: float, world: Path, desk: Path) -> None:
    """Ctrl-C is for its processes too, which have not learnt yet to leave it to the server."""
    line = "serve --model W/model.safetensors --port 0"
    assert interrupted(line, Moment(2, seconds), signal.SIGINT, world, desk) == ["alexnet: interrupted"]
