"""Ranks at work for test_towers: `python divided_ranks.py OUT` writes there what each of them found.

torch is imported once, and each rank is a fork of this process.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.network import architecture as a
from alexnet.network.architecture import Variant
from alexnet.network.division import Division, one_weird_trick, towers
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.training.crossing import Wire
from alexnet.training.divided import divide, sum_gradients, whole
from alexnet.training.optimizer import make_optimizer, named_state
from alexnet.training.recipes import recipe

SIZE, BATCH, STEPS = 99, 4, 20
RECIPE = dataclasses.replace(recipe("krizhevsky-2012"), learning_rate=0.002)


def small(name: str, classes: int = 6, dropout: float | None = None) -> Variant:
    """A published variant with an eighth of its channels and few units; He's deviation, so that signals last."""
    layers = []
    for key, layer in variant(name, classes).layers:
        if isinstance(layer, a.Conv):
            layer = dataclasses.replace(layer, channels=layer.channels // 8, std="he")
        elif isinstance(layer, a.Linear):
            layer = dataclasses.replace(layer, units=classes if key == "fc8" else 32, std="he")
        layers.append((key, layer))
    made = dataclasses.replace(variant(name, classes), layers=tuple(layers), size=SIZE)
    return made if dropout is None else a.with_dropout(made, dropout)


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """float64 [STEPS, BATCH, 3, SIZE, SIZE] in channels-last memory, and labels that depend on them."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(0, 3, (STEPS, BATCH), generator=generator)
    noise = torch.randn((STEPS, BATCH, SIZE, SIZE, 3), generator=generator).double()
    return (noise + labels.view(STEPS, BATCH, 1, 1, 1)).permute(0, 1, 4, 2, 3), labels


CASES: dict[str, tuple[int, Variant, Callable[[Variant, int], Division]]] = {
    "towers": (2, small("krizhevsky-2012"), lambda value, ranks: towers(value)),
    "towers of seven classes": (2, small("batch-norm", 7), lambda value, ranks: towers(value)),
    "towers of the source": (2, small("source-145"), lambda value, ranks: towers(value)),
    "trick": (2, small("krizhevsky-2012"), one_weird_trick),
    "trick of six classes over four": (4, small("source-145"), one_weird_trick),
}
"""The variant of a case, over how many ranks, and how it is divided."""


def train(whole_network: nn.Sequential, division: Division, wire: Wire) -> dict[str, Any]:
    """The steps of one rank: what it has at the end, the gradients and logits of the first step, and what it sent."""
    network = divide(whole_network, division, wire).train()
    optimizer = make_optimizer(network, RECIPE)
    losses, first = [], {}
    for step, (views, labels) in enumerate(zip(*pictures(), strict=True)):
        torch.manual_seed(step)
        if division.sliced:
            views, labels = (x.chunk(wire.ranks)[wire.rank] for x in (views, labels))
        logits = network(views)
        loss = F.cross_entropy(logits, labels, reduction="sum") / BATCH
        loss.backward()
        sum_gradients(network, division, wire)
        if step == 0:
            first = {name: p.grad.clone() for name, p in network.named_parameters()} | {"logits": logits.detach()}
            sent = dict(wire.sent)
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    last = network.state_dict() | named_state(network, optimizer) | {"logits": used(network, views)}
    values = {"parameters": sum(p.numel() for p in network.parameters()), "buffers": values_in(optimizer)}
    return {"first": first, "last": last, "losses": losses, "sent": sent, **values}


def used(network: nn.Sequential, views: Tensor) -> Tensor:
    """Logits of the network in use."""
    with torch.no_grad():
        return network.eval()(views)


def values_in(optimizer: torch.optim.Optimizer) -> int:
    return sum(entry["momentum_buffer"].numel() for entry in optimizer.state.values())


def rank_of(ranks: int, rank: int, folder: Path) -> None:
    """One rank through all cases of so many: trains its part and writes the whole that comes of it."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/{ranks}.meet", rank=rank, world_size=ranks)
    for name, (wanted, value, divided) in CASES.items():
        if wanted != ranks:
            continue
        division, wire = divided(value, ranks), Wire(rank, ranks)
        answer = train(build(value).double(), division, wire)
        for key in ("first", "last"):
            together = whole(answer[key], division.split, wire)
            if division.sliced:
                together["logits"] = wire.gather(together["logits"], "test").flatten(0, 1)
            answer[key] = together
        torch.save(answer, folder / f"{name}-{rank}.pt")
    dist.destroy_process_group()


def alone(value: Variant) -> dict[str, Any]:
    """The same steps with the network as it is, on one device."""
    network = build(value).double().train()
    optimizer = make_optimizer(network, RECIPE)
    losses = []
    for step, (views, labels) in enumerate(zip(*pictures(), strict=True)):
        torch.manual_seed(step)
        logits = network(views)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        if step == 0:
            first = {name: p.grad.clone() for name, p in network.named_parameters()} | {"logits": logits.detach()}
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    last = network.state_dict() | named_state(network, optimizer) | {"logits": used(network, views)}
    values = {"parameters": sum(p.numel() for p in network.parameters()), "buffers": values_in(optimizer)}
    return {"first": first, "last": last, "losses": losses, **values}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    for name, (_, value, _) in CASES.items():  # first: what torch imports for it, the forks then have
        torch.save(alone(value), folder / f"{name}-alone.pt")
    start = multiprocessing.get_context("fork").Process
    for ranks in sorted({wanted for wanted, _, _ in CASES.values()}):
        started = [start(target=rank_of, args=(ranks, rank, folder), daemon=True) for rank in range(ranks)]
        for process in started:
            process.start()
        for process in started:
            process.join(60)
        if any(process.exitcode != 0 for process in started):
            raise SystemExit(f"a rank of {ranks} failed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
