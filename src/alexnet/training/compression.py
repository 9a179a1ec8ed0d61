"""Pruning and weight sharing, as in Deep Compression (Han, Mao and Dally 2016): how much of which layer, and how.

Both are constraints to put back after each step: pruned weights to zero, shared ones to the mean of those that share
a value. So the step itself is the one of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    rest: float = total - FLOAT * sum(weight.numel() for weight in weights.values())

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

    weights: dict[str, nn.Parameter]
    places: dict[str, Tensor]  # int64, of what is not zero, in the order of the flattened weight
    codes: dict[str, Tensor]  # int64, of each its value
    codebooks: dict[str, Tensor] = field(default_factory=dict)  # float32, as they were put back last

    def hold(self) -> None:
        """Put the constraint back after a step: the values that were one become their mean."""
        for name, weight in self.weights.items():
            places, codes = self.places[name], self.codes[name]
            flat = weight.data.flatten()
            counts = torch.bincount(codes)
            sums = torch.zeros(len(counts), device=flat.device).index_add_(0, codes, flat[places])
            self.codebooks[name] = sums / counts.clamp_(min=1)
            flat = torch.zeros_like(flat)
            flat[places] = self.codebooks[name][codes]
            weight.data.copy_(flat.view(weight.shape))

    def coded(self) -> dict[str, Coded]:
        """The weights as they are stored."""
        return {
            name: Coded(
                tuple(weight.shape),
                self.places[name].cpu().numpy(),
                self.codes[name].cpu().numpy().astype(np.uint8),
                self.codebooks[name].cpu().numpy(),
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
    constraint = Shared(weights, places, codes)
    constraint.hold()
    return constraint


def cluster(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """k-means on a line: at most `count` centres, ascending, from evenly spaced ones (the article's best start).

    A centre that no value is nearest to goes where it helps most: it halves the group that is most spread out.
    """
    ordered = np.sort(values.astype(np.float64))
    if len(ordered) == 0:
        return np.zeros(0, np.float32)
    centres = np.linspace(ordered[0], ordered[-1], count)
    for _ in range(ROUNDS):
        moved = _moved(ordered, centres, count)
        if len(moved) == len(centres) and np.allclose(moved, centres, rtol=1e-6, atol=0):
            break
        centres = moved
    return np.unique(centres.astype(np.float32))


def _moved(ordered: NDArray[np.float64], centres: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The means of the values nearest to each centre, ascending; groups are halved until there are `count` or none is
    left that has two values."""
    edges = np.unique([0, *np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2), len(ordered)])
    sums, squares = (np.concatenate([[0.0], np.cumsum(ordered**power)]) for power in (1, 2))
    sizes, totals = np.diff(edges), np.diff(sums[edges])
    spread = np.diff(squares[edges]) - totals**2 / sizes
    spread[ordered[edges[:-1]] == ordered[edges[1:] - 1]] = 0
    wide = np.argsort(-spread)[: max(0, count - len(sizes))]
    wide = wide[spread[wide] > 0]
    halves = np.searchsorted(ordered, (totals / sizes)[wide])  # between the first and the last of a group that differs
    edges = np.unique([*edges, *halves])
    means: NDArray[np.float64] = np.diff(sums[edges]) / np.diff(edges)
    return means


def nearest(values: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each value the place of the centre that is nearest."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values).astype(np.int64)
