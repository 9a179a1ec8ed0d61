"""Pruning and weight sharing, as in Deep Compression (Han, Mao and Dally 2016): how much of which layer, and how.

Both are constraints to put back after each step: pruned weights to zero, shared ones to the mean of those that share
a value. So the step itself is the one of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.network.layers import LocalConv2d
from alexnet.weights.coded import Coded

FLOAT = 32  # bits of a weight before
KEPT = {"conv": 0.37, "first": 0.84}  # share of a convolution's weights that stay: the article's table 4
VALUES = {"conv": 256, "linear": 32}  # distinct ones, 8 and 5 bits: the same table
ROUNDS = 30  # of moving centres; they hardly move after ten

# ------------------------------------------------------------------------------------------------------------ how much


def densities(network: nn.Sequential, ratio: float) -> dict[str, float]:
    """For each weight the share of it that stays, so that the network becomes about `ratio` times smaller.

    Convolutions keep what the article's keep; all matrices keep one share, which follows from what is left of the
    bytes. Where that is nothing, convolutions are thinned out too.
    """
    weights = weights_of(network)
    total = FLOAT * sum(parameter.numel() for parameter in network.state_dict().values())
    rest = total - FLOAT * sum(weight.numel() for weight in weights.values())

    def at(share: float) -> dict[str, float]:
        return {name: _kept(network, name, number, share) for number, name in enumerate(weights)}

    def bits(share: float) -> float:
        found = at(share)
        return rest + sum(weight.numel() * _bits(found[name], weight.dim() > 2) for name, weight in weights.items())

    low, high = 1e-6, 1.0
    for _ in range(50):  # halvings: far below one weight
        middle = math.sqrt(low * high)
        low, high = (middle, high) if bits(middle) < total / ratio else (low, middle)
    return at(low)


def _kept(network: nn.Sequential, name: str, number: int, share: float) -> float:
    if network.get_parameter(name).dim() == 2:
        return share
    return min(KEPT["first" if number == 0 else "conv"], 10 * share)


def _bits(kept: float, convolution: bool) -> float:
    """Bits a weight takes, zeros included: the entropy of where the others are, and of which of the values they have
    (of normally distributed ones, nearly a bit less than of evenly distributed ones)."""
    if kept >= 1:
        return math.log2(VALUES["conv" if convolution else "linear"])
    places = -kept * math.log2(kept) - (1 - kept) * math.log2(1 - kept)
    code = math.log2(VALUES["conv" if convolution else "linear"]) - 0.75
    return float(max(places, kept) + kept * code)


def weights_of(network: nn.Sequential) -> dict[str, nn.Parameter]:
    """What is compressed, by name: the weights of convolutions and fully connected layers; biases and normalisations
    are few."""
    kinds = (nn.Conv2d, nn.Linear, LocalConv2d)
    found = ((name, child.weight) for name, child in network.named_children() if isinstance(child, kinds))
    return {f"{name}.weight": weight for name, weight in found if isinstance(weight, nn.Parameter)}


# --------------------------------------------------------------------------------------------------------- constraints


@dataclass
class Pruned:
    """Weights that stay zero."""

    gone: dict[nn.Parameter, Tensor]  # bool, of the weight's shape

    def hold(self) -> None:
        """Put the constraint back after a step."""
        for weight, gone in self.gone.items():
            weight.data.masked_fill_(gone, 0.0)


@dataclass
class Shared:
    """Weights that are zero or one of a few values."""

    places: dict[str, Tensor]  # int64, of what is not zero, in the order of the flattened weight
    codes: dict[str, Tensor]  # int64, of each its value
    weights: dict[str, nn.Parameter]

    def codebook(self, name: str) -> Tensor:
        """The mean of the weights that share each value, float32."""
        codes, weight = self.codes[name], self.weights[name].data.flatten()
        count = int(codes.max()) + 1 if len(codes) else 0
        sums = torch.zeros(count, device=weight.device).index_add_(0, codes, weight[self.places[name]])
        return sums / torch.bincount(codes, minlength=count).clamp_(min=1)

    def hold(self) -> None:
        """Put the constraint back after a step."""
        for name, weight in self.weights.items():
            flat = torch.zeros_like(weight.data, memory_format=torch.contiguous_format).flatten()
            flat[self.places[name]] = self.codebook(name)[self.codes[name]]
            weight.data.copy_(flat.view(weight.shape))

    def coded(self) -> dict[str, Coded]:
        """The weights as they are stored."""
        return {
            name: Coded(
                tuple(weight.shape),
                self.places[name].cpu().numpy(),
                self.codes[name].cpu().numpy().astype(np.uint8),
                self.codebook(name).cpu().numpy(),
            )
            for name, weight in self.weights.items()
        }


def pruned(network: nn.Sequential, kept: Mapping[str, float]) -> Pruned:
    """The network without its smallest weights; of each weight the share `kept` stays, at least one value."""
    gone = {}
    for name, weight in weights_of(network).items():
        size = weight.data.abs()
        count = min(size.numel() - 1, size.numel() - round(kept[name] * size.numel()))
        most = size.flatten().kthvalue(count).values if count > 0 else torch.tensor(-1.0)
        gone[weight] = size <= most
    constraint = Pruned(gone)
    constraint.hold()
    return constraint


def shared(network: nn.Sequential) -> Shared:
    """The network with each of its weights moved to the nearest of a few values, chosen for each layer."""
    weights = weights_of(network)
    places, codes = {}, {}
    for name, weight in weights.items():
        flat = weight.data.flatten()
        places[name] = flat.nonzero()[:, 0]
        values = flat[places[name]].cpu().numpy()
        centres = cluster(values, VALUES["linear" if weight.dim() == 2 else "conv"])
        codes[name] = torch.from_numpy(nearest(values, centres)).to(flat.device)
    constraint = Shared(places, codes, weights)
    constraint.hold()
    return constraint


def cluster(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """k-means on a line: at most `count` centres, ascending, from evenly spaced ones (the article's best start)."""
    ordered = np.sort(values.astype(np.float64))
    if len(ordered) == 0:
        return np.zeros(0, np.float32)
    sums = np.concatenate([[0.0], ordered.cumsum()])
    centres = np.linspace(ordered[0], ordered[-1], count)
    for _ in range(ROUNDS):
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(ordered)]])
        filled = ends > starts
        means = (sums[ends] - sums[starts])[filled] / (ends - starts)[filled]
        if len(means) == len(centres) and np.allclose(means, centres, rtol=1e-6, atol=0):
            break
        centres = means
    return centres.astype(np.float32)


def nearest(values: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each value the place of the centre that is nearest."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values).astype(np.int64)
