"""R1 to R3: killed at any instant, a run resumes with one command and ends with the same bytes."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
from lab import (
    INTERVAL,
    SMALL,
    STEPS,
    Ending,
    Lab,
    ending,
    held_before,
    history_step,
    kill,
    litter,
    needs_strace,
    newest,
    wait_for,
    wait_until_held,
)

# Seconds that an undisturbed run takes here, and from its first checkpoint on; where it takes longer, kills come early.
LIFE, TRAINING = 4.5, 0.6


def killed(lab: Lab, run: Path, seconds: float, after: str | None = None) -> bool:
    """Let a run go on and kill it some seconds later, or after a file has come; whether it was alive until then."""
    process = lab.go_on(run)
    if after is not None:
        wait_for(run / after, process)
    time.sleep(seconds)
    if process.poll() is not None:
        process.communicate()
        return False
    kill(process)
    return process.returncode == -9


def test_killed_again_and_again_while_it_trains(lab, unbroken, tmp_path):
    run = tmp_path / "run"
    instants = [random.uniform(0, 0.25) for _ in range(3)]
    steps = []
    for number, seconds in enumerate(instants):
        assert killed(lab, run, seconds, after="checkpoint" if number == 0 else "inputs.png"), instants
        steps.append(newest(run))
        if (run / "history.csv").exists():
            assert steps[-1] >= history_step(run) - INTERVAL
    assert steps == sorted(steps)  # no checkpoint is ever lost
    assert lab.to_the_last_file(run) == unbroken, (instants, steps)
    assert not litter(run)


POINTS = {
    "before split.csv is there": "split.csv",
    "in a validation, the best weights about to be replaced": "best.safetensors",
    "in a checkpoint, before its commit": f"checkpoint/{STEPS // 2:09d}/state.json",
    "in the report": "predictions.png",
}


@needs_strace
@pytest.mark.slow
def test_killed_at_chosen_points_of_one_run(lab, unbroken, tmp_path):
    """One life after the other ends at the next of the points."""
    run = tmp_path / "run"
    for point, name in POINTS.items():
        process = lab.go_on(run, fault=held_before(run / name))
        wait_until_held(run / name, process)
        kill(process)
        assert litter(run), point
    said = lab.end(lab.resume(run))
    assert said.code == 0 and not litter(run)
    assert not list((run / "checkpoint").iterdir())
    assert ending(run).models == unbroken.models


def killed_once_and_resumed(lab: Lab, run: Path, unbroken: Ending, training: bool, workers: int) -> str:
    """Kill a run at an instant of its life, or of its training, and let it go on to its end, which must be the same.

    Where the kill fell.
    """
    while not killed(lab, run, random.uniform(0, TRAINING if training else LIFE), "checkpoint" if training else None):
        shutil.rmtree(run)
    step, began, trained = newest(run), (run / "config.json").exists(), (run / "last.safetensors").exists()
    if began and workers > 1:
        lab = Lab(lab.photos, Path(lab.environment["XDG_CACHE_HOME"]), lab.settings, ("--set", f"workers={workers}"))
    assert lab.to_the_last_file(run) == unbroken, (run, step)
    assert not litter(run)
    if trained:
        return "after training"
    return "before the first checkpoint" if step == 0 else "in training"


@pytest.mark.slow
def test_killed_at_any_instant(lab, unbroken, tmp_path, request, record):
    """As often as `--kills` says: each time a new run, killed once, resumed once, with one or more workers."""
    where: Counter[str] = Counter()
    for number in range(request.config.getoption("--kills")):
        run = tmp_path / f"run-{number}"
        where[killed_once_and_resumed(lab, run, unbroken, training=number % 4 != 0, workers=1 + number % 3)] += 1
        shutil.rmtree(run)
        record("kills at random instants", {"kills": 1, "ended with the same bytes": 1})
    record("kills at random instants", dict(where))


@needs_strace
@pytest.mark.slow
def test_fine_tuning_killed_before_and_after_it_has_the_weights(lab, small_photos, cache, tmp_path):
    """Before: they are fetched where they lay. After: the model may go."""
    assert lab.end(lab.begin(tmp_path / "model", "--epochs", "2")).code == 0
    tuned = Lab(small_photos, cache, (*SMALL, "--weights", str(tmp_path / "model"), "--set", "freeze=conv1"))
    whole = tuned.to_the_last_file(tmp_path / "whole")
    run = tmp_path / "run"
    for name in ("initial.safetensors", "split.csv", f"checkpoint/{STEPS // 2:09d}/state.json"):
        process = tuned.go_on(run, fault=held_before(run / name))
        wait_until_held(run / name, process)
        assert (run / "config.json").exists() and (run / "initial.safetensors").exists() == (name[0] != "i")
        kill(process)
        if name == "split.csv":
            shutil.rmtree(tmp_path / "model")
    assert tuned.to_the_last_file(run) == whole
    assert not litter(run)


REAL = ("--variant", "batch-norm", "--epochs", "3", "--set", "batch_size=16", "--set", "size=67")


@pytest.mark.slow
def test_the_real_network(small_photos, cache, tmp_path, record):
    """The default network, with batch normalisation and dropout, killed in training again and again."""
    lab = Lab(small_photos, cache, (*REAL, "--set", "checkpoint_steps=2"))
    assert lab.end(lab.begin(tmp_path / "whole")).code == 0
    run, kills = tmp_path / "run", 0
    for seconds in (random.uniform(0, 2.0) for _ in range(4)):
        kills += killed(lab, run, seconds, after="inputs.png")
    assert lab.end(lab.resume(run, fault=("taskset", "-c", "0") if shutil.which("taskset") else ())).code == 0
    assert ending(run) == ending(tmp_path / "whole")
    assert kills > 1
    record("kills of the default network", {"kills": kills, "runs ended with the same bytes": 1})
