"""What a checkpoint costs, measured: `python benchmarks/checkpoints.py` writes results/checkpoints.json."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from record import RESULTS, record

from alexnet.network.model import build
from alexnet.training.checkpoint import SHARE, Checkpoints, State, Sums
from alexnet.training.optimizer import make_optimizer
from alexnet.training.recipes import recipe

SAVES = 5


def state_of(variant: str, name: str) -> State:
    """A network with two classes, after a step with gradients of zero."""
    network = build(variant, classes=2)
    optimizer = make_optimizer(network, recipe(name))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return State(network, optimizer, Sums.zero(torch.device("cpu")))


def saves(state: State, folder: Path) -> list[float]:
    """Seconds of each of several saves."""
    checkpoints, seconds = Checkpoints(folder), []
    for _ in range(SAVES):
        state.step += 1
        started = time.perf_counter()
        checkpoints.save(state)
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    networks = {}
    for variant, name in (("krizhevsky-2012", "krizhevsky-2012"), ("batch-norm", "fast")):
        state = state_of(variant, name)
        due = Checkpoints(Path())
        due.due(state)
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            seconds = saves(state, Path(folder))
        median = statistics.median(seconds)
        networks[variant] = {
            "bytes": sum(tensor.nbytes for tensor in state.tensors().values()),
            "save_seconds": seconds,
            "interval_seconds": median / SHARE,
            "first_save_after_seconds": (due.cost or 0) / SHARE,
            "share_of_the_time": median / (median / SHARE + median),
        }
    record("checkpoints", {"networks": networks})


if __name__ == "__main__":
    main()
