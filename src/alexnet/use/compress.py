"""A model many times smaller, and what that costs it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from alexnet.evaluation.evaluate import probabilities
from alexnet.evaluation.metrics import metrics
from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.store import Part
from alexnet.storage import whole
from alexnet.weights import files
from alexnet.weights.model import load

RATIO = 35.0  # what the article reached with this network


def compress(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: Path,
    ratio: float = RATIO,
    epochs: int | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Write MODEL about `ratio` times smaller than its weights in float32, retrained for `epochs` on DATA.

    The training part is set up as in training, by default with the seed of the model's own run, so that its validation
    and test pictures stay unseen; accuracy before and after is of the test part, or what there is. Returns path, bytes,
    ratio, split, images, top1_before, top1_after and kept, the share of each layer's weights that stayed. Raises
    UsageError, WeightsError and DivergedError.
    """
    from alexnet.training import fine_tuning, retraining

    initial = fine_tuning.read(model)
    own = initial.description.trained.get("seed", 0)
    tensors, kept, parts = retraining.compressed(
        initial, os.fspath(data), ratio, epochs or retraining.EPOCHS, own if seed is None else seed
    )
    split = next(name for name in (TEST, VALIDATION, TRAIN) if name in parts)
    before = _scores(initial.path, parts[split])
    trained = initial.description.trained | {"compression": {"kept": kept}}
    description = replace(initial.description, trained=trained, scores={})
    with whole(out) as partial:
        files.write(partial, tensors, description)
        after = _scores(partial, parts[split])
        partial.unlink()  # which is mapped: written over, it would change under who reads it
        files.write(partial, tensors, replace(description, scores={split: after}))
    size, weights = out.stat().st_size, sum(tensor.nbytes for tensor in initial.tensors.values())
    return {
        "path": str(out),
        "bytes": size,
        "ratio": weights / size,
        "split": split,
        "images": after["images"],
        "top1_before": before["top1"],
        "top1_after": after["top1"],
        "kept": kept,
    }


def _scores(path: Path, part: Part) -> dict[str, Any]:
    model = load(path)
    found = metrics(probabilities([(model, part)], label="evaluating"), part.labels, model.classes)
    return {key: found[key] for key in ("images", "top1", "top5", "loss")}
