"""A model, or several averaged, on a part of a data set."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.evaluation.metrics import metrics
from alexnet.pictures import views as picture_views
from alexnet.pictures.batches import in_order
from alexnet.pictures.datasets import located
from alexnet.pictures.decode import Pixels
from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.prepare import open_for
from alexnet.pictures.store import Part, Store
from alexnet.progress import progress
from alexnet.storage import read_csv
from alexnet.weights.model import Model, load, softmax

PathLike = str | os.PathLike[str]

BATCH = 64


def view_probabilities(model: Model, stored: Pixels, count: int) -> NDArray[np.float64]:
    """uint8 [N, S, S, 3] → [N, classes]: softmax outputs averaged over the views (paper §4.1)."""
    outputs = [softmax(model.logits(view)) for view in picture_views.views(stored, model.description.input.size, count)]
    return np.asarray(np.mean(outputs, axis=0))


def probabilities(pairs: Sequence[tuple[Model, Part]], count: int = 1, label: str | None = None) -> NDArray[np.float64]:
    """Class probabilities [N, classes] of each picture, averaged over models and views, in the order of the data.

    Each model comes with the same pictures under its own input rule.
    """
    total: NDArray[np.float64] | None = None
    for model, part in pairs:
        batches = in_order(part, BATCH)
        shown = progress(batches, -(-len(part) // BATCH), label) if label else batches
        outputs = np.concatenate([view_probabilities(model, pictures, count) for pictures, _ in shown])
        total = outputs if total is None else total + outputs
    assert total is not None
    return total / len(pairs)


def evaluate(
    models: PathLike | Sequence[PathLike],
    data: PathLike,
    *,
    split: str | None = None,
    views: int = 1,
    limits: Limits = LIMITS,
) -> Evaluation:
    """MODEL, or several averaged, on DATA: on its test part if it has one, else validation, else all of it.

    Where DATA is what a run was trained on, the run's own parts are used, and its own limits unless others than the
    usual ones are given. Raises UsageError when the models' classes
    differ or do not cover those of the data.
    """
    names = [models] if isinstance(models, str | os.PathLike) else list(models)
    loaded = [load(name) for name in names]
    classes = loaded[0].classes
    if any(model.classes != classes for model in loaded):
        raise UsageError(f"{names[0]} and the others differ in their classes; only models of the same can be averaged")
    run = run_of(Path(names[0]), data)
    kept = _kept(run, limits)
    stores = [open_for(model.input, data, **kept) for model in loaded]
    # What a run with --valid validated on is other data, whose paths may be the same.
    recorded = run and run["digest"] == stores[0].digest and run["valid"] is None
    own = run_split(Path(names[0])) if recorded else {}
    chosen = split or default_split(stores[0], own)
    parts = [relabelled(choose(store, own, chosen, data), store.classes, classes, str(data)) for store in stores]
    started = time.monotonic()
    outputs = probabilities(list(zip(loaded, parts, strict=True)), views, "evaluating")
    seconds = round(time.monotonic() - started, 3)
    found = metrics(outputs, parts[0].labels, classes)
    scores = {**found, "split": chosen, "views": views, "seconds": seconds}
    return Evaluation(scores, outputs, parts[0], classes, loaded[0])


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found: the scores as JSON values, and what they were made from; of several models that were
    averaged `model` is the first, and `part` has the pictures by its input rule."""

    scores: dict[str, Any]
    probabilities: NDArray[np.float64]
    part: Part
    classes: tuple[str, ...]
    model: Model


def run_of(folder: Path, data: PathLike) -> dict[str, Any] | None:
    """The configuration of the run in a folder, if it was trained on DATA."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):  # a model file, or no run
        return None
    return config if config.get("data") == located(data) else None


def _kept(run: dict[str, Any] | None, limits: Limits) -> dict[str, Any]:
    """Which pictures are left out and refused: as in the run, or by the limits alone."""
    if run is None:
        return {"limits": limits}
    recipe = run["recipe"]
    own = (recipe.get(f"max_{name}", usual) for name, usual in dataclasses.asdict(LIMITS).items())
    return {
        "leave_out": run["skip_list"],
        "unreadable": recipe["unreadable"],
        "limits": Limits(*own) if limits == LIMITS else limits,
    }


def run_split(run: Path) -> dict[str, str]:
    """Path → split as a run recorded it; empty where it did not. Raises UsageError."""
    try:
        return {row["path"]: row["split"] for row in read_csv(run / "split.csv")}
    except KeyError as column:
        raise UsageError(f"{run / 'split.csv'}: not as a run leaves it: it has no column {column}") from None


def default_split(store: Store, own: dict[str, str]) -> str:
    """The split that tells most: test, else validation, else all there is."""
    present = set(own.values()) or set(store.parts)
    if not present:
        raise unlabelled(store.name, *store.unlabelled)
    return next(name for name in (TEST, VALIDATION, TRAIN) if name in present)


def unlabelled(data: PathLike, split: str) -> UsageError:
    """The error for a part of which nobody tells what its pictures show."""
    return UsageError(
        f"{data}: nothing says what its {split} pictures show, so that nothing can be scored; use --split validation, "
        "or have them answered by alexnet predict, for a challenge's server with --format ilsvrc"
    )


def choose(store: Store, own: dict[str, str], split: str, data: PathLike) -> Part:
    """One split of a store, by the run's record where there is one."""
    if own:
        for part in store.parts.values():
            places = np.flatnonzero([own.get(path) == split for path in part.paths])
            if len(places):
                return part.take(places)
    elif split in store.parts:
        return store[split]
    if split in store.unlabelled:
        raise unlabelled(data, split)
    there = sorted(set(own.values()) or set(store.parts))
    raise UsageError(f"{data}: no split {split!r}; there is {', '.join(there)}")


def relabelled(part: Part, own: Sequence[str], target: Sequence[str], data: str) -> Part:
    """The part with labels that index the model's classes instead of its own. Raises UsageError for a class unknown
    to the model."""
    if tuple(own) == tuple(target):
        return part
    missing = sorted({own[label] for label in np.unique(part.labels)} - set(target))
    if missing:
        raise UsageError(f"{data}: the model does not know the classes {', '.join(missing[:5])}")
    number = {name: index for index, name in enumerate(target)}
    return part.with_labels(np.array([number.get(name, -1) for name in own])[part.all_labels])
