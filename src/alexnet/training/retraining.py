"""The way of a trained network to a compressed one: pruned step by step, retrained, its values shared, retrained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alexnet.errors import DivergedError, UsageError
from alexnet.network.layers import Pixels
from alexnet.network.model import skeleton
from alexnet.pictures.batches import Order, batches
from alexnet.pictures.layout import TRAIN, VALIDATION
from alexnet.pictures.store import Part
from alexnet.progress import progress
from alexnet.training.checkpoint import State, Sums
from alexnet.training.compression import Pruned, Shared, densities, pruned, shared
from alexnet.training.config import Config, Parts, recipe_of, resolve
from alexnet.training.fine_tuning import Initial
from alexnet.training.optimizer import make_optimizer, rate, set_rate
from alexnet.training.recipe import EXECUTION, Phase, Recipe, from_json
from alexnet.training.train import Plan, dropout_seed, update
from alexnet.training.train import device as choose_device
from alexnet.weights import files

GENTLE = 0.2  # of the rate that the network was trained with
EPOCHS = 9


class Stage(NamedTuple):
    """A stretch of the retraining: up to which share of its steps, how far pruned (as a power of the share of weights
    that stays), and whether values are shared."""

    until: float
    pruned: float
    shared: bool


STAGES = (Stage(0.15, 1 / 3, False), Stage(0.3, 2 / 3, False), Stage(0.75, 1.0, False), Stage(1.0, 1.0, True))


def compressed(
    initial: Initial, data: str, ratio: float, epochs: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, float], Parts]:
    """A model about `ratio` times smaller, retrained on the training part of DATA: its tensors, the shares of weights
    that stayed, and the parts of DATA. Raises UsageError and DivergedError."""
    recipe = gentle(initial.description.trained, epochs)
    config, parts = resolve(data, None, (), seed, recipe, initial.description.variant, initial)
    if config.classes != initial.description.classes:
        raise UsageError(f"{data}: its classes are not the model's, which are {', '.join(initial.description.classes)}")
    device = choose_device(config.recipe)
    network = skeleton(config.variant, config.input.size).to_empty(device=device)
    network.load_state_dict({name: initial.tensors[name] for name in network.state_dict()})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kept = densities(network, ratio)
    sharing = retrain(network, _plan(config, initial, len(parts[TRAIN]), device), parts[TRAIN], kept)
    return _tensors(network, sharing, initial), {n: len(c.places) / c.count for n, c in sharing.coded().items()}, parts


def gentle(trained: Mapping[str, Any], epochs: int) -> Recipe:
    """The recipe that a model was trained with, or else the default one, for going on from where it ended."""
    try:
        recipe = from_json(trained["recipe"])
    except (KeyError, ValueError, TypeError, UsageError):  # of another library, or of an older version
        recipe = recipe_of(None)
    here = {field: getattr(recipe_of(None), field) for field in EXECUTION}
    gentle = {"learning_rate": GENTLE * recipe.learning_rate, "schedule": "one-cycle", "warm_up": 0.1}
    plain = {"phases": (Phase(),), "stop_on": "", "watch": VALIDATION, "freeze": "", "layer_decay": 1.0}
    changes: dict[str, Any] = {"epochs": epochs} | gentle | plain | here
    return replace(recipe, **changes)


def _plan(config: Config, initial: Initial, count: int, device: torch.device) -> Plan:
    return Plan(
        recipe=config.recipe,
        order=Order(count, config.recipe.batch_size, config.seed, config.recipe.shuffle),
        pixels=Pixels(config.input, initial.mean_picture).to(device),
        size=config.input.size,
        device=device,
        bfloat16=config.bfloat16,
        class_weights=None,
    )


def retrain(network: nn.Sequential, plan: Plan, part: Part, kept: Mapping[str, float]) -> Shared:
    """Take a network through the stages. Raises DivergedError."""
    state = State(network, make_optimizer(network, plan.recipe), Sums.zero(plan.device))
    network.train()
    constraint: Pruned | Shared = pruned(network, _powers(kept, STAGES[0].pruned))
    ends = {round(stage.until * plan.steps): following for stage, following in pairwise(STAGES)}
    found = batches(part, plan.order, plan.purposes, range(plan.steps), plan.recipe.workers)
    for batch, pictures in progress(plan.carry(found), plan.steps, "retraining"):
        if stage := ends.get(batch.step):
            constraint = shared(network) if stage.shared else pruned(network, _powers(kept, stage.pruned))
        set_rate(state.optimizer, rate(plan.recipe, batch.step, plan.steps, []))
        torch.manual_seed(dropout_seed(plan.order.seed, batch.step))
        update(state, plan, *plan.tensors(batch, pictures))
        constraint.hold()
    if state.sums.found_inf:
        raise DivergedError(f"the loss was not finite in step {int(state.sums.bad_step)} of the retraining")
    network.eval()
    if isinstance(constraint, Shared):
        return constraint
    pruned(network, kept)  # fewer steps than stages
    return shared(network)


def _powers(kept: Mapping[str, float], power: float) -> dict[str, float]:
    return {name: share**power for name, share in kept.items()}


def _tensors(network: nn.Sequential, sharing: Shared, initial: Initial) -> dict[str, Tensor]:
    """What the model file holds: the parts of each weight, and all else as it is."""
    coded = sharing.coded()
    tensors = {name: tensor for name, tensor in network.state_dict().items() if name not in coded}
    for name, weight in coded.items():
        tensors |= {name + part: torch.from_numpy(values.copy()) for part, values in weight.parts().items()}
    return tensors if initial.mean_picture is None else tensors | {files.MEAN_PICTURE: initial.mean_picture}
