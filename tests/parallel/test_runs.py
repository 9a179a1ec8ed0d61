"""Whole runs of several processes that torchrun starts: X1, X2, X3, X5, and what a user sees of them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from groups import Torchrun, ranks, wait_for_checkpoint

import alexnet

EPOCHS = 16
SMALL = ("--variant", "lenet-5", "--epochs", str(EPOCHS), "--set", "batch_size=10", "--set", "validation=0.2")
OFTEN = ("--set", "checkpoint_steps=4")
STEPS = 116  # 16 epochs of 72 pictures in tens: the last step passes the boundary


def ending(run: Path) -> tuple[str, str, list[list[str]]]:
    """Digests of both models, and the history without its seconds."""
    rows = list(csv.reader((run / "history.csv").read_text().splitlines()))
    column = rows[0].index("seconds")
    digests = [hashlib.sha256((run / f"{name}.safetensors").read_bytes()).hexdigest() for name in ("best", "last")]
    return digests[0], digests[1], [row[:column] + row[column + 1 :] for row in rows]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as each process of a group has: another number rounds otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def unbroken(torchrun: Torchrun, many_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes that nothing disturbs, with what it said and what its second one wrote."""
    folder = tmp_path_factory.mktemp("unbroken")
    command = ("program.py", "train", many_photos, *SMALL, "--out", folder / "run", "--json")
    code, out, said = torchrun.end(torchrun.start(2, *command, WRITTEN=str(folder / "written")))
    assert code == 0, said
    (folder / "out").write_text(out)
    (folder / "said").write_text("\n".join(said))
    return folder


