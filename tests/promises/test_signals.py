"""R7: SIGINT and SIGTERM, once and twice, wherever a run stands."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from lab import (
    STEPS,
    Lab,
    ending,
    held_before,
    history_step,
    litter,
    needs_strace,
    newest,
    pid,
    wait_for,
    wait_until_held,
)


def test_interrupted_while_it_trains(lab, tmp_path):
    run = tmp_path / "run"
    process = lab.begin(run, "--set", "checkpoint_steps=0")
    wait_for(run / "history.csv", process)
    process.send_signal(signal.SIGINT)
    said = lab.end(process)
    assert said.code == 130 and f"--resume {run}" in said.last, said
    assert newest(run) >= history_step(run) and not litter(run)


@needs_strace
def test_stopped_in_validation_and_twice_in_a_save(lab, tmp_path):
    stopped_twice_in_a_save(lab, tmp_path / "run", stopped_in_validation(lab, tmp_path / "run"))


@needs_strace
@pytest.mark.slow
def test_stopped_in_validation_in_a_save_and_in_the_report(lab, unbroken, tmp_path):
    run = tmp_path / "run"
    stopped_twice_in_a_save(lab, run, stopped_in_validation(lab, run))

    process = lab.resume(run, fault=held_before(run / "evaluation.json", seconds=1))
    wait_until_held(run / "evaluation.json", process)
    os.kill(pid(process), signal.SIGTERM)
    said = lab.end(process)
    assert said.code == 143 and any(f"--resume {run}" in line for line in said.lines), said
    assert newest(run) == STEPS and not litter(run)
    assert ending(run).tensors == unbroken.tensors

    assert lab.end(lab.resume(run)).code == 0
    assert ending(run).models == unbroken.models


def stopped_in_validation(lab: Lab, run: Path) -> int:
    """A new run, ended by a signal as it validates; the step at which it stands."""
    process = lab.begin(run, fault=held_before(run / "kernels" / "0002.npy", seconds=1))
    wait_until_held(run / "kernels" / "0002.npy", process)
    os.kill(pid(process), signal.SIGTERM)  # a validation begins with the kernels
    said = lab.end(process)
    assert said.code == 143 and f"--resume {run}" in said.last, said
    assert newest(run) == history_step(run) == 7  # of the step in hand: 2 epochs of 54 pictures in batches of 16
    return newest(run)


def stopped_twice_in_a_save(lab: Lab, run: Path, before: int) -> None:
    """The first signal makes a save, which is held up; the second ends it at once."""
    kernels, fault = run / "kernels" / "0004.npy", "fsync:delay_enter=1000000"
    held = held_before(kernels, seconds=1)
    watched = [*held, "-e", "trace=rename,fsync", "-e", f"inject={fault}", "-P", str(run / "checkpoint")]
    process = lab.resume(run, "--set", "checkpoint_steps=0", fault=watched)
    wait_until_held(kernels, process)
    os.kill(pid(process), signal.SIGINT)
    while len(list((run / "checkpoint").iterdir())) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(pid(process), signal.SIGINT)
    assert lab.end(process).code == -signal.SIGINT
    assert newest(run) == before and len(list((run / "checkpoint").iterdir())) == 3  # the third is unfinished


def test_terminated_before_the_first_step(lab, tmp_path):
    run = tmp_path / "run"
    process = lab.begin(run)
    wait_for(run / "split.csv", process)
    process.terminate()
    said = lab.end(process)
    assert said.code == 143 and said.last == "alexnet: terminated"
    assert not litter(run)
