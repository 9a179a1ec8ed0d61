"""Small networks of every kind, with weights that let every layer be heard, and what torch makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import nn

from alexnet.network import architecture as a
from alexnet.network.architecture import Input
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.weights import files, torch_engine
from alexnet.weights.files import Description

SIZES = {"yenigun-batch-norm": 195}  # the least that fits; for the other large ones 67 does
RULES = {1: ("grey", (110.0,)), 3: ("RGB", (123.0, 117.0, 104.0))}


def small(name, classes=7, channels=None):
    """The variant with short hidden vectors, and a description of it for small pictures."""
    value = variant(name, 2 if name == "yenigun-batch-norm" else classes, channels)
    hidden = [n for n, x in value.layers if isinstance(x, a.Linear)][:-1]
    layers = tuple((n, dataclasses.replace(x, units=96) if n in hidden else x) for n, x in value.layers)
    return described(dataclasses.replace(value, layers=layers), SIZES.get(name, min(value.size, 67)))


def described(value, size, **rule):
    order, mean = RULES[value.channels]
    given = Input(size=size, stored=size + 8, order=order, mean=mean, scale=(1 / 60,) * value.channels)
    classes = tuple(f"class {number}" for number in range(value.classes))
    return Description(value, classes, dataclasses.replace(given, **rule), {"data": "none"}, {"top1": 0.5})


def stirred(description, seed=0):
    """Tensors for a description: He's deviation, so that signals neither grow nor fade, and normalisations that have
    seen something."""
    generator = torch.Generator().manual_seed(seed)
    network = build(description.variant, size=description.input.size)
    for child in network.children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            child.running_mean.normal_(generator=generator)
            child.running_var.uniform_(0.5, 2, generator=generator)
            child.weight.data.uniform_(0.5, 2, generator=generator)
            child.bias.data.normal_(generator=generator)
        elif hasattr(child, "weight"):
            fan_in = child.weight.shape[-1] if child.weight.dim() == 3 else child.weight[0].numel()
            child.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if child.bias is not None:
                child.bias.data.normal_(0, 0.3, generator=generator)
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    if description.input.mean_picture:
        side = description.input.size
        tensors[files.MEAN_PICTURE] = torch.rand(side, side, 3, generator=generator) * 255
    return tensors


def by_torch(description, tensors, pictures):
    """float32 logits of the network itself."""
    return torch_engine.from_tensors(description, tensors)(np.ascontiguousarray(pictures))


def saved(path, description, tensors):
    """A model file of ours."""
    files.save(path, tensors, description)
    return path
