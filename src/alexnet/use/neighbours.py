"""Which pictures of an index are nearest to those that somebody names, as a list and as a sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from alexnet.errors import AlexNetError, PictureError, UsageError
from alexnet.insight.features.layers import features
from alexnet.insight.features.neighbours import Index, Metric
from alexnet.pictures.decode import Pixels, fit, stored
from alexnet.pictures.inputs import class_of, contents, refusal
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.progress import say
from alexnet.storage import sha256
from alexnet.weights import files
from alexnet.weights.model import Model, load

SIDE = 160  # pixels of a picture on a sheet
MOST = 12  # queries on one


def model_of(index: Index, model: str | os.PathLike[str] | None) -> Model:
    """The model that an index was made with, from where it was then or from where MODEL says; in its precision. Raises
    UsageError where it is another or not there."""
    made, place = index.document["model"], index.document["places"]["model"]
    if model is None and not os.path.isfile(place):
        raise UsageError(
            f"{index.folder}: made with {made['name']}, no longer at {place}; say with --model where it is"
        )
    path = files.locate(place if model is None else model)
    if sha256(path) != made["sha256"]:
        raise UsageError(
            f"{path}: not the model that {index.folder} was made with ({made['name']}, SHA-256 {made['sha256'][:9]}…); "
            "features of different models cannot be compared"
        )
    return load(path, precision=index.document["precision"])


def nearest(
    index: Index,
    model: Model,
    inputs: Sequence[str],
    count: int = 8,
    metric: Metric = "euclidean",
    limits: Limits = LIMITS,
) -> list[dict[str, Any]]:
    """One entry for each picture, in input order: {path, neighbours: [{row, path, label, distance}, …]}, nearest first,
    or {path, error, exit_code}."""
    entries: list[dict[str, Any]] = []
    queries: list[Any] = []
    for path, found in features(model, inputs, [index.layer], index.document["precision"], limits):
        if isinstance(found, AlexNetError):
            entries.append(refusal(path, found))
        else:
            entries.append({"path": path})
            queries.append(found[index.layer].reshape(-1))
    answers = iter(_searched(index, queries, count, metric))
    return [entry if "error" in entry else entry | {"neighbours": next(answers)} for entry in entries]


def _searched(index: Index, queries: Sequence[Any], count: int, metric: Metric) -> list[list[dict[str, Any]]]:
    if not queries:
        return []
    distances, rows = index.search(np.stack(queries), count, metric)
    return [
        [
            {"row": int(row), "path": index.paths[row], "label": index.labels[row], "distance": float(distance)}
            for row, distance in zip(*one, strict=True)
        ]
        for one in zip(rows, distances, strict=True)
    ]


def draw(
    index: Index,
    model: Model,
    entries: Sequence[dict[str, Any]],
    metric: Metric,
    path: Path,
    limits: Limits = LIMITS,
) -> None:
    """A sheet of the queries, at most MOST, with their neighbours: class and name under each, and the distance. Raises
    UsageError where there are none."""
    from alexnet.insight.reports import sheets

    good = [entry for entry in entries if entry.get("neighbours")]
    if not good:
        raise UsageError("nothing to draw: no query that could be read has a neighbour")
    if len(good) > MOST:
        say(f"{path}: the first {MOST} of {len(good)} queries")
    rows = []
    for entry in good[:MOST]:
        lines = [class_of(entry["path"], model.classes), _name(entry["path"])]
        query = sheets.Captioned(_query(entry["path"], model, limits), [line for line in lines if line])
        rows.append((query, [_captioned(index, neighbour) for neighbour in entry["neighbours"]]))
    how = {"euclidean": "Euclidean distance", "cosine": "cosine distance"}[metric]
    title = f"nearest of {len(index):,} pictures by {how} in {index.layer} of {model.variant.name}"
    sheets.neighbours(rows, title, path)


def _query(path: str, model: Model, limits: Limits) -> Pixels | None:
    try:
        return stored(contents(path, limits), SIDE, model.input.resize, limits=limits)
    except AlexNetError:  # it could be read before
        return None


def _captioned(index: Index, neighbour: dict[str, Any]) -> Any:
    from alexnet.insight.reports import sheets

    try:
        picture: Pixels | None = fit(index.picture(neighbour["row"]), SIDE)
    except PictureError:
        picture = None
    lines = [neighbour["label"], _name(neighbour["path"]), f"{neighbour['distance']:.3f}"]
    return sheets.Captioned(picture, [line for line in lines if line])


def _name(path: str) -> str:
    """The last part of a path or URL."""
    return PurePosixPath(Path(path).as_posix()).name
