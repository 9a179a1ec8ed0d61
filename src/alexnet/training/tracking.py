"""A run's curves for TensorBoard, where they are asked for: `--set track=tensorboard`.

They are the rows of history.csv and nothing else, in `tensorboard/` of the run folder. A run that goes on writes all
rows anew, into one file in place of those before: nothing doubles, whatever the earlier process did not live to write.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from alexnet.errors import UsageError
from alexnet.training.recipe import Recipe

FOLDER = "tensorboard"
TAGS = {
    "learning_rate": "learning rate",
    "train_loss": "loss/training",
    "valid_loss": "loss/{watched}",
    "train_top1": "top-1/training",
    "valid_top1": "top-1/{watched}",
    "valid_top5": "top-5/{watched}",
}
"""Columns of history.csv and where they are shown: one chart for each word before the stroke."""


class Curves(Protocol):
    """Where the rows of a history go besides history.csv."""

    def begin(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Start with these rows, of the epochs that are done."""
        ...

    def add(self, row: Mapping[str, Any]) -> None:
        """One more epoch."""
        ...


class Nowhere:
    """No curves: what a run does unless told otherwise."""

    def begin(self, history: Sequence[Mapping[str, Any]]) -> None:
        pass

    def add(self, row: Mapping[str, Any]) -> None:
        pass


class TensorBoard:
    """Curves in a run folder, of training and of the part that is watched, at the steps of the run."""

    def __init__(self, run: Path, watched: str) -> None:
        self.folder, self.watched = run / FOLDER, watched

    def begin(self, history: Sequence[Mapping[str, Any]]) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        for file in self.folder.glob("events.out.tfevents.*"):
            file.unlink()
        # A TensorBoard that is looking on drops what it has from step 0 on.
        self.writer = SummaryWriter(str(self.folder), purge_step=0)
        done = float(history[-1]["seconds"]) if history else 0.0
        self.began = time.time() - done
        for row in history:
            self._write(row)
        self.writer.flush()

    def add(self, row: Mapping[str, Any]) -> None:
        self._write(row)
        self.writer.flush()

    def _write(self, row: Mapping[str, Any]) -> None:
        moment = self.began + float(row["seconds"])
        for column, tag in TAGS.items():
            if row[column] is not None:
                self.writer.add_scalar(tag.format(watched=self.watched), row[column], row["step"], moment)


def check(recipe: Recipe) -> None:
    """Raises UsageError where curves are asked for that nothing here can write."""
    if recipe.track == "tensorboard" and find_spec("tensorboard") is None:
        raise UsageError("--set track=tensorboard needs tensorboard: pip install 'alexnet[track]'")


def curves(recipe: Recipe, run: Path) -> Curves:
    """Where the recipe wants the curves of a run."""
    return TensorBoard(run, recipe.watch) if recipe.track == "tensorboard" else Nowhere()
