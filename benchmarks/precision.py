"""What computing in fewer bits changes: writes results/precision-steps.json, -seeds.json and -answers.json.

    python benchmarks/precision.py steps DATA       loss and gradients of 200 steps, bfloat16 beside float32
    python benchmarks/precision.py seeds DATA DIR   final accuracy, three seeds in each arithmetic; runs go to DIR
    python benchmarks/precision.py answers DATA DIR the answers of those models in each form, on the test part

All at a picture size of 127. An interrupted `seeds` goes on where it stood.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import record

import alexnet
from alexnet import compiled
from alexnet.environment import keep_memory
from alexnet.network.architecture import Input
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.pictures import views
from alexnet.pictures.batches import Order, batches, in_order
from alexnet.pictures.prepare import open_store
from alexnet.training.checkpoint import State, Sums
from alexnet.training.optimizer import make_optimizer
from alexnet.training.recipe import with_components
from alexnet.training.recipes import recipe
from alexnet.training.statistics import colour_components
from alexnet.training.train import Plan, dropout_seed, update

SIZE, STORED, STEPS, BATCH = 127, 143, 200, 64
SEEDS, EPOCHS = 3, 3


def steps(data: str) -> None:
    """Along the way that training in float32 takes: loss and gradients at the same weights in both arithmetics."""
    record("precision-steps", {name: compared(name, data) for name in ("krizhevsky-2012", "batch-norm")})


def compared(variant: str, data: str) -> dict[str, Any]:
    keep_memory(all_sizes=True)
    compiled.build(compiled.RESPONSE_NORM)
    asked = replace(recipe("fast" if variant == "batch-norm" else variant), batch_size=BATCH)
    store, device = open_store(data, STORED), torch.device("cpu")
    part = store["train"]
    asked = with_components(asked, colour_components(part))
    network = build(variant, classes=len(store.classes), size=SIZE).train()
    state = State(network, make_optimizer(network, asked), Sums.zero(device))
    pixels = Pixels(Input(size=SIZE, stored=STORED, mean=(120.0,) * 3, scale=(asked.scale,) * 3))
    plan = Plan(asked, Order(len(part), BATCH, 0), pixels, SIZE, device, False, None)
    losses, lengths = [], []
    for batch, pictures in plan.carry(batches(part, plan.order, plan.purposes, range(STEPS))):
        seen = plan.tensors(batch, pictures)
        found = []
        for low in (True, False):
            torch.manual_seed(dropout_seed(0, batch.step))
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                logits = network(pixels(seen[0])).float()
            loss = torch.nn.functional.cross_entropy(logits, seen[1], label_smoothing=asked.label_smoothing)
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            found.append((float(loss), torch.cat([g.flatten() for g in gradients])))
        (low_loss, low_gradient), (loss_, gradient) = found
        losses.append(abs(low_loss - loss_) / loss_)
        lengths.append(float((low_gradient - gradient).norm() / gradient.norm()))
        torch.manual_seed(dropout_seed(0, batch.step))
        update(state, plan, *seen)
    return {
        "steps": STEPS,
        "batch": BATCH,
        "loss_relative_difference": spread(losses),
        "gradient_relative_difference": spread(lengths),
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "largest": max(values)}


def seeds(data: str, folder: str) -> None:
    """The default recipe to its end, for each seed in each arithmetic."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for seed in range(SEEDS):
        for precision in ("bfloat16", "float32"):
            run = Path(folder) / f"{precision}-{seed}"
            if (run / "config.json").exists():
                found = alexnet.train(resume=run)
            else:
                settings = [f"size={SIZE}", f"precision={precision}"]
                found = alexnet.train(data, epochs=EPOCHS, seed=seed, out=run, settings=settings)
            runs.setdefault(precision, []).append({"seed": seed, "seconds": found["seconds"], **found["test"]})
    means = {
        name: {"mean": statistics.mean(top1), "deviation": statistics.stdev(top1)}
        for name, found in runs.items()
        if (top1 := [run["top1"] for run in found])
    }
    figures = {"data": Path(data).name, "epochs": EPOCHS, "size": SIZE, "test_top1": means, "runs": runs}
    record("precision-seeds", figures)


def answers(data: str, folder: str) -> None:
    """On how many test pictures the most probable class is that of the float32 network, and how far logits differ."""
    models = sorted(Path(folder).glob("*/best.safetensors"))
    found = {path.parent.name: {kind: agreement(path, data, kind) for kind in ("bfloat16", "int8")} for path in models}
    record("precision-answers", {"data": Path(data).name, "models": found})


def agreement(path: Path, data: str, kind: str) -> dict[str, float]:
    wide, narrow = (alexnet.load(path, precision=precision) for precision in ("float32", kind))
    part = open_store(data, wide.input.stored, wide.input.resize)["test"]
    pairs = [
        (wide.logits(view), narrow.logits(view))
        for pictures, _ in in_order(part, BATCH)
        for view in views.views(pictures, wide.input.size)
    ]
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return {
        "pictures": len(left),
        "same_top1": float((left.argmax(1) == right.argmax(1)).mean()),
        "relative_difference": float(np.linalg.norm(left - right) / np.linalg.norm(left)),
    }


if __name__ == "__main__":
    {"steps": steps, "seeds": seeds, "answers": answers}[sys.argv[1]](*sys.argv[2:])
