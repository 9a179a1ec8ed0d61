"""A variant as a JSON document, as runs and model files hold it, and back: a document may come from anyone."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

from alexnet.network import architecture as a
from alexnet.network.architecture import Layer, Variant, scores

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        *(a.Conv, a.Local, a.Linear),
        *(a.ReLU, a.Tanh, a.Sigmoid),
        *(a.MaxPool, a.AveragePool, a.AdaptivePool),
        *(a.ResponseNorm, a.BatchNorm, a.Dropout, a.ZeroLogit),
    )
}


def to_json(variant: Variant) -> dict[str, Any]:
    """The variant as plain JSON values; `from_json` is its inverse."""
    fields = {f.name: getattr(variant, f.name) for f in dataclasses.fields(variant)}
    fields["layers"] = [{"name": n, "type": type(x).__name__, **dataclasses.asdict(x)} for n, x in variant.layers]
    return fields


def from_json(document: dict[str, Any]) -> Variant:
    """A variant from what `to_json` made. Raises ValueError, KeyError or TypeError when the document is not one."""
    layers = []
    for entry in document["layers"]:
        values = dict(entry)
        name, kind = values.pop("name"), LAYERS[values.pop("type")]
        layers.append((name, kind(**checked(kind, values))))
    names = [name for name, _ in layers]
    named = all(isinstance(name, str) and name and not {*"./"} & {*name} for name in names)
    if not named or len(set(names)) < len(names):
        raise ValueError(f"layer names must be different texts without dots and slashes: {names}")
    rest = {key: value for key, value in document.items() if key != "layers"}
    variant = Variant(layers=tuple(layers), **checked(Variant, rest))
    if scores(variant) != variant.classes:
        raise ValueError(f"its layers give {scores(variant)} scores for {variant.classes} classes")
    return variant


def checked(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values, if each is of its field's type and range: a file may come from anyone. Raises ValueError."""
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        if name in hints and not _allowed(name, hints[name], value):
            raise ValueError(f"{kind.__name__}.{name} cannot be {value!r}")
    return values


def _allowed(name: str, hint: Any, value: Any) -> bool:
    if hint is bool or hint is str:
        return type(value) is hint
    if hint is int:
        return type(value) is int and (0 if name == "padding" else 1) <= value <= 2**20
    options = typing.get_args(hint)
    if value is None:
        return type(None) in options
    if isinstance(value, str):
        return value in options or any(value in typing.get_args(option) for option in options)
    number = (hint is float or float in options) and type(value) in (int, float) and math.isfinite(value)
    return number and (value >= 0 or name == "bias") and (value < 1 or name != "p")
