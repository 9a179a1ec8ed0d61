"""Small networks whose every layer is heard, as loaded models, for what looks into them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from alexnet.network import architecture as a
from alexnet.network.architecture import Input, Variant
from alexnet.network.model import build
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


def tensors(description: Description, seed: int = 0) -> dict[str, torch.Tensor]:
    """He's deviation, so that signals neither grow nor fade, and normalisations that have seen something."""
    generator = torch.Generator().manual_seed(seed)
    network = build(description.variant, size=description.input.size)
    for child in network.children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            child.running_mean.normal_(generator=generator)
            child.running_var.uniform_(0.5, 2, generator=generator)
            child.weight.data.uniform_(0.5, 2, generator=generator)
            child.bias.data.normal_(generator=generator)
        elif hasattr(child, "weight"):
            child.weight.data.normal_(0, (2 / child.weight[0].numel()) ** 0.5, generator=generator)
            if child.bias is not None:
                child.bias.data.normal_(0, 0.3, generator=generator)
    return {name: tensor.detach() for name, tensor in network.state_dict().items()}


def model(name: str | Variant, classes: int = 7, **rule: object) -> Model:
    """A model in memory, in float32."""
    description = described(name, classes, **rule)
    return Model(torch_engine.from_tensors(description, tensors(description)), description)


def saved(path: Path, name: str | Variant, classes: int = 7) -> Path:
    """A model file."""
    description = described(name, classes)
    files.save(path, tensors(description), description)
    return path


def pictures(model: Model, count: int, seed: int = 1) -> np.ndarray:
    """Soft blobs of colour, uint8 [count, size, size, 3]."""
    rng = np.random.default_rng(seed)
    size = model.input.size
    coarse = rng.uniform(0, 255, (count, 8, 8, 3))
    grown = coarse.repeat(-(-size // 8), 1).repeat(-(-size // 8), 2)[:, :size, :size]
    return (grown + rng.normal(0, 10, grown.shape)).clip(0, 255).astype(np.uint8)
