"""Initial weights: normal ones of a deviation, or by a rule that has a name."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from alexnet.network import architecture as a
from alexnet.network import layers


def initialise(child: nn.Conv2d | nn.Linear | layers.LocalConv2d, layer: a.Layer, generator: torch.Generator) -> None:
    """Draw weights from N(0, std²), or by the rule that `layer.std` names, and set the biases."""
    assert isinstance(layer, a.Weighted)
    weight, bias = child.weight.data, child.bias
    fan_in = weight[0].numel()
    if layer.std == "torch":
        bound = 1 / math.sqrt(fan_in)  # what kaiming_uniform_(a=√5), torch's default, comes to
        weight.uniform_(-bound, bound, generator=generator)
        if bias is not None:
            bias.data.uniform_(-bound, bound, generator=generator)
        return
    std = deviation(layer.std, weight)
    if layer.std == "gabor":
        weight.copy_(gabor(weight.shape, std * math.sqrt(fan_in), generator))
    elif layer.std == "glorot-uniform":
        weight.uniform_(-math.sqrt(3) * std, math.sqrt(3) * std, generator=generator)
    else:
        weight.normal_(0.0, std, generator=generator)
    if bias is not None and layer.bias is not None:
        bias.data.fill_(layer.bias)


def deviation(std: a.Initial, weight: Tensor) -> float:
    """The standard deviation that a rule gives for this weight: He 2/in, Glorot 2/(in+out), LeCun 1/in; gabor as He."""
    if isinstance(std, float | int):
        return float(std)
    fan_in, fan_out = weight[0].numel(), weight.shape[0] * math.prod(weight.shape[2:])
    glorot = 2 / (fan_in + fan_out)
    he = 2 / fan_in
    variance = {"he": he, "gabor": he, "glorot": glorot, "glorot-uniform": glorot, "lecun": 1 / fan_in}[std]
    return math.sqrt(variance)


def gabor(shape: torch.Size, length: float, generator: torch.Generator) -> Tensor:
    """Kernels [maps, channels, side, side] as those that a first layer learns (the paper's figure 3), each of `length`:
    waves under a bell, of random direction, wavelength, phase and width.

    The first half of the maps sees brightness alone, all channels alike and without a mean, as the paper's first column
    came to do; the others have a random colour each, and one in two of those is the bell without a wave.
    """
    maps, channels, side, _ = shape
    scale = side / 11  # of the paper's kernels
    along = torch.arange(side) - (side - 1) / 2
    y, x = along[:, None], along
    chance = torch.rand(5, maps, 1, 1, generator=generator)
    colours = torch.randn(maps, channels, 1, 1, generator=generator)
    grey = torch.arange(maps).view(-1, 1, 1) < maps // 2
    wavelength = 3 * max(1.0, 5 * scale) ** chance[1]  # three pixels to one and a third sides
    angle, phase, width = math.pi * chance[0], 2 * math.pi * chance[3], scale * (1.8 + 1.6 * chance[2])
    across, away = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    blob = ~grey & (chance[4] < 0.5)
    bell = torch.exp(-(across.square() + torch.where(blob, 1.0, 0.5) * away.square()) / (2 * width.square()))
    kernels = torch.where(blob, bell, bell * torch.cos(2 * math.pi * across / wavelength + phase))
    kernels = torch.where(grey, kernels - kernels.mean((1, 2), keepdim=True), kernels)[:, None]
    kernels = torch.where(grey[:, None], 1.0, colours) * kernels
    kernels *= length / kernels.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return kernels
