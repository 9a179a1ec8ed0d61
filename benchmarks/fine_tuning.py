"""Fine-tuning against training from scratch for the same time: writes results/fine-tuning.json.

    python benchmarks/fine_tuning.py cifar10.tar.xz cats-and-dogs.tar --work /tmp/fine-tuning --minutes 4

The network learns CIFAR-10 first; then a few hundred cats and dogs, from those weights in several ways or from nothing,
in as many steps. Each call goes on where the last one ended, until its minutes are over.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tarfile
import time
from collections.abc import Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import RESULTS, record

import alexnet
from alexnet.environment import keep_memory
from alexnet.network.architecture import Input
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.pictures.batches import Order
from alexnet.training import fine_tuning
from alexnet.training.checkpoint import State, Sums
from alexnet.training.optimizer import make_optimizer
from alexnet.training.recipes import recipe
from alexnet.training.train import Plan, bfloat16, update

BEFORE = {"epochs": 1, "settings": ["size=67", "batch_size=128", "learning_rate=0.001"]}
AFTER = {"epochs": 6, "settings": ["batch_size=32"]}
MANY = {"train": 3000, "validation": 50, "test": 100}  # pictures of each class
FEW = {"train": 150, "validation": 100, "test": 400}
SEEDS = range(3)
FROZEN = ("", "conv*", "conv*,bn[1-5]", "conv*,bn*,fc6,fc7")
WAYS: dict[str, list[str] | None] = {  # None: from scratch
    "scratch": None,
    "layer_decay=1": ["layer_decay=1"],
    "layer_decay=0.7": ["layer_decay=0.7"],
    "convolutions frozen": ["layer_decay=1", "freeze=conv*,bn[1-5]"],
}


def few(archive: Path, folder: Path, counts: dict[str, int], seed: int = 0) -> None:
    """A folder with so many pictures of each class of the archive, drawn by the seed; its test part stays that."""
    with tarfile.open(archive) as tar:
        names = sorted(member.name for member in tar if member.isfile())
    drawn = [names[place] for place in np.random.Generator(np.random.Philox(seed)).permutation(len(names))]
    wanted: dict[str, Path] = {}
    for label in {Path(name).parent.name for name in names}:
        of_class = [Path(name) for name in drawn if Path(name).parent.name == label]
        tests = iter([path for path in of_class if "test" in path.parts[1]])
        others = iter([path for path in of_class if "test" not in path.parts[1]])
        for part, count in counts.items():
            for path in islice(tests if part == "test" else others, count):
                wanted[str(path)] = folder / part / label / path.name
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in wanted and (file := tar.extractfile(member)):
                wanted[member.name].parent.mkdir(parents=True, exist_ok=True)
                wanted[member.name].write_bytes(file.read())


def measure(way: str, seed: int, photos: Path, work: Path) -> dict[str, Any]:
    settings = WAYS[way]
    begin: dict[str, Any] = {"weights": work / "before"}
    if settings is None:
        begin, settings = {"variant": "batch-norm"}, ["size=67"]
    asked = AFTER["settings"] + settings
    out = work / f"{way}-{seed}".replace(" ", "-").replace("*", "")
    result = alexnet.train(photos, seed=seed, out=out, force=True, epochs=AFTER["epochs"], settings=asked, **begin)
    kept = {key: result[key] for key in ("seconds", "images_per_second", "best", "test")}
    return {"way": way, "seed": seed, **kept}


def seconds_of_steps(patterns: Sequence[str], count: int = 6) -> dict[str, float]:
    """Median seconds of a training step at the network's own size with these layers frozen, the ways taking turns."""
    value, asked = variant("batch-norm", classes=2), recipe("fast")
    pixels = Pixels(Input(value.size, value.stored, mean=(120.0,) * 3, scale=(1 / 64,) * 3))
    device = torch.device("cpu")
    plan = Plan(asked, Order(1000, 32, 0), pixels, value.size, device, bfloat16(asked, device), None)
    views, labels = torch.randint(0, 256, (32, value.size, value.size, 3), dtype=torch.uint8), torch.arange(32) % 2
    states = {}
    for pattern in patterns:
        network = build(value)
        fine_tuning.freeze(network, fine_tuning.frozen(value, pattern))
        fine_tuning.training_mode(network)
        states[pattern] = State(network, make_optimizer(network, asked), Sums.zero(device))
    taken: dict[str, list[float]] = {pattern: [] for pattern in patterns}
    for _, pattern in product(range(count + 1), patterns):
        began = time.perf_counter()
        update(states[pattern], plan, views, labels, plan.weight(labels))
        taken[pattern].append(time.perf_counter() - began)
    return {pattern or "nothing": round(statistics.median(seconds[1:]), 4) for pattern, seconds in taken.items()}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and deviation over the seeds."""

    def of(way: str, *keys: str) -> dict[str, float]:
        values = [run[keys[0]][keys[1]] if len(keys) > 1 else run[keys[0]] for run in runs if run["way"] == way]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return {"mean": round(statistics.mean(values), 4), "deviation": round(spread, 4), "runs": len(values)}

    ways = dict.fromkeys(run["way"] for run in runs)
    columns = {"test_top1": ("test", "top1"), "validation_top1": ("best", "top1"), "seconds": ("seconds",)}
    columns["images_per_second"] = ("images_per_second",)
    return {way: {name: of(way, *keys) for name, keys in columns.items()} for way in ways}


def pretrained(cifar10: Path, data: str, many: Path, before: Path) -> dict[str, Any]:
    """Train the network to begin with, or go on with that; the document without any tuned runs."""
    began = (before / "config.json").exists()
    found = alexnet.train(resume=before) if began else alexnet.train(many, variant="batch-norm", out=before, **BEFORE)
    first = {"data": cifar10.name, "pictures_of_each_class": MANY, **BEFORE}
    first |= {key: found[key] for key in ("seconds", "test")}
    return {"before": first, "after": {"data": data, "pictures_of_each_class": FEW, **AFTER}, "runs": []}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("cats_and_dogs", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and runs")
    parser.add_argument("--minutes", type=float, default=60.0)
    asked = parser.parse_args()
    ends = time.monotonic() + 60 * asked.minutes
    many, photos, before = (asked.work / name for name in ("many", "photos", "before"))
    for archive, folder, counts in ((asked.cifar10, many, MANY), (asked.cats_and_dogs, photos, FEW)):
        if not folder.exists():
            few(archive, folder, counts)
    if (before / "result.json").exists():
        document = json.loads((RESULTS / "fine-tuning.json").read_text("utf-8"))
        del document["environment"]  # that of each call is its own
    else:
        document = pretrained(asked.cifar10, asked.cats_and_dogs.name, many, before)
    done = {(run["way"], run["seed"]) for run in document["runs"]}
    for seed, way in product(SEEDS, WAYS):
        if (way, seed) not in done and time.monotonic() < ends:
            document["runs"].append(measure(way, seed, photos, asked.work))
            record("fine-tuning", document | {"summary": summary(document["runs"])})
    if "seconds_of_a_step_frozen" not in document and time.monotonic() < ends:
        keep_memory(all_sizes=True)
        document["seconds_of_a_step_frozen"] = {"batch_size": 32, "size": 227} | seconds_of_steps(FROZEN)
        record("fine-tuning", document | {"summary": summary(document["runs"])})


if __name__ == "__main__":
    main()
