"""What four processes compute together, two of them, and one by itself; each writes what it found for the test."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from alexnet.network.architecture import BatchNorm, Conv, Input, Linear, MaxPool, ReLU, Variant
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.pictures.batches import Order, batches
from alexnet.pictures.prepare import open_store
from alexnet.training.checkpoint import State, Sums
from alexnet.training.keeper import shared_probabilities
from alexnet.training.optimizer import make_optimizer
from alexnet.training.parallel.batch_statistics import make_global
from alexnet.training.parallel.exchange import Exchange, alone
from alexnet.training.parallel.execution import Replicas
from alexnet.training.parallel.group import Group
from alexnet.training.parallel.joining import joined
from alexnet.training.recipes import recipe
from alexnet.training.train import Plan, update
from alexnet.weights.files import Description
from alexnet.weights.model import Model
from alexnet.weights.torch_engine import TorchEngine

SIDE, STEPS = 32, 3
RULE = Input(SIDE, 36, mean=(120.0,) * 3, scale=(1 / 64,) * 3)
PLAIN = (("conv1", Conv(8, 5, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool(2, 2)), ("fc2", Linear(3)))
NORMAL = (PLAIN[0], ("bn1", BatchNorm()), *PLAIN[1:3], ("fc2", Linear(1500)), ("bn2", BatchNorm()), ("fc3", Linear(3)))


def plan_of(group: Group, count: int, **changes: Any) -> Plan:
    asked = replace(recipe("krizhevsky-2012"), views=recipe("fast").views, label_smoothing=0.1, **changes)
    pixels = Pixels(RULE).double()
    weights = torch.tensor([0.5, 1.0, 2.0]).double()
    return Plan(asked, Order(count, 10, 7), pixels, SIDE, torch.device("cpu"), False, weights, Replicas(group))


def found(
    group: Group, layers: Any, part: Any, statistics: str = "own", gradients: str = "float32", **changes: Any
) -> dict[str, Any]:
    """State after some steps in float64, and the gradients of the last."""
    torch.manual_seed(0)
    network = build(Variant("small", "", "", layers=layers, classes=3, size=SIDE, stored=36), seed=3).double().train()
    if statistics == "global":
        make_global(network, group)
    plan = plan_of(group, len(part), **changes)
    exchange = alone if group.size == 1 else Exchange(network, group, gradients == "bfloat16")
    plan = replace(plan, exchange=exchange)
    state = State(network, make_optimizer(network, plan.recipe), Sums.zero(plan.device))
    seen = batches(part, plan.order, plan.purposes, range(STEPS), 1, group.share(plan.order.batch_size))
    places, chance, gradient = [], [], {}
    for batch, pictures in plan.carry(seen):
        places.append(batch.places)
        chance.append(np.stack([batch.chance[name] for name in sorted(batch.chance)], 1))
        views, *rest = plan.tensors(batch, pictures)
        state.optimizer.zero_grad = lambda: None
        update(state, plan, views.double(), *rest)
        gradient = {name: p.grad.numpy().copy() for name, p in network.named_parameters()}
        network.zero_grad()
    return {
        "places": np.concatenate(places),
        "lengths": np.array([len(some) for some in places]),
        "chance": np.concatenate(chance),
        "totals": state.sums.totals.numpy(),
        **{f"gradient {name}": value for name, value in gradient.items()},
        **{f"state {name}": value.numpy() for name, value in network.state_dict().items()},
    }


def poisoned(group: Group, part: Any) -> dict[str, Any]:
    """A step in which one picture of the last process has no number: weights before and after, on each process."""
    network = build(Variant("small", "", "", layers=PLAIN, classes=3, size=SIDE, stored=36), seed=3).train()
    plan = replace(plan_of(group, len(part)), pixels=Pixels(RULE), class_weights=None)
    plan = replace(plan, exchange=Exchange(network, group))
    state = State(network, make_optimizer(network, plan.recipe), Sums.zero(plan.device))
    before = [p.detach().clone() for p in network.parameters()]
    views, labels = torch.zeros(2, SIDE, SIDE, 3), torch.zeros(2, dtype=torch.int64)
    if group.rank == group.size - 1:
        views[1, 0, 0, 0] = float("nan")
    update(state, plan, views, labels, 2 * group.size)
    same = all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    return {"same": same, "bad": int(state.sums.bad_step)}


def told(group: Group) -> dict[str, Any]:
    """What the processes tell each other: the leading one's word, its tensors, the largest, the rows of all."""
    tensors = {"a": torch.arange(3), "b": torch.ones(2, 2, dtype=torch.bfloat16)}
    copied = group.copied(tensors if group.leads else None)
    rows = group.gathered(np.full((group.rank, 2), float(group.rank)), list(range(group.size)))
    return {
        "told": group.told({"word": group.rank})["word"],
        "copied": all(torch.equal(copied[name], tensors[name]) for name in tensors),
        "largest": np.array(group.largest(group.rank, -group.rank)),
        "rows": np.zeros((0, 2)) if rows is None else rows,
    }


def main(data: str, out: Path) -> None:
    with joined() as world:
        store = open_store(data, 36)
        for size in (1, 2, 4):
            processes = dist.new_group(list(range(size)))
            if world.rank >= size:
                continue
            group = Group(world.rank, size, world.local_rank, processes)
            results = {
                "plain": found(group, PLAIN, store["train"]),
                "global": found(group, NORMAL, store["train"], "global"),
                "own": found(group, NORMAL, store["train"], learning_rate=0.0),
                "compressed": found(group, NORMAL, store["train"], "global", "bfloat16"),
                "told": told(group),
            }
            if size > 1:
                results["poisoned"] = poisoned(group, store["train"])
            network = build(Variant("small", "", "", layers=PLAIN, classes=3, size=SIDE, stored=36), seed=3).eval()
            described = Description(Variant("small", "", "", layers=PLAIN, classes=3), tuple("abc"), RULE)
            model = Model(TorchEngine(network, Pixels(RULE)), described)
            outputs = shared_probabilities(model, store["test"], group)
            results["evaluated"] = {"outputs": np.zeros((0, 3)) if outputs is None else outputs}
            for name, values in results.items():
                np.savez(out / f"{name}-{size}-{group.rank}.npz", **values)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
