"""What comes of 200 pictures: writes results/few-pictures.json.

    python benchmarks/few_pictures.py cats-and-dogs.tar DIR [MODEL]

Three times 100 cats and 100 dogs are drawn from the training pictures; every model answers all test pictures. The
default command has a tenth of the 200 set aside; the other one begins with MODEL's weights, of other data. What can be
expected without a network: the best of a line through 16 x 16 pixels (ridge regression, its penalty chosen on the same
tenth). Pictures and runs go to DIR; what is finished there is taken as it is.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fine_tuning import few
from numpy.typing import NDArray
from record import of_run, record

from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.prepare import open_store
from alexnet.pictures.store import Part
from alexnet.training.config import split_parts

COUNTS = {"train": 100, "test": 1000}  # pictures of each class
SEEDS = range(3)
SIDE = 16
PENALTIES = np.logspace(0, 5, 11)


def trained(photos: Path, seed: int, run: Path, begin: list[str]) -> dict[str, Any]:
    """A run of the default command."""
    if not (run / "result.json").exists():
        asked = [*begin, "--seed", str(seed), "--out", str(run), "--force"]
        subprocess.run([sys.executable, "-m", "alexnet", "train", str(photos), *asked], check=True)
    found = of_run(run)
    kept = {key: found["result"][key] for key in ("epochs", "seconds", "best", "test")}
    return kept | {"history": found["history"], "weights": found["config"].get("weights")}


def line(photos: Path, seed: int) -> dict[str, Any]:
    """Ridge regression on pixels."""
    parts = split_parts(open_store(photos, SIDE), 0.1, seed)
    values = {name: _values(part) for name, part in parts.items()}
    known, labels = values[TRAIN]
    right = {}
    for penalty in PENALTIES:
        weights = np.linalg.solve(known.T @ known + penalty * np.eye(known.shape[1]), known.T @ (2 * labels - 1))
        right[penalty] = [float(((x @ weights > 0) == y).mean()) for x, y in (values[VALIDATION], values[TEST])]
    penalty, (_, test) = max(right.items(), key=lambda entry: entry[1][0])
    return {"penalty": penalty, "test": {"top1": test}}


def _values(part: Part) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    pixels = part.read(slice(None)).reshape(len(part), -1) / 127.5 - 1
    return np.hstack([pixels, np.ones((len(part), 1))]), part.labels


def main(data: str, folder: str, model: str = "") -> None:
    place = Path(folder)
    ways: dict[str, list[dict[str, Any]]] = {"a line through pixels": [], "the default command": []}
    for seed in SEEDS:
        photos = place / f"photos-{seed}"
        if not photos.exists():
            few(Path(data), photos, COUNTS, seed)
        ways["a line through pixels"].append(line(photos, seed))
        ways["the default command"].append(trained(photos, seed, place / f"default-{seed}", []))
        if model:
            run = trained(photos, seed, place / f"tuned-{seed}", ["--weights", model])
            ways.setdefault(f"--weights {Path(model).name}", []).append(run)
    top1 = {way: [run["test"]["top1"] for run in runs] for way, runs in ways.items()}
    summary = {
        way: {"mean": statistics.mean(found), "deviation": statistics.stdev(found)} for way, found in top1.items()
    }
    record("few-pictures", {"what": "test top-1 after 200 pictures", "pictures": COUNTS, "top1": summary, "runs": ways})


if __name__ == "__main__":
    main(*sys.argv[1:])
