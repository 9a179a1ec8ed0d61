"""Processes at work for test_towers: `python divided_ranks.py OUT PHOTOS` writes there what each of them found
and the folders of runs on PHOTOS.

torch is imported once, and each process is a fork of this one.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn

from alexnet.insight.reports import plots
from alexnet.network import architecture as a
from alexnet.network.architecture import Input, Variant
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.pictures.batches import Order
from alexnet.run import train
from alexnet.training.checkpoint import State, Sums
from alexnet.training.journal import Journal
from alexnet.training.optimizer import make_optimizer
from alexnet.training.parallel.execution import UNDIVIDED, Execution, execution
from alexnet.training.parallel.group import Group
from alexnet.training.recipe import Recipe
from alexnet.training.recipes import recipe
from alexnet.training.train import Plan, dropout_seed, update

SIZE, BATCH, STEPS = 99, 8, 20
RECIPE = dataclasses.replace(recipe("krizhevsky-2012"), learning_rate=0.001, batch_size=BATCH)


def small(name: str, classes: int = 6) -> Variant:
    """A published variant with an eighth of its channels and few units; He's deviation, so that signals last."""
    layers = []
    for key, layer in variant(name, classes).layers:
        if isinstance(layer, a.Conv):
            layer = dataclasses.replace(layer, channels=layer.channels // 8, std="he")
        elif isinstance(layer, a.Linear):
            layer = dataclasses.replace(layer, units=classes if key == "fc8" else 32, std="he")
        layers.append((key, layer))
    return dataclasses.replace(variant(name, classes), layers=tuple(layers), size=SIZE)


def recipe_of(execution: Any, statistics: Any = "own") -> Recipe:
    return dataclasses.replace(RECIPE, execution=execution, batch_statistics=statistics)


CASES = {
    "towers": (2, small("krizhevsky-2012"), recipe_of("towers")),
    "towers of seven classes": (2, small("batch-norm", 7), recipe_of("towers")),
    "towers of the source": (2, small("source-145"), recipe_of("towers")),
    "towers by orthogonalised momentum": (
        2,
        small("krizhevsky-2012"),
        dataclasses.replace(recipe_of("towers"), update="muon", learning_rate=1e-4),
    ),
    "trick": (2, small("krizhevsky-2012"), recipe_of("one-weird-trick")),
    "trick of six classes over four": (4, small("source-145"), recipe_of("one-weird-trick")),
    "trick with global statistics": (2, small("batch-norm", 7), recipe_of("one-weird-trick", "global")),
}
"""By name: over how many processes, which variant, and how it is carried out."""


def pictures() -> tuple[Tensor, Tensor]:
    """Views uint8 [STEPS, BATCH, SIZE, SIZE, 3], and labels [STEPS, BATCH] on which their brightness depends."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(0, 3, (STEPS, BATCH), generator=generator)
    noise = torch.randint(0, 160, (STEPS, BATCH, SIZE, SIZE, 3), generator=generator)
    return (noise + 40 * labels.view(STEPS, BATCH, 1, 1, 1)).byte(), labels


def steps(value: Variant, asked: Recipe, carried: Execution) -> dict[str, Any]:
    """The steps of training of one process: all that a checkpoint holds after the last, the gradients of the first,
    logits before and after, what was sent in the first step, and how many values it holds."""
    network = carried.part_of(build(value).double())
    plan = Plan(
        recipe=asked,
        order=Order(1000, BATCH, 0),
        pixels=Pixels(Input(SIZE, SIZE, mean=(120.0,) * 3, scale=(1 / 64,) * 3)).double(),
        size=SIZE,
        device=torch.device("cpu"),
        bfloat16=False,
        class_weights=None,
        execution=carried,
        exchange=carried.exchange(network, asked),
    )
    state = State(network, make_optimizer(network, asked), Sums.zero(plan.device))
    judged, _ = carried.judged(network)
    views, labels = pictures()
    found = {"logits before": used(judged, plan.pixels(views[0]))}
    gradients: dict[str, Tensor] = {}
    sent: list[tuple[str, int]] = []

    def look(*_: Any) -> None:
        gradients.update({name: parameter.grad.clone() for name, parameter in network.named_parameters()})

    looking = state.optimizer.register_step_pre_hook(look)
    share = carried.share(BATCH)
    for number in range(STEPS):
        network.train()
        torch.manual_seed(dropout_seed(0, number, carried.dropout))
        with counting([] if number else sent):
            update(state, plan, views[number][share], labels[number][share], BATCH)
        looking.remove()
    found["logits after"] = used(judged, plan.pixels(views[0]))
    found |= {f"gradient/{name}": tensor for name, tensor in carried.whole(gradients).items()}
    found |= carried.whole(state.tensors())
    buffers = sum(
        next(kept.numel() for name, kept in entry.items() if name in ("momentum_buffer", "exp_avg"))
        for entry in state.optimizer.state.values()
    )
    return {
        "found": found,
        "sent": sent,
        "parameters": sum(p.numel() for p in network.parameters()),
        "buffers": buffers,
    }


def used(network: nn.Module, x: Tensor) -> Tensor:
    """Logits of the network in use."""
    with torch.no_grad():
        return network.eval()(x)


@contextmanager
def counting(sent: list[tuple[str, int]]) -> Iterator[None]:
    """Note what is handed to torch.distributed inside: the collective, and the bytes that this process sends by it if
    each part goes straight to whom it is for, and sums round a ring."""

    def noting(name: str, count: Callable[..., float]) -> Any:
        real = getattr(dist, name)

        def collective(*arguments: Any, **options: Any) -> Any:
            sent.append((name, round(count(dist.get_world_size(), *arguments))))
            return real(*arguments, **options)

        return mock.patch.object(dist, name, collective)

    with (
        noting("all_gather", lambda n, parts, own: (n - 1) * own.nbytes),
        noting("all_to_all_single", lambda n, found, own: (n - 1) / n * own.nbytes),
        noting("all_reduce", lambda n, tensor: 2 * (n - 1) / n * tensor.nbytes),
    ):
        yield


def process(ranks: int, rank: int, folder: Path) -> None:
    """One process through all cases of so many."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/{ranks}.meet", rank=rank, world_size=ranks)
    group = Group(rank, ranks, rank, dist.group.WORLD)
    for name, (wanted, value, asked) in CASES.items():
        if wanted == ranks:
            torch.save(steps(value, asked, execution(asked, value, SIZE, group)), folder / f"{name}-{rank}.pt")
    dist.destroy_process_group()


