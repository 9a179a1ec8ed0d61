"""Small networks whose every layer is heard, as loaded models, for what looks into them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from networks import stirred

from alexnet.network import architecture as a
from alexnet.network.architecture import Input, Variant
from alexnet.network.variants import variant
from alexnet.weights import files, torch_engine
from alexnet.weights.files import Description
from alexnet.weights.model import Model

SIZES = {"yenigun-batch-norm": 195, "lenet-5": 32}  # the least that fits; for the other large ones 67 does


def described(name: str | Variant, classes: int = 7, **rule: object) -> Description:
    """A variant with short hidden vectors, for small pictures."""
    value = variant(name, classes) if isinstance(name, str) else name
    hidden = [n for n, x in value.layers if isinstance(x, a.Linear)][:-1]
    layers = tuple((n, dataclasses.replace(x, units=48) if n in hidden else x) for n, x in value.layers)
    size = SIZES.get(value.name, min(value.size, 67))
    order, mean = ("grey", (110.0,)) if value.channels == 1 else ("RGB", (123.0, 117.0, 104.0))
    given = Input(size=size, stored=size + 8, order=order, mean=mean, scale=(1 / 60,) * value.channels)
    names = tuple(f"class {number}" for number in range(value.classes))
    return Description(dataclasses.replace(value, layers=layers), names, dataclasses.replace(given, **rule))


def model(name: str | Variant, classes: int = 7, **rule: object) -> Model:
    """A model in memory, in float32."""
    description = described(name, classes, **rule)
    return Model(torch_engine.from_tensors(description, stirred(description)), description)


def saved(path: Path, name: str | Variant, classes: int = 7) -> Path:
    """A model file."""
    description = described(name, classes)
    files.save(path, stirred(description), description)
    return path


def pictures(model: Model, count: int, seed: int = 1) -> np.ndarray:
    """Soft blobs of colour, uint8 [count, size, size, 3]."""
    rng = np.random.default_rng(seed)
    size = model.input.size
    coarse = rng.uniform(0, 255, (count, 8, 8, 3))
    grown = coarse.repeat(-(-size // 8), 1).repeat(-(-size // 8), 2)[:, :size, :size]
    return (grown + rng.normal(0, 10, grown.shape)).clip(0, 255).astype(np.uint8)