def test_one_process_writes_and_speaks(unbroken: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """X5: no change to any file of ours by the second process, one document on standard output, every line once."""
    first, *written = (unbroken / "written").read_text().splitlines()
    assert first == f"open {unbroken / 'written'}"  # of which it told, so that it would have told of others
    assert not [line for line in written if str(tmp_path_factory.getbasetemp()) in line]
    document = json.loads((unbroken / "out").read_text())
    assert document["epochs"] == EPOCHS and document["test"]["images"] == 120
    counts = Counter(line.split("  ")[0] for line in (unbroken / "said").read_text().splitlines())
    assert all(counts[f"epoch {number}/{EPOCHS}"] == 1 for number in range(1, EPOCHS + 1))
    assert max(counts.values()) == 1
    assert json.loads((unbroken / "run" / "environment.json").read_text())["processes"] == 2


def test_it_evaluates_as_one_process_does(unbroken: Path, many_photos: Path, one_thread: None) -> None:
    written = json.loads((unbroken / "run" / "evaluation.json").read_text())
    alone = alexnet.evaluate(unbroken / "run", many_photos).scores
    assert {**written, "seconds": None} == {**alone, "seconds": None}


def test_killed_it_goes_on_to_the_same_bytes(
    torchrun: Torchrun, unbroken: Path, many_photos: Path, tmp_path: Path
) -> None:
    """X1: SIGKILL for one process; torchrun starts both again, and they resume the run by themselves."""
    run = tmp_path / "run"
    command = ("program.py", "train", many_photos, *SMALL, *OFTEN, "--out", run)
    process = torchrun.start(2, *command, options=("--max-restarts", "1"))
    wait_for_checkpoint(run, 8, process)
    os.kill(ranks(run)[1], signal.SIGKILL)
    code, _, said = torchrun.end(process)
    assert code == 0, said
    assert [line.split(" of ")[-1] for line in said if line.startswith("going on at step")] == [str(STEPS)]
    assert sum("another one has gone" in line for line in said) <= 1  # torchrun may see it first
    assert (run / "log.txt").read_text().count("going on at step") == 1
    assert ending(run) == ending(unbroken / "run")


def test_stopped_it_goes_on_with_another_number_of_processes(
    torchrun: Torchrun,
    unbroken: Path,
    many_photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    undrawn: None,
    one_thread: None,
) -> None:
    """R7 and X3: SIGTERM for torchrun; a checkpoint, of which one process goes on, with the same pictures in each epoch
    and nearly the same losses, though rounded otherwise."""
    run = tmp_path / "run"
    process = torchrun.start(2, "program.py", "train", many_photos, *SMALL, "--out", run)
    while not (run / "history.csv").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, _, said = torchrun.end(process)
    assert code != 0 and sum("stopped; go on with" in line for line in said) == 1, said
    (checkpoint,) = (run / "checkpoint").iterdir()
    assert 0 < int(checkpoint.name) < STEPS
    found = alexnet.train(resume=run)
    assert "processes was 2 and is 1" in capsys.readouterr().err
    rows, expected = ending(run)[2], ending(unbroken / "run")[2]
    assert found["epochs"] == EPOCHS and [row[:3] for row in rows] == [row[:3] for row in expected]
    losses = [[float(row[rows[0].index("train_loss")]) for row in some[1:]] for some in (rows, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


# ---------------------------------------------------------------------------------------------------------- long forms


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_killed_at_any_instant(torchrun: Torchrun, many_photos: Path, tmp_path: Path, size: int) -> None:
    """X1, whichever process and whenever, the leading one and its start among them; several times in one run."""
    rng = random.Random(size)
    command = ("program.py", "train", many_photos, *SMALL, *OFTEN, "--out")
    assert torchrun.end(torchrun.start(size, *command, tmp_path / "whole"))[0] == 0
    for turn in range(4):
        run = tmp_path / f"{turn}"
        process = torchrun.start(size, *command, run, options=("--max-restarts", "5"))
        for _ in range(3):
            time.sleep(rng.uniform(1, 15))
            if process.poll() is None and (there := ranks(run)):
                os.kill(rng.choice(list(there.values())), signal.SIGKILL)
        code, _, said = torchrun.end(process, timeout=300)
        assert code == 0, said
        assert ending(run) == ending(tmp_path / "whole")
        assert not [path for path in run.rglob("*") if "partial" in path.name]


@pytest.mark.slow
def test_a_hung_process_ends_them_all(torchrun: Torchrun, many_photos: Path, tmp_path: Path) -> None:
    """X2: within the timeout, and the 30 seconds that torchrun leaves a process that does not hear it."""
    run = tmp_path / "run"
    process = torchrun.start(2, "program.py", "train", many_photos, *SMALL, *OFTEN, "--set", "timeout=5", "--out", run)
    wait_for_checkpoint(run, 8, process)
    there = ranks(run)
    os.kill(there[1], signal.SIGSTOP)
    began = time.monotonic()
    code, _, said = torchrun.end(process)
    assert code != 0 and time.monotonic() - began < 60
    assert sum("Timed out waiting" in line for line in said) == 1, said
    assert not ranks(run) and not any(Path(f"/proc/{number}").exists() for number in there.values())


@pytest.mark.slow
def test_without_torchrun_no_process_stays(torchrun: Torchrun, many_photos: Path, tmp_path: Path) -> None:
    """X2: when torchrun itself is killed, the processes write a checkpoint and end."""
    run = tmp_path / "run"
    process = torchrun.start(2, "program.py", "train", many_photos, *SMALL, "--out", run)
    while not (run / "history.csv").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    _, _, said = torchrun.end(process)  # which ends when nobody can write to its pipes any more
    assert sum("stopped; go on with" in line for line in said) == 1, said
    assert not ranks(run) and list((run / "checkpoint").glob("*/state.json"))


@pytest.mark.slow
def test_an_error_shows_once(torchrun: Torchrun, unbroken: Path, many_photos: Path, tmp_path: Path) -> None:
    """X5: whether all processes meet it or the leading one alone."""
    mine = tmp_path / "run"
    wild = [f"--set={s}" for s in ("learning_rate=1000", "weight_decay=1000", "schedule=constant")]
    for arguments, words in (
        ((many_photos, "--out", unbroken / "run"), "exists; choose another --out"),
        ((many_photos, "--set", "batch_size=1", "--out", mine), "2 processes need a picture each"),
        ((many_photos, "--set", "bacth_size=8", "--out", mine), "did you mean 'batch_size'?"),
        ((tmp_path / "nowhere", "--out", mine), "no such file"),
        ((many_photos, *SMALL, "--recipe", "krizhevsky-2012", *wild, "--out", mine), "not finite"),
    ):
        code, out, said = torchrun.end(torchrun.start(2, "program.py", "train", "--variant", "lenet-5", *arguments))
        ours = [line for line in said if line.startswith("alexnet")]
        assert code == 1 and not out and len(ours) == 1 and words in ours[0], said  # 1 is torchrun's own


@pytest.mark.slow
def test_it_goes_on_with_more_processes_and_fewer(torchrun: Torchrun, many_photos: Path, tmp_path: Path) -> None:
    """X3: from one checkpoint with one, two and four processes."""
    first = tmp_path / "first"
    process = torchrun.start(2, "program.py", "train", many_photos, *SMALL, *OFTEN, "--out", first)
    wait_for_checkpoint(first, 40, process)
    process.send_signal(signal.SIGTERM)
    torchrun.end(process)
    found = []
    for size in (1, 2, 4):
        run = shutil.copytree(first, tmp_path / f"{size}")
        code, _, said = torchrun.end(torchrun.start(size, "program.py", "train", "--resume", run))
        assert code == 0, said
        found.append(ending(run)[2])
    heading = found[0][0]
    for rows in found[1:]:
        assert [row[:3] for row in rows] == [row[:3] for row in found[0]]
        for column in ("train_loss", "valid_loss"):
            values = [[float(row[heading.index(column)]) for row in some[1:]] for some in (rows, found[0])]
            assert values[0] == pytest.approx(values[1], rel=1e-3)


# ----------------------------------------------------------------------------------------------------------- two hosts


def can_separate() -> bool:
    """Whether this machine lets us make hosts of our own: network namespaces with a cable between them."""
    if not shutil.which("ip") or os.geteuid() != 0:
        return False
    made = subprocess.run(["ip", "netns", "add", "alexnet-try"], capture_output=True)
    cable = ["ip", "link", "add", "alexnet-a", "type", "veth", "peer", "name", "alexnet-b"]
    there = subprocess.run(cable, capture_output=True)
    subprocess.run(["ip", "link", "del", "alexnet-a"], capture_output=True)
    subprocess.run(["ip", "netns", "del", "alexnet-try"], capture_output=True)
    return made.returncode == 0 == there.returncode


@pytest.fixture
def hosts() -> Iterator[list[list[str]]]:
    """Two network namespaces with a cable between them, and the words that run a command in each."""
    if not can_separate():
        pytest.skip("network namespaces cannot be made here")

    def ip(words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True)

    names = [f"alexnet-{os.getpid()}-{number}" for number in range(2)]
    ends = [f"ax{os.getpid() % 10**6}{letter}" for letter in "ab"]
    for name in names:
        ip(f"netns add {name}")
    ip(f"link add {ends[0]} type veth peer name {ends[1]}")
    for number, (name, end) in enumerate(zip(names, ends, strict=True)):
        ip(f"link set {end} netns {name}")
        ip(f"-n {name} addr add 10.77.0.{number + 1}/24 dev {end}")
        ip(f"-n {name} link set {end} up")
        ip(f"-n {name} link set lo up")
    yield [["ip", "netns", "exec", name] for name in names]
    for name in names:
        ip(f"netns del {name}")


@pytest.mark.slow
@pytest.mark.parametrize("rendezvous", ["static", "elastic"])
def test_two_hosts(
    torchrun: Torchrun, unbroken: Path, many_photos: Path, tmp_path: Path, hosts: list[list[str]], rendezvous: str
) -> None:
    """One process on each of two machines end as two on one do; with an elastic rendezvous also after a kill."""
    run = tmp_path / "run"
    command = ("program.py", "train", many_photos, *SMALL, *OFTEN, "--out", run)
    started = []
    for number, host in enumerate(hosts):
        if rendezvous == "static":
            options = ["--node-rank", str(number), "--master-addr", "10.77.0.1", "--master-port", "29411"]
        else:
            options = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29412", "--rdzv-id", "two-hosts"]
            options += ["--rdzv-conf", f"is_host={1 - number}"]  # which torchrun tells by the name of a real machine
            options += ["--local-addr", f"10.77.0.{number + 1}", "--max-restarts", "3"]
        network = {"GLOO_SOCKET_IFNAME": f"ax{os.getpid() % 10**6}{'ab'[number]}"}
        started.append(torchrun.start(1, *command, options=["--nnodes", "2", *options], before=host, **network))
    if rendezvous == "elastic":
        wait_for_checkpoint(run, 8, started[0])
        os.kill(ranks(run)[1], signal.SIGKILL)
    for process in started:
        code, _, said = torchrun.end(process, timeout=240)
        assert code == 0, said
    assert ending(run) == ending(unbroken / "run")
