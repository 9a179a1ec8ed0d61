"""Training speed seen from outside: `python benchmarks/outside.py DATA DIR` writes results/bench-outside.json.

`alexnet train` with the paper's recipe for two epochs and for four, on real pictures; what two more epochs took by the
clock on the wall gives the rate, whatever starting and ending cost. Runs go to DIR and are removed again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from record import record

SHORT, LONG = 2, 4  # epochs


def train(data: str, folder: Path, epochs: int) -> tuple[float, dict[str, float]]:
    """Seconds on the wall and what the command answers."""
    command = [sys.executable, "-m", "alexnet", "train", data, "--recipe", "krizhevsky-2012", "--epochs", str(epochs)]
    began = time.perf_counter()
    answer = subprocess.run([*command, "--out", str(folder), "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - began, json.loads(answer.stdout)


def main(data: str, folder: str) -> None:
    found = {}
    for epochs in (SHORT, LONG):
        run = Path(folder) / f"outside-{epochs}"
        found[epochs] = train(data, run, epochs)
        counts = json.loads((run / "config.json").read_text())["counts"]
        shutil.rmtree(run)
    pictures = sum(counts["train"].values()) * (LONG - SHORT)
    figures = {
        "what": "krizhevsky-2012, batch 128, pictures/s by the wall clock, validation and saving included",
        "pictures_per_second": pictures / (found[LONG][0] - found[SHORT][0]),
        "images_per_second": {f"{epochs} epochs": answer["images_per_second"] for epochs, (_, answer) in found.items()},
        "wall_seconds": {f"{epochs} epochs": seconds for epochs, (seconds, _) in found.items()},
    }
    record("bench-outside", figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
