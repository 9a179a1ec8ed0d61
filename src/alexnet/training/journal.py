"""What a run tells: history, log, progress, and the only place where training waits for the device."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from alexnet.errors import DivergedError, Interrupted
from alexnet.pictures.batches import Order
from alexnet.pictures.layout import VALIDATION
from alexnet.pictures.store import Part
from alexnet.progress import say
from alexnet.storage import write_csv
from alexnet.training.checkpoint import State, Sums
from alexnet.training.parallel.group import ALONE, Group
from alexnet.training.tracking import Curves, Nowhere

COLUMNS = "epoch,step,images,seconds,learning_rate,train_loss,train_top1,valid_loss,valid_top1,valid_top5".split(",")
SPEAK_EVERY = 10.0  # seconds between progress lines


@dataclass
class Journal:
    """The record of a run in its folder."""

    folder: Path
    order: Order
    part: Part
    epochs: int
    watched: str = VALIDATION  # the part that is looked at after each epoch
    curves: Curves = field(default_factory=Nowhere)
    group: Group = ALONE
    started: float = field(default_factory=time.monotonic)
    spoken: float = field(default_factory=time.monotonic)
    before: dict[str, float] = field(default_factory=lambda: {"run": 0.0, "steps": 0.0})
    paused: float = 0.0

    def begin(self, state: State) -> None:
        """Start the clocks where the state's stand."""
        self.before = dict(state.seconds)
        self.started = self.spoken = time.monotonic()
        self.paused = 0.0
        self.curves.begin(state.history)

    def clock(self, state: State) -> None:
        """Bring the state's clocks up to now."""
        elapsed = time.monotonic() - self.started
        state.seconds = {"run": self.before["run"] + elapsed, "steps": self.before["steps"] + elapsed - self.paused}

    @contextmanager
    def pause(self) -> Iterator[None]:
        """What happens inside is not time in training steps: validation, saving."""
        began = time.monotonic()
        yield
        self.paused += time.monotonic() - began

    def look(self, state: State) -> tuple[float, float]:
        """Mean loss and top-1 of the epoch so far. Waits for the device; raises DivergedError."""
        bad = int(state.sums.bad_step)
        if bad >= 0:
            raise self._diverged(f"the training loss was not finite at {self._where(bad)}; no update followed it")
        images, loss, hits = state.sums.totals.tolist()
        return (loss / images, hits / images) if images else (math.nan, math.nan)

    def approve(self, state: State) -> None:
        """Look, and see that every number is finite: an update may overflow though its loss did not.

        Called before each validation and checkpoint, so that nothing is kept of a network that diverged. Takes a
        thirtieth of a second for the largest networks. Raises DivergedError.
        """
        self.look(state)
        floats = [tensor for tensor in state.tensors().values() if tensor.is_floating_point()]
        if not torch.stack(torch._foreach_norm(floats, math.inf)).isfinite().all():
            raise self._diverged(f"the weights were not finite after {self._where(state.step - 1)}; none were kept")

    def _diverged(self, reason: str) -> DivergedError:
        return DivergedError(f"{self.folder}: {reason}; try a new run with a lower --set learning_rate")

    def _where(self, step: int) -> str:
        names = [self.part.paths[place] for place in self.order.places(step)[:3]]
        return f"step {step} (epoch {self.order.epochs(step) + 1}; pictures {', '.join(names)}, …)"

    def tick(self, state: State) -> None:
        """A progress line every few seconds, by the leading process: the sums are everybody's."""
        if time.monotonic() - self.spoken < SPEAK_EVERY or not self.group.leads:
            return
        loss, top1 = self.look(state)
        self.clock(state)
        self.spoken = time.monotonic()
        epoch = self.order.epochs(state.step - 1) + 1
        speed = (state.step * self.order.batch_size) / max(1e-9, state.seconds["steps"])
        self.show(f"epoch {epoch}/{self.epochs}  step {state.step}  loss {loss:.3f}  top-1 {top1:.1%}  {speed:.0f}/s")

    def epoch(self, state: State, rate: float, valid: dict[str, Any] | None) -> None:
        """One row of the history: what the epoch's steps added up to, and what validation found."""
        loss, top1 = self.look(state)
        self.clock(state)
        row = {
            "epoch": self.order.epochs(state.step),
            "step": state.step,
            "images": state.step * self.order.batch_size,
            "seconds": round(state.seconds["run"], 3),
            "learning_rate": rate,
            "train_loss": loss,
            "train_top1": top1,
            "valid_loss": valid["loss"] if valid else None,
            "valid_top1": valid["top1"] if valid else None,
            "valid_top5": valid["top5"] if valid else None,
        }
        state.history.append(row)
        state.sums = Sums.zero(state.sums.totals.device)
        self.spoken = time.monotonic()
        if not self.group.leads:
            return
        self.write(state.history)
        self.curves.add(row)
        checked = f"  {self.watched} loss {row['valid_loss']:.3f} top-1 {row['valid_top1']:.2%}" if valid else ""
        tell(
            self.folder,
            f"epoch {row['epoch']}/{self.epochs}  loss {loss:.3f} top-1 {top1:.1%}{checked}  {row['seconds']:.0f} s",
        )

    def write(self, history: list[dict[str, Any]]) -> None:
        """history.csv, whole."""
        write_csv(self.folder / "history.csv", COLUMNS, ([row[column] for column in COLUMNS] for row in history))

    def show(self, line: str) -> None:
        """A line of passing interest: overwritten on a terminal, not in the log."""
        end = "\033[K\r" if sys.stderr.isatty() else "\n"
        say(line, end)


def tell(folder: Path, line: str) -> None:
    """One line to the log of a run and to the person."""
    with (folder / "log.txt").open("a", encoding="utf-8", errors="surrogateescape") as log:
        log.write(f"{line}\n")
    end = "\033[K\n" if sys.stderr.isatty() else "\n"
    say(line, end)


@dataclass
class Signals:
    """SIGINT and SIGTERM asked for politely: the first is noted; the second, left to the system, ends the process at
    once, whatever it is in the middle of."""

    received: int | None = None

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Note signals instead of dying of them, until the block ends. Outside the main thread: do nothing."""
        try:
            before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)

    def deliver(self) -> None:
        """Hand on a signal that came too late for `check`, once listening is over."""
        if self.received is not None:
            signal.raise_signal(self.received)

    def check(self, folder: Path, group: Group) -> None:
        """Raise Interrupted if a signal has come to any of the processes."""
        (number,) = group.largest(self.received or 0)
        if number:
            name = signal.Signals(number).name
            raise Interrupted(f"{name}: stopped; go on with: alexnet train --resume {folder}", number)
