"""Slow work of a model process: what a layer makes of a picture, and which pictures of an index are like it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from alexnet.errors import PictureError, UsageError
from alexnet.insight.features.neighbours import Index
from alexnet.pictures.decode import Pixels
from alexnet.storage import sha256
from alexnet.use.server.problems import Problem
from alexnet.weights import files
from alexnet.weights.model import Model, layers_of
from alexnet.weights.onnx_engine import OnnxEngine

SIDE = 256  # pixels of the longer side of a thumbnail
NO_INDEX = "this server has no index of pictures; alexnet serve --index DIR gives it one"


@dataclass(frozen=True)
class Features:
    """What a layer makes of one picture; `text` the values in order, as JSON numbers with commas between them."""

    layer: str
    shape: tuple[int, ...]
    text: bytes


def features(model: Model, stored: Pixels, layer: str | None) -> Features:
    """In float32. Raises Problem 404 for a layer of which the model's file has no values."""
    try:
        (name,) = layers_of(model.variant, () if layer is None else (layer,))
        (values,) = model.features(stored, name)
    except UsageError as error:
        detail = str(error).rpartition(": ")[2] if isinstance(model.engine, OnnxEngine) else str(error)
        raise Problem(404, detail) from None
    finally:
        if isinstance(model.engine, OnnxEngine) and len(model.engine.giving) > 1:
            model.engine.giving.clear()  # each layer that is asked for keeps the weights in memory once more
    if not np.isfinite(values).all():
        raise Problem(422, f"{name} gives values that are not finite")
    return Features(name, values.shape, ",".join(map("{:.8g}".format, values.ravel().tolist())).encode())


def opened(folder: str, model: str) -> Index:
    """The index in a folder. Raises UsageError unless it was made with this very model."""
    index, path = Index.open(folder), files.locate(model)
    if sha256(path) != index.document["model"]["sha256"]:
        raise UsageError(f"{folder}: made with another model ({index.document['model']['name']}), not with {model}")
    return index


def neighbours(model: Model, index: Index | None, stored: Pixels, count: int) -> list[dict[str, Any]]:
    """Row, name, class and distance of the nearest, nearest first. Raises Problem 404 where there is no index."""
    if index is None:
        raise Problem(404, NO_INDEX)
    vector = model.features(stored, index.layer, index.document["precision"])
    distances, rows = index.search(vector, count)
    return [
        {"row": int(row), "name": _name(index.paths[row]), "label": index.labels[row], "distance": float(distance)}
        for row, distance in zip(rows[0], distances[0], strict=True)
    ]


def thumbnail(index: Index | None, row: int) -> bytes:
    """A small JPEG of a picture of the index. Raises Problem 404."""
    if index is None:
        raise Problem(404, NO_INDEX)
    if row >= len(index):
        raise Problem(404, f"the index has no row {row}; the last one is {len(index) - 1}")
    try:
        picture = index.picture(row)
    except PictureError:
        raise Problem(404, f"the picture of row {row} is not there any more") from None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    return data.getvalue()


def _name(path: str) -> str:
    """The last part of a path: where pictures lie is nobody else's concern."""
    return PurePosixPath(path.replace("\\", "/")).name
