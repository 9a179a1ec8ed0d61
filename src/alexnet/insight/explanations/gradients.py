"""Walks through the plain network of a loaded model: what comes out of a layer, and what the answer owes to it.

The module is one flat sequence, so its two parts before and behind a layer are slices of it, and the gradient is taken
from the tensor between them: no hooks, and nothing kept for the layers before. Pictures go through in batches: of the
paper's network a batch takes about 10 MB a picture, whatever the number of pictures.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.network.layers import ZeroLogit
from alexnet.pictures.decode import Pixels
from alexnet.weights.torch_engine import TorchEngine

BATCH = 16  # pictures

Floats = NDArray[np.float32]
Targets = NDArray[np.int64]
Weigh = Callable[[Tensor], Tensor]
"""The gradient over a layer's maps, [B, channels, height, width] → weights that fit them."""


def outputs(engine: TorchEngine, pictures: Pixels, layer: str) -> Iterator[Floats]:
    """What comes out of a layer, batch by batch: float32 [B, channels, height, width] or [B, units]."""
    before, _ = _parts(engine.plain, layer)
    for batch, _ in _batches(pictures, np.zeros(len(pictures), np.int64)):
        with torch.no_grad():
            yield before(engine.pixels(_tensor(engine, batch))).contiguous().cpu().numpy()


def grad_cam(engine: TorchEngine, pictures: Pixels, layer: str, targets: Targets, weigh: Weigh) -> Iterator[Floats]:
    """Batch by batch float32 [B, height, width], on the layer's own grid: the sum of its maps, weighted by what `weigh`
    makes of the target's gradient over them, negative values set to 0."""
    before, behind = _parts(engine.plain, layer)
    for batch, own in _batches(pictures, targets):
        with torch.no_grad():
            maps = before(engine.pixels(_tensor(engine, batch)))
        weights = weigh(_gradient(maps, behind, own))
        yield (weights * maps).sum(1).relu_().cpu().numpy()


def mean(gradient: Tensor) -> Tensor:
    """One weight for each map, its mean gradient: Grad-CAM (Selvaraju and others 2017, equations 1 and 2)."""
    return gradient.mean((2, 3), keepdim=True)


def local(gradient: Tensor) -> Tensor:
    """A weight for each value, its own gradient where that is positive: LayerCAM (Jiang and others 2021)."""
    return gradient.relu()


def picture_gradients(engine: TorchEngine, network: nn.Sequential, pictures: Floats, targets: Targets) -> Floats:
    """float32 [N, size, size, 3], RGB: how much the target's score grows with each value of a picture, of 0..255.

    `network` is the engine's plain one, or `guided` of it; `pictures` need not be whole numbers.
    """
    found = [
        _gradient(_tensor(engine, batch), nn.Sequential(engine.pixels, *network), own)
        for batch, own in _batches(pictures, targets)
    ]
    return torch.cat(found).cpu().numpy() if found else np.zeros(pictures.shape, np.float32)


class GuidedReLU(nn.Module):
    """A ReLU that hands only positive gradients on (Springenberg and others 2015)."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Guided.apply(x)  # type: ignore[no-untyped-call]
        return result


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        passed: Tensor = gradients[0].clamp(min=0) * (x > 0)
        return passed


def guided(network: nn.Sequential) -> nn.Sequential:
    """The same network, with other gradients: those of `GuidedReLU`."""
    children = (
        (name, GuidedReLU() if isinstance(child, nn.ReLU) else child) for name, child in network.named_children()
    )
    return nn.Sequential(OrderedDict(children))


def _parts(network: nn.Sequential, layer: str) -> tuple[nn.Sequential, nn.Sequential]:
    """The network up to a layer, that included, and the rest."""
    named = list(network.named_children())
    place = [name for name, _ in named].index(layer) + 1
    return nn.Sequential(OrderedDict(named[:place])), nn.Sequential(OrderedDict(named[place:]))


def _gradient(x: Tensor, network: nn.Sequential, targets: Targets) -> Tensor:
    """Of the targets' scores with respect to `x`, the network's input. A score is a logit; where one output tells two
    classes apart, and the first one's logit is always 0, it is the difference of the two."""
    x = x.detach().requires_grad_()
    logits = network(x)
    if len(network) and isinstance(network[-1], ZeroLogit):
        logits = logits - logits.flip(1)
    index = torch.from_numpy(targets).to(logits.device)
    (gradient,) = torch.autograd.grad(logits.gather(1, index[:, None]).sum(), x)
    return gradient


def _batches(pictures: NDArray[Any], targets: Targets) -> Iterator[tuple[NDArray[Any], Targets]]:
    for start in range(0, len(pictures), BATCH):
        yield pictures[start : start + BATCH], targets[start : start + BATCH]


def _tensor(engine: TorchEngine, pictures: NDArray[Any]) -> Tensor:
    device = next(engine.plain.parameters()).device
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