# ---------------------------------------------------------------------------------------------------------------- runs


def run(ranks: int, rank: int, port: int, killed_at: int | None, arguments: dict[str, Any]) -> None:
    """One process of a whole run, as torchrun would start it; killed after some step."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    plots.write = lambda figure, path: path.touch()
    tick = Journal.tick

    def dying(self: Journal, state: State) -> None:
        tick(self, state)
        if state.step == killed_at:
            os._exit(9)

    Journal.tick = dying
    train(**arguments)


def runs(folder: Path, photos: Path) -> None:
    """Two epochs in towers, by one process, and in towers that are killed: to go on in towers, or as one process."""
    settings = ["epochs=2", "batch_size=12", "learning_rate=0.001", "precision=float32", "checkpoint_steps=4"]
    settings += ["update=adamw"]  # orthogonalising in bfloat16, by default, makes more of rounding
    asked = {"data": photos, "variant": small("batch-norm", 3), "settings": settings}
    together(run, 1, free_port(), None, asked | {"out": folder / "alone"})
    together(run, 2, free_port(), None, asked | {"out": folder / "towers", "towers": True})
    together(run, 2, free_port(), 7, asked | {"out": folder / "killed", "towers": True}, code=9)
    shutil.copytree(folder / "killed", folder / "moved")
    together(run, 2, free_port(), None, {"resume": folder / "killed"})
    together(run, 1, free_port(), None, {"resume": folder / "moved", "settings": ["execution=data"]})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def together(target: Callable[..., None], ranks: int, *arguments: Any, code: int = 0) -> None:
    """So many processes at once, which all end with this exit code."""
    start = multiprocessing.get_context("fork").Process
    started = [start(target=target, args=(ranks, rank, *arguments), daemon=True) for rank in range(ranks)]
    for one in started:
        one.start()
    for one in started:
        one.join(120)
    if any(one.exitcode != code for one in started):
        raise SystemExit(f"{target.__name__} of {ranks}: {[one.exitcode for one in started]}")


def main(folder: Path, photos: Path | None = None) -> None:
    torch.set_num_threads(1)
    for name, (_, value, asked) in CASES.items():  # first: what torch imports for it, the forks then have
        torch.save(steps(value, asked, UNDIVIDED), folder / f"{name}-alone.pt")
    for ranks in sorted({wanted for wanted, _, _ in CASES.values()}):
        together(process, ranks, folder)
    if photos:
        runs(folder, photos)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
