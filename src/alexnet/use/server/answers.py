"""What a model process computes from pictures as they were sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import FormatError, PictureError
from alexnet.evaluation.evaluate import view_probabilities
from alexnet.insight.features.neighbours import Index
from alexnet.network.summary import summary
from alexnet.pictures import decode
from alexnet.pictures.decode import Pixels
from alexnet.use.server import alike, explaining
from alexnet.use.server.problems import Problem, document
from alexnet.weights.model import Model, answer

Answer = dict[str, Any]


def opened(model: Model, data: bytes, limits: decode.Limits) -> Pixels | Answer:
    """uint8 [stored, stored, 3], by the model's input rule; or why not, as a problem."""
    rule = model.input
    try:
        picture = decode.decode(data, limits, decode.least(rule.stored, rule.decode))
        return decode.fit(picture, rule.stored, rule.resize)
    except PictureError as error:
        return document(415 if isinstance(error, FormatError) else 422, str(error))


def predictions(model: Model, pictures: Sequence[Pixels | Answer], asks: Sequence[dict[str, Any]]) -> list[Answer]:
    """Label, probability and the most probable classes of each picture, or why it was refused; `asks` has the `top`
    and `views` of each."""
    found: list[Answer] = [picture if isinstance(picture, dict) else {} for picture in pictures]
    good = {place: picture for place, picture in enumerate(pictures) if not isinstance(picture, dict)}
    for views in {ask["views"] for ask in asks}:
        some = {place: picture for place, picture in good.items() if asks[place]["views"] == views}
        rows = view_probabilities(model, np.stack(list(some.values())), views) if some else ()
        for place, row in zip(some, rows, strict=True):
            found[place] = answer(row, model.classes, asks[place]["top"])
    return found


def slow(
    model: Model, index: Index | None, data: bytes, ask: dict[str, Any], limits: decode.Limits
) -> tuple[Answer, bytes]:
    """One piece of slow work: a document and what was drawn or written, or a problem."""
    try:
        match ask["work"]:
            case "kernels":
                return {}, explaining.first_kernels(model)
            case "thumbnail":
                return {}, alike.thumbnail(index, ask["row"])
        picture = opened(model, data, limits)
        if isinstance(picture, dict):
            return picture, b""
        match ask["work"]:
            case "explain":
                return {}, explaining.explanation(model, picture, ask)
            case "features":
                found = alike.features(model, picture, ask["layer"])
                return {"layer": found.layer, "shape": found.shape}, found.text
            case _:
                return {"neighbours": alike.neighbours(model, index, picture, ask["count"])}, b""
    except Problem as problem:
        return document(problem.status, problem.detail), b""


def about(model: Model, name: str) -> dict[str, Any]:
    """What a model says about itself, as JSON values."""
    table = summary(model.variant, model.input.size)
    rule = model.input
    return {
        "name": Path(name).name,
        "variant": model.variant.name,
        "title": model.variant.title,
        "parameters": table["parameters"],
        "classes": list(model.classes),
        "input": {key: getattr(rule, key) for key in ("size", "stored", "resize", "order", "decode")},
        "scores": model.scores,
        "trained_on": model.description.trained.get("data"),
        "layers": list(_layers(table["layers"])),
        "methods": explaining.methods(model),
    }


def _layers(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {key: row[key] for key in ("name", "type", "output")}
