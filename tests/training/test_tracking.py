"""TensorBoard sees what history.csv says, once, however often the run was stopped."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import alexnet
from alexnet.errors import UsageError
from alexnet.training import tracking
from alexnet.training.checkpoint import Checkpoints, State

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = {"variant": "lenet-5", "epochs": 3}
SETTINGS = ["batch_size=16"]
TRACKED = [*SETTINGS, "track=tensorboard"]


def seen(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag → (step, value) of everything in a run's event files."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def told(run: Path, column: str) -> list[tuple[int, float]]:
    """The same of history.csv."""
    rows = csv.DictReader((run / "history.csv").read_text().splitlines())
    return [(int(row["step"]), pytest.approx(float(row[column]), rel=1e-6)) for row in rows]


def check(run: Path) -> None:
    found = seen(run)
    assert set(found) == {tag.format(watched="validation") for tag in tracking.TAGS.values()}
    for column, tag in tracking.TAGS.items():
        assert found[tag.format(watched="validation")] == told(run, column)


def test_the_curves_are_the_history_and_change_nothing(photos, tmp_path):
    alexnet.train(photos, out=tmp_path / "plain", settings=SETTINGS, **SMALL)
    alexnet.train(photos, out=tmp_path / "tracked", settings=TRACKED, **SMALL)
    check(tmp_path / "tracked")
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "tracked" / name).read_bytes()
    assert not (tmp_path / "plain" / "tensorboard").exists()


def stop(patch: pytest.MonkeyPatch, saved: int, stopped: int) -> None:
    """Have runs save a checkpoint after so many steps, and be stopped when they would save one after so many more."""
    save = Checkpoints.save

    def save_or_stop(self: Checkpoints, state: State) -> None:
        if state.step == saved:
            save(self, state)
        if state.step == stopped:
            raise KeyboardInterrupt

    patch.setattr(Checkpoints, "due", lambda self, state: state.step in (saved, stopped))
    patch.setattr(Checkpoints, "save", save_or_stop)


def test_a_run_that_goes_on_goes_on_in_the_same_curves(photos, tmp_path, monkeypatch):
    """Stopped in its third epoch with a checkpoint from the first: the second epoch is told twice, and seen once."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop(patch, saved=4, stopped=9)
        alexnet.train(photos, out=tmp_path / "run", settings=TRACKED, **SMALL)
    assert len(seen(tmp_path / "run")["loss/training"]) == 2
    alexnet.train(resume=tmp_path / "run")
    check(tmp_path / "run")
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1


def test_tracking_may_begin_when_a_run_goes_on(photos, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop(patch, saved=5, stopped=5)
        alexnet.train(photos, out=tmp_path / "run", settings=SETTINGS, **SMALL)
    alexnet.train(resume=tmp_path / "run", settings=["track=tensorboard"])
    check(tmp_path / "run")


def test_without_the_extra_it_is_said_before_anything_is_written(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'alexnet\[track\]'"):
        alexnet.train(photos, out=tmp_path / "run", settings=TRACKED, **SMALL)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="not one of none, tensorboard"):
        alexnet.train(photos, out=tmp_path / "run", settings=["track=wandb"], **SMALL)
