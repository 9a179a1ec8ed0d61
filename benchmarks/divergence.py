"""How a run went astray: its steps from the last checkpoint on once more, as they were, in float32, at lower rates.

`python benchmarks/divergence.py RUN --out NAME`, where RUN diverged; it is copied, its data must still be there. Each
row is the loss of a step. On article 3's run it took two minutes.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from record import record

import alexnet
from alexnet.errors import DivergedError
from alexnet.training import train as loop
from alexnet.training.checkpoint import State

WAYS = {"as it was": (1.0, {}), "in float32": (1.0, {"bfloat16": False}), "at half the rate": (0.5, {})}


class Enough(BaseException):
    """As many steps as were asked for."""


def losses(run: Path, steps: int, factor: float, changes: dict[str, Any]) -> dict[int, float | None]:
    """Step → mean loss, from the run's last checkpoint on, at a factor of its rate and with changes to its plan."""
    found: dict[int, float | None] = {}
    unwatched = loop.update

    def watched(state: State, plan: loop.Plan, *batch: Any) -> None:
        step, before = state.step, state.sums.totals.clone()
        for group in state.optimizer.param_groups:
            group["lr"] *= factor
        unwatched(state, replace(plan, **changes), *batch)
        pictures, loss, _ = (state.sums.totals - before).tolist()
        found[step] = loss / pictures if math.isfinite(loss) else None
        if len(found) >= steps or not math.isfinite(loss):
            raise Enough

    loop.update = watched  # type: ignore[assignment]
    try:
        with tempfile.TemporaryDirectory(dir=run.parent) as place:
            copy = Path(place) / run.name
            shutil.copytree(run, copy)
            alexnet.train(resume=copy)
    except (Enough, DivergedError):
        pass
    finally:
        loop.update = unwatched
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", default="divergence")
    asked = parser.parse_args()
    record(asked.out, {way: losses(asked.run, asked.steps, *change) for way, change in WAYS.items()})
