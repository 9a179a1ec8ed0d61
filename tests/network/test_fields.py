"""Receptive fields: against published ones, and against what really reaches a cell."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.network import architecture as a
from alexnet.network.architecture import Variant
from alexnet.network.fields import fields
from alexnet.network.model import build
from alexnet.network.variants import variant

# Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill 2019: AlexNet, 195 and 32.
PUBLISHED = {
    "conv1": (11, 4),
    "pool1": (19, 8),
    "conv2": (51, 8),
    "pool2": (67, 16),
    "conv5": (163, 16),
    "pool5": (195, 32),
}

ODD = Variant(
    "odd",
    "",
    "",
    (
        ("conv1", a.Conv(3, 4, stride=3, padding=1, ceil=True)),
        ("norm1", a.ResponseNorm(3, over="space")),
        ("relu1", a.ReLU()),
        ("pool1", a.AveragePool(3, 2, ceil=True)),
        ("local", a.Local(2, 2, padding=1)),
        ("pool2", a.AdaptivePool(2)),
        ("fc", a.Linear(2)),
    ),
    classes=2,
    size=31,
)


@pytest.mark.parametrize("layer", PUBLISHED)
def test_fields_of_the_paper_s_network_are_the_published_ones(layer: str) -> None:
    field = fields(variant("krizhevsky-2012"))[layer]
    cell = int(abs(field.middles - 227 / 2).argmin())  # in the middle, where nothing is cut off
    assert (field.ends[cell] - field.starts[cell], field.step) == PUBLISHED[layer]


def everything_passes(network: nn.Sequential) -> nn.Sequential:
    """The same windows, through which everything passes: weights of one, means in place of maxima, no non-linearity."""
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in network.named_children():
        match child:
            case nn.MaxPool2d():
                children[name] = nn.AvgPool2d(child.kernel_size, child.stride, ceil_mode=child.ceil_mode)
            case nn.ReLU() | nn.Tanh() | nn.Sigmoid():
                children[name] = nn.Identity()
            case _:
                for parameter in child.parameters():
                    nn.init.ones_(parameter)
                children[name] = child
    return nn.Sequential(children).double().eval()


@pytest.mark.parametrize(
    "value",
    [variant("krizhevsky-2012", 2), variant("source-145", 2), variant("lenet-5", 2), variant("cifar-13pct", 2), ODD],
    ids=lambda value: value.name,
)
def test_a_cell_is_reached_from_its_field_and_nowhere_else(value: Variant) -> None:
    size = min(value.size, 79)
    network, known = everything_passes(build(value, size=size)), fields(value, size)
    x = torch.ones(1, value.channels, size, size, dtype=torch.float64, requires_grad=True)
    out = x
    for name, child in network.named_children():
        out = child(out)
        if name not in known:
            continue
        starts, ends = known[name].starts, known[name].ends
        for cell in {0, 1 % len(starts), len(starts) // 2, len(starts) - 1}:
            (gradient,) = torch.autograd.grad(out[0, :, cell, cell].sum(), x, retain_graph=True)
            rows = np.flatnonzero(gradient.abs().sum((0, 1, 3)).numpy())
            assert (rows[0], rows[-1] + 1) == (starts[cell], ends[cell]), (name, cell)


def test_bins_of_unequal_length_are_torch_s() -> None:
    layers = (("conv", a.Conv(2, 1)), ("pool", a.AdaptivePool(3)), ("fc", a.Linear(2)))
    field = fields(Variant("bins", "", "", layers, classes=2, size=10))["pool"]
    assert field.starts.tolist() == [0, 3, 6] and field.ends.tolist() == [4, 7, 10]
    np.testing.assert_allclose(field.middles, [10 / 6, 30 / 6, 50 / 6])


@pytest.mark.parametrize("name", ["krizhevsky-2012", "lenet-5", "torchvision"])
def test_what_is_spread_peaks_at_the_middle_of_its_cell(name: str) -> None:
    value = variant(name, 2)
    for field in fields(value).values():
        spread = field.spread(value.size)
        inside = (field.middles >= 0) & (field.middles < value.size)
        assert (spread >= 0).all() and (spread <= 1).all()
        peaks = spread[:, inside].argmax(axis=0)
        assert (abs(peaks + 0.5 - field.middles[inside]) <= 0.5).all()
        between = (np.arange(value.size) + 0.5 >= field.middles[0]) & (np.arange(value.size) + 0.5 <= field.middles[-1])
        np.testing.assert_allclose(spread[between].sum(axis=1), 1)
