"""A network divided over ranks: one rank's part of it, and the way of weights there and back.

What a model file and a checkpoint hold is always the whole network under the names of its layers, so that nothing in
them tells how it was trained.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from alexnet.network.architecture import Linear
from alexnet.network.division import Division, Part
from alexnet.network.model import module
from alexnet.training.crossing import Crossing, OwnDropout, Wire


def divide(network: nn.Sequential, division: Division, wire: Wire) -> nn.Sequential:
    """This rank's part of a network: the same layers under the same names, and the crossings between them.

    Takes and returns what `division.sliced` says: logits of this rank's pictures, or of all of them on every rank. On
    the device of the network, which stays as it is. Dropout draws for the whole network: seed every rank alike.
    """
    children: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.device("meta"):
        for part in division.parts:
            name = part.row.name
            if isinstance(part.row.layer, Linear) and len(part.row.input) == 3:
                children["flatten"] = nn.Flatten()
            if part.before:
                children[f"to_{name}"] = Crossing(name, part.before, wire)
            children[name] = _module(part, wire)
    if division.after:
        children["to_scores"] = Crossing("scores", division.after, wire)
    mine = nn.Sequential(children)
    mine.load_state_dict(own(network.state_dict(), division.split, wire), assign=True)
    for name, parameter in network.named_parameters():
        mine.get_parameter(name).requires_grad_(parameter.requires_grad)
    return mine


def _module(part: Part, wire: Wire) -> nn.Module:
    made = module(part.row)
    if isinstance(made, nn.Dropout) and (part.features or part.pictures):
        return OwnDropout(made, 1 if part.features else 0, wire)
    return made


def own(tensors: Mapping[str, Tensor], split: Iterable[str], wire: Wire) -> dict[str, Tensor]:
    """This rank's share of tensors that are named after layers, `conv1.weight/momentum_buffer` too; copies."""
    return {
        name: (tensor.chunk(wire.ranks)[wire.rank] if _is_split(name, tensor, split) else tensor).clone()
        for name, tensor in tensors.items()
    }


def whole(tensors: Mapping[str, Tensor], split: Iterable[str], wire: Wire) -> dict[str, Tensor]:
    """The inverse of `own`, on every rank, which must all call it."""
    return {
        name: wire.gather(tensor.detach(), "saving").flatten(0, 1) if _is_split(name, tensor, split) else tensor
        for name, tensor in tensors.items()
    }


def _is_split(name: str, tensor: Tensor, split: Iterable[str]) -> bool:
    return name.split(".")[0] in split and tensor.dim() > 0  # counts of steps and batches are every rank's own


def sum_gradients(network: nn.Sequential, division: Division, wire: Wire) -> None:
    """Add up the gradients of the layers that every rank has whole, where each has pictures of its own."""
    if not division.sliced:
        return
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and name.split(".")[0] not in division.split:
            wire.sum(parameter.grad, "gradients")
