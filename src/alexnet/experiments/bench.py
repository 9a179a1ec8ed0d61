"""Speed, with the stock way beside it in the same run and the limit that was measured there.

Each way is timed in processes of its own, in turn, since how memory is kept belongs to a process; what counts is the
median of the turns. Stock means plain torch as a textbook writes it: float32, its own layers, its own defaults.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from alexnet.environment import environment, keep_memory
from alexnet.errors import UsageError
from alexnet.network.summary import summary
from alexnet.network.variants import variant as named
from alexnet.progress import say

CLASSES = 1000


def bench_train(variant: str = "krizhevsky-2012", batch: int = 128, turns: int = 5) -> dict[str, Any]:
    """Training steps on tensors in memory: pictures per second, ours and stock, and ours as a share of the limit.

    The limit is the matrix product in bfloat16 of this machine, measured; a picture costs two operations for each
    multiply-add, three times over, less the gradient of the first layer's input, which nobody needs.
    """
    if named(variant).channels != 3:
        raise UsageError(f"{variant} takes grey pictures; bench train measures networks for colour ones")
    found = _in_turn(("ours", "stock"), ["train", variant, str(batch)], turns)
    flops = _training_flops(variant)
    peak = float(_process(["peak"])["flops"])
    ours, stock = (batch / found[way]["seconds"] for way in ("ours", "stock"))
    return {
        "what": f"train {variant}, batch {batch}",
        "ours": ours,
        "stock": stock,
        "ratio": ours / stock,
        "limit": peak / flops,
        "share": ours * flops / peak,
        "unit": "pictures/s",
        "normalisation": found["ours"]["normalisation"],
        "turns": turns,
        "environment": environment(),
    }


def _training_flops(variant: str) -> float:
    document = summary(named(variant))
    first = next(layer["macs"] for layer in document["layers"] if layer["macs"])
    return 2.0 * (3 * int(document["macs"]) - int(first))


def _in_turn(ways: tuple[str, ...], arguments: list[str], turns: int) -> dict[str, dict[str, float]]:
    """Each way's figures, the median over its turns."""
    collected: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for turn in range(turns):
        for way in ways:
            collected[way].append(_process([*arguments, way]))
            say(f"turn {turn + 1} of {turns}, {way}: {1000 * collected[way][-1]['seconds']:.0f} ms a step")
    return {
        way: {key: statistics.median(turn[key] for turn in found) for key in found[0]}
        for way, found in collected.items()
    }


def _process(arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "alexnet.experiments.bench", *arguments]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


# --------------------------------------------------------------------------------------- what runs in those processes


def median_seconds(action: Callable[[], object], times: int, warm: int = 2) -> float:
    """Median duration of an action, after a few that do not count."""
    for _ in range(warm):
        action()
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def _stock(variant: str) -> Any:
    """The network as a textbook writes it: torch's own layers, torch's own response normalisation."""
    from torch import nn

    from alexnet.network.layers import ResponseNorm
    from alexnet.network.model import build

    network = build(variant, classes=CLASSES)
    for name, child in network.named_children():
        if isinstance(child, ResponseNorm) and child.arguments.over == "maps":  # torch has none over space
            size, alpha, beta, k, *_ = child.arguments
            setattr(network, name, nn.LocalResponseNorm(size, alpha * size, beta, k))
        for parameter in child.parameters():
            parameter.data = parameter.data.contiguous()
    return network


def _train_stock(variant: str, batch: int) -> dict[str, float]:
    import torch
    from torch.nn import functional as F

    network = _stock(variant).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    size = named(variant).size
    pictures, labels = torch.randn(batch, 3, size, size), torch.randint(0, CLASSES, (batch,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(pictures), labels).backward()
        optimizer.step()

    return {"seconds": median_seconds(step, 2, warm=1)}


def _train_ours(variant: str, batch: int) -> dict[str, float]:
    """The step of the training loop, on pictures that are there already, and what normalisation takes of it."""
    import torch

    from alexnet.network import compiled
    from alexnet.network.architecture import Input
    from alexnet.network.layers import Pixels, ResponseNorm
    from alexnet.network.model import build
    from alexnet.pictures.batches import Order
    from alexnet.training.checkpoint import State, Sums
    from alexnet.training.optimizer import make_optimizer
    from alexnet.training.recipes import recipe
    from alexnet.training.train import Plan, bfloat16, update

    keep_memory()
    compiled.build()
    asked, device = recipe("krizhevsky-2012"), torch.device("cpu")
    network = build(variant, classes=CLASSES).train()
    state = State(network, make_optimizer(network, asked), Sums.zero(device))
    size = named(variant).size
    views = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (batch,))
    pixels = Pixels(Input(size=size, stored=256, mean=(120.0,) * 3, scale=(1.0,) * 3))
    plan = Plan(asked, Order(1000, batch, 0), pixels, size, device, bfloat16(asked, device), None)
    whole = median_seconds(lambda: update(state, plan, views, labels), 6)
    norms = {child for child in network.children() if isinstance(child, ResponseNorm)}
    return {"seconds": whole, "normalisation": _seconds_of(norms, network, plan, views) / whole}


def _seconds_of(layers: set[Any], network: Any, plan: Any, views: Any) -> float:
    """Forward and backward of some layers alone, on inputs of their shapes."""
    import torch

    total, x = 0.0, plan.pixels(views)
    with plan.arithmetic(), torch.no_grad():
        for child in network.children():
            if child in layers:
                inner = x.detach().requires_grad_()
                gradient = torch.randn_like(inner)

                def both(child: Any = child, inner: Any = inner, gradient: Any = gradient) -> None:
                    with torch.enable_grad():
                        torch.autograd.grad(child(inner), inner, gradient)

                total += median_seconds(both, 5)
            x = child(x)
    return total


def _peak() -> dict[str, float]:
    """Operations per second of the largest matrix products, bfloat16."""
    import torch

    n = 4096
    left, right = (torch.randn(n, n).bfloat16() for _ in range(2))
    return {"flops": 2.0 * n**3 / median_seconds(lambda: left @ right, 7)}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["peak"]:
            answer = _peak()
        case ["train", variant, batch, "ours"]:
            answer = _train_ours(variant, int(batch))
        case ["train", variant, batch, "stock"]:
            answer = _train_stock(variant, int(batch))
        case _:
            raise SystemExit(f"no such measurement: {sys.argv[1:]}")
    sys.stdout.write(json.dumps(answer))
