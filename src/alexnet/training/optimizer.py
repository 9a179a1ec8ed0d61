"""How weights move: parameter groups, the rate as a pure function of step and history, and the paper's momentum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from alexnet.network.inference import has_bfloat16
from alexnet.network.layers import LocalConv2d
from alexnet.training.recipe import Recipe

History = Sequence[Mapping[str, Any]]

BUFFERS = {"sgd": 1, "adam": 2, "adamw": 2, "lars": 1, "muon": 2}
"""Tensors that an update rule keeps beside each weight, at most."""


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's update rule over the network's parameters that learn, in groups of equal rates and decay."""
    groups: dict[tuple[int, float, tuple[float, ...]], list[nn.Parameter]] = {}
    above = layers_above(network)
    convolutions = {f"{n}.weight": x for n, x in network.named_children() if isinstance(x, nn.Conv2d)}
    columns = max((layer.groups for layer in convolutions.values()), default=1)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parts = 0 if name not in convolutions else 1 if len(parameter) % columns else columns
            alike = parts, *factors(name, recipe, above.get(name.split(".")[0], 0))
            groups.setdefault(alike, []).append(parameter)
    described = [
        {"params": parameters, "rates": rates, "weight_decay": recipe.weight_decay * decay, "columns": parts}
        for (parts, decay, rates), parameters in groups.items()
    ]
    if recipe.update == "sgd":
        return torch.optim.SGD(described, lr=recipe.learning_rate, momentum=recipe.momentum, fused=True)
    if recipe.update == "lars":
        return Lars(described, recipe.learning_rate, recipe.momentum, recipe.trust)
    rules: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "muon": Muon}
    rule = rules[recipe.update]
    return rule(described, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), eps=recipe.eps, fused=True)


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rates: v ← m·v + ε·λ·(g + β·w); w ← w − v, with λ = trust · ‖w‖ / (‖g‖ + β·‖w‖) for each
    tensor of weights (You, Gitman and Ginsburg, arXiv 1708.03888, algorithm 1).

    Vectors, the biases and normalisations, begin as zeros or ones, whose length says nothing of them: λ = trust there,
    as if they were as long as their gradients. As of the fused optimizers, nothing moves where `found_inf` is not 0.
    """

    found_inf: torch.Tensor | None = None

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float, trust: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "trust": trust})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and group["lr"] > 0:  # a rate of 0 freezes
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state, decay = self.state[parameter], group["weight_decay"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        velocity = state["momentum_buffer"]
        share = torch.ones((), dtype=parameter.dtype, device=parameter.device)
        if parameter.dim() > 1:
            length = parameter.norm()
            share = length / (gradient.norm() + decay * length).clamp_min(torch.finfo(parameter.dtype).tiny)
        moved = gradient.add(parameter, alpha=decay).mul_(share * (group["lr"] * group["trust"]))
        moved.add_(velocity, alpha=group["momentum"])
        if self.found_inf is not None:
            bad = self.found_inf > 0
            velocity.copy_(torch.where(bad, velocity, moved))
            parameter.sub_(moved.masked_fill_(bad, 0.0))
            return
        velocity.copy_(moved)
        parameter.sub_(moved)


class Muon(torch.optim.AdamW):
    """Orthogonalised momentum for the kernels of convolutions, AdamW for all else (Jordan et al. 2024,
    kellerjordan.github.io/posts/muon).

    A kernel's momentum, seen as a matrix [maps, what a map reads] for each column of the network, which may lie on
    devices of their own, is replaced by the nearest matrix whose rows are orthogonal, and scaled so that its values
    are as large as Adam's steps are: 0.2 in the root of their mean square (Liu et al., arXiv 2502.16982, section 2.2).
    Matrices of fully connected layers are too large for it on a processor. As of the fused optimizers, nothing moves
    where `found_inf` is not 0.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for kernel in group["params"] if group["columns"] else ():
                if kernel.grad is not None and group["lr"] > 0:  # a rate of 0 freezes
                    self._move(kernel, kernel.grad, group)
                kernel.grad = None  # so that AdamW passes it over
        super().step()

    def _move(self, kernel: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[kernel], group["betas"][0]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(kernel)
        velocity = state["momentum_buffer"].lerp(gradient, 1 - momentum)
        ahead = gradient.lerp(velocity, momentum)  # Nesterov's
        moved = orthogonal(ahead.unflatten(0, (group["columns"], -1)).flatten(2)).view_as(ahead)
        moved.mul_(0.2 * math.sqrt(max(kernel.shape[0] // group["columns"], kernel[0].numel())))
        moved.add_(kernel, alpha=group["weight_decay"]).mul_(-group["lr"])
        found_inf = getattr(self, "found_inf", None)
        if found_inf is not None:
            bad = found_inf > 0
            velocity = torch.where(bad, state["momentum_buffer"], velocity)
            moved.masked_fill_(bad, 0.0)
        state["momentum_buffer"].copy_(velocity)
        kernel.add_(moved)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """float [N, rows, columns] → about the nearest with orthogonal rows of length 1 (columns, where rows are more), by
    five steps of the iteration of Newton and Schulz with Jordan's coefficients, in bfloat16 where the processor has
    it: singular values of a tenth of the largest and more come out between 0.6 and 1.3."""
    tall = matrices.shape[1] > matrices.shape[2]
    exactly = matrices.dtype == torch.float64 or not has_bfloat16(matrices.device)
    x = matrices if exactly else matrices.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_(min=1e-7)
    x = x.mT if tall else x
    for _ in range(5):
        squares = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(squares, squares, squares, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.mT if tall else x).to(matrices.dtype)


def layers_above(network: nn.Module) -> dict[str, int]:
    """How many products stand above each layer; a normalisation counts with the product before it."""
    names = [name for name, _ in network.named_children()]
    below = list(accumulate(isinstance(child, nn.Conv2d | nn.Linear | LocalConv2d) for child in network.children()))
    return {name: below[-1] - count for name, count in zip(names, below, strict=True)}


def factors(name: str, recipe: Recipe, above: int = 0) -> tuple[float, tuple[float, ...]]:
    """Decay factor of a parameter with so many layers `above`, and its learning-rate factor in each phase."""
    fits = ((rate, decay) for pattern, rate, decay in recipe.rates if fnmatchcase(name, pattern))
    rate, decay = next(fits, (1.0, 1.0))
    rate *= (recipe.layer_decay or 1.0) ** above
    phases = [next((f for pattern, f in phase.rates if fnmatchcase(name, pattern)), 1.0) for phase in recipe.phases]
    return decay, tuple(rate * factor for factor in phases)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, phase: int = 0) -> None:
    """Give every group the rate of this step times its own factor in this phase; a factor of 0 freezes it.

    The paper's velocity carries the rate inside (v ← 0.9 v − 0.0005·ε·w − ε·g; w ← w + v), torch's outside. They are
    the same rule once torch's buffers are multiplied by old/new rate whenever the rate changes.
    """
    for group in optimizer.param_groups:
        new, old = rate * group["rates"][phase], group["lr"]
        if isinstance(optimizer, torch.optim.SGD) and new != old:
            buffers = [b for p in group["params"] if (b := optimizer.state[p].get("momentum_buffer")) is not None]
            if buffers and new > 0:
                torch._foreach_mul_(buffers, old / new)
        group["lr"] = new


def rate(recipe: Recipe, step: int, steps: int, history: History, phase: int = 0) -> float:
    """Learning rate of a step out of `steps`, given the epochs so far and its phase."""
    progress = step / max(1, steps)
    base = recipe.learning_rate * recipe.phases[phase].factor * scaled(recipe, progress * recipe.epochs)
    match recipe.schedule:
        case "one-cycle":
            return base * one_cycle(progress, recipe.warm_up)
        case "stall":
            return base * 0.1 ** stalls(history, recipe.stall, recipe.drops)
        case "polynomial":
            return base * (1 - progress) ** 2
        case "constant":
            return base


def scaled(recipe: Recipe, epochs: float) -> float:
    """Factor of the rate after so many epochs: as many times as large as the batch is `reference_batch`, reached along
    a straight line within `warm_up_epochs` (Goyal et al., arXiv 1706.02677, sections 2.1 and 2.2).

    The line begins at the rate of `reference_batch`; at nothing where there is none.
    """
    full = recipe.batch_size / recipe.reference_batch if recipe.reference_batch else 1.0
    start = min(1.0, full) if recipe.reference_batch else 0.0
    if epochs >= recipe.warm_up_epochs:
        return full
    return start + (full - start) * epochs / recipe.warm_up_epochs


def one_cycle(progress: float, warm_up: float) -> float:
    """Factor at `progress` (0..1) of a run: from 1/25 up to 1 and down to nothing, both along a cosine."""
    if progress < warm_up:
        return _cosine(1 / 25, 1.0, progress / warm_up)
    return _cosine(1.0, 0.0, (progress - warm_up) / max(1e-9, 1 - warm_up))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def stalls(history: History, patience: int, most: int) -> int:
    """How often the validation top-1 has not improved for `patience` epochs; after each, patience starts anew."""
    count, best, since = 0, -math.inf, 0
    for row in history:
        since += 1
        top1 = row["train_top1"] if row["valid_top1"] is None else row["valid_top1"]
        if top1 > best:
            best, since = top1, 0
        elif since >= patience and count < most:
            count, since = count + 1, 0
    return count


def stopped(history: History, column: str, patience: int) -> bool:
    """Whether a column of the history has not improved in its last `patience` epochs; losses fall, the rest rises."""
    if not column or len(history) <= patience:
        return False
    sign = 1 if "loss" in column else -1
    values = [sign * row[column] for row in history]
    return bool(min(values[:-patience]) <= min(values[-patience:]))


def named_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's tensors under their parameters' names: `conv1.weight/exp_avg`, …"""
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value
        for parameter, entries in optimizer.state.items()
        for key, value in entries.items()
        if isinstance(value, torch.Tensor)
    }


def load_named_state(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `named_state` gave."""
    parameters = dict(network.named_parameters())
    for name, value in tensors.items():
        parameter, key = name.split("/")
        optimizer.state[parameters[parameter]][key] = value
