"""From the list of layers to a torch module."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn

from alexnet.errors import UsageError
from alexnet.network import architecture as a
from alexnet.network import layers
from alexnet.network.initial import initialise
from alexnet.network.variants import variant as named_variant


def module(row: a.Row) -> nn.Module:
    """The torch module of one layer at its place in the network."""
    layer, channels = row.layer, row.input[0]
    match layer:
        case a.Conv(kernel=kernel, stride=stride, padding=padding):
            kind = layers.CeilConv2d if layer.ceil else layers.FirstConv2d if channels == 3 else nn.Conv2d
            bias, groups = layer.bias is not None, layer.groups
            return kind(channels, layer.channels, kernel, stride, padding, groups=groups, bias=bias)
        case a.Local(kernel=kernel, stride=stride, padding=padding):
            return layers.LocalConv2d(row.input, row.output, kernel, stride, padding)
        case a.Linear(units=units, bias=bias):
            return layers.Linear(math.prod(row.input), units, bias=bias is not None)
        case a.ReLU():
            return nn.ReLU()
        case a.Tanh():
            return nn.Tanh()
        case a.Sigmoid():
            return nn.Sigmoid()
        case a.AveragePool(kernel=kernel, stride=stride, ceil=ceil):
            return nn.AvgPool2d(kernel, stride, ceil_mode=ceil)
        case a.MaxPool(kernel=kernel, stride=stride, ceil=ceil):
            return nn.MaxPool2d(kernel, stride, ceil_mode=ceil)
        case a.AdaptivePool(size=size):
            return nn.AdaptiveAvgPool2d(size)
        case a.ResponseNorm(size=size, alpha=alpha, beta=beta, k=k, columns=columns, over=over):
            return layers.ResponseNorm(size, alpha, beta, k, columns, over)
        case a.BatchNorm(eps=eps, momentum=momentum):
            norm = nn.BatchNorm2d if len(row.input) == 3 else nn.BatchNorm1d
            return norm(channels, eps=eps, momentum=momentum)
        case a.Dropout(p=p, inverted=inverted):
            return nn.Dropout(p) if inverted else layers.MaskDropout(p)
        case a.ZeroLogit():
            return layers.ZeroLogit()
    raise TypeError(f"no module for {type(layer).__name__}")


def skeleton(variant: a.Variant, size: int | None = None) -> nn.Sequential:
    """The network without memory for its weights (on torch's meta device), to be given a `state_dict`.

    One flat `nn.Sequential` with the variant's layer names; takes float [N, channels, size, size], returns float
    [N, classes]. Where maps become a vector a layer `flatten` stands.
    """
    children: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.device("meta"):
        for row in a.walk(variant, size):
            if isinstance(row.layer, a.Linear) and len(row.input) == 3:
                children["flatten"] = nn.Flatten()
            if hasattr(nn.Sequential, row.name):
                raise UsageError(f"{variant.name}: no layer can be called {row.name!r}: torch has that name for itself")
            children[row.name] = module(row)
    return nn.Sequential(children)


def build(
    variant: a.Variant | str,
    classes: int | None = None,
    channels: int | None = None,
    size: int | None = None,
    seed: int = 0,
) -> nn.Sequential:
    """The network with initial weights drawn as the variant says, from `seed`; float32, channels-last, on the CPU.

    `variant` is a value or a name; `classes` and `channels` change a named one. Takes float [N, channels, size, size]
    (see `layers.Pixels` for what the values mean) and returns logits [N, classes]. Raises UsageError.
    """
    if isinstance(variant, str):
        variant = named_variant(variant, classes, channels)
    network = skeleton(variant, size).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    values = dict(variant.layers)
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d | nn.Linear | layers.LocalConv2d):
            initialise(child, values[name], generator)
        elif isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            child.reset_parameters()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
