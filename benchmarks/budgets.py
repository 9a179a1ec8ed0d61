"""How right a classifier of article 3's pictures is after so many seconds: writes results/budget-SECONDS.json.

    python benchmarks/budgets.py 600 cats-and-dogs.tar DIR

`alexnet train` on all training pictures with a schedule that ends within the budget, once for each seed, timed by the
clock on the wall; the test pictures are read once a run, at its end. The first run may also have to store the pictures.
Runs go to DIR; what is finished there is taken as it is.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from record import of_run, record

SEEDS = 3
SCHEDULES: dict[int, list[str]] = {
    600: ["--epochs", "17", "--set", "size=163"],
    2900: [],
}  # for two cores with bfloat16


def trained(budget: int, data: str, seed: int, run: Path) -> dict[str, Any]:
    """One run: seconds on the wall, and what it says about itself."""
    wall = run / "wall.json"
    if not wall.exists():
        schedule = [*SCHEDULES[budget], "--set", "validation=0", "--seed", str(seed), "--out", str(run)]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "alexnet", "train", data, *schedule], check=True)
        wall.write_text(json.dumps(time.perf_counter() - began))
    found = of_run(run)
    kept = {key: found[key] for key in ("environment", "history", "best_sha256")}
    return {"seed": seed, "wall_seconds": json.loads(wall.read_text()), "test": found["result"]["test"]} | kept


def main(budget: str, data: str, folder: str) -> None:
    seconds = int(budget)
    runs = [trained(seconds, data, seed, Path(folder) / f"{budget}-{seed}") for seed in range(SEEDS)]
    top1 = [run["test"]["top1"] for run in runs]
    figures = {
        "what": f"test top-1, one centre view, of article 3's pictures after at most {budget} s",
        "schedule": [*SCHEDULES[seconds], "--set", "validation=0"],
        "test_top1": {"mean": statistics.mean(top1), "deviation": statistics.stdev(top1)},
        "wall_seconds": max(run["wall_seconds"] for run in runs),
        "runs": runs,
    }
    record(f"budget-{budget}", figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
