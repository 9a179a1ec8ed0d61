"""Evaluations to report: pictures drawn here, answers made up, a real network that nobody trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.evaluation.evaluate import Evaluation
from alexnet.evaluation.metrics import metrics
from alexnet.network.architecture import Input, with_classes
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.pictures.prepare import open_store
from alexnet.pictures.store import Part
from alexnet.storage import write_csv
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.model import Model, load

GREY = Input(32, 32, "crop", order="grey", mean=(128.0,), scale=(1 / 64,))
COLOUR = Input(32, 32, "crop", mean=(128.0,) * 3, scale=(1 / 64,) * 3)


def model(folder: Path, classes: tuple[str, ...], channels: int = 1) -> Model:
    """LeNet-5 with weights as drawn, from a file."""
    value = with_classes(variant("lenet-5", channels=channels), len(classes))
    network = build(value, size=32, seed=0)
    trained = {"data": {"name": "made up", "counts": {"train": dict.fromkeys(classes, 3)}}}
    rule = GREY if channels == 1 else COLOUR
    files.save(folder / "model.safetensors", network.state_dict(), Description(value, classes, rule, trained, {}))
    return load(folder / "model.safetensors")


def part(folder: Path, labels: np.ndarray, names: tuple[str, ...], files_named: str = "{:05d}", side: int = 32) -> Part:
    """Pictures of noise, one for each label, prepared as a user's are."""
    rng = np.random.default_rng(0)
    paths = [f"{files_named.format(place)}.bmp" for place in range(len(labels))]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(folder / path)
    rows = [(path, names[label], "test") for path, label in zip(paths, labels, strict=True)]
    rows += [(paths[0], name, "train") for name in names]  # a class may have no other picture
    write_csv(folder / "table.csv", ("path", "label", "split"), rows)
    return open_store(folder / "table.csv", side)["test"]


def probabilities(labels: np.ndarray, classes: int, sure: float = 3.0) -> np.ndarray:
    """Answers that are often right, float64 [N, classes]."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (len(labels), classes))
    logits[np.arange(len(labels)), labels] += sure
    logits = np.exp(logits)
    return logits / logits.sum(axis=1, keepdims=True)


def evaluation(
    folder: Path, images: int, names: tuple[str, ...], channels: int = 1, files_named: str = "{:05d}"
) -> Evaluation:
    """An evaluation of so many pictures, their classes in turn."""
    folder.mkdir(exist_ok=True)
    labels = np.arange(images) % len(names)
    found = part(folder, labels, names, files_named)
    known = found.labels  # the store's own order
    outputs = probabilities(known, len(names))
    scores = metrics(outputs, known, names) | {"split": "test", "views": 1, "seconds": 0.1}
    return Evaluation(scores, outputs, found, names, model(folder, names, channels))
