"""Training on several processes of this machine, measured beside the cost model: `python benchmarks/scaling.py` writes
results/bench-scaling.json. Wants a quiet machine.

One thread a process, one global batch for any number of them, loopback and Gloo; the real step: forward, backward, the
exchange of gradients, the update. What the model needs to know of the machine is measured in the same processes, and
the turns alternate between the numbers of processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import record

from alexnet import compiled
from alexnet.environment import keep_memory
from alexnet.experiments.bench.scaling import UPDATE_BYTES, Machines, Work, forecast
from alexnet.network.architecture import Input
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.network.variants import variant as named
from alexnet.pictures.batches import Order
from alexnet.training.checkpoint import State, Sums
from alexnet.training.optimizer import make_optimizer
from alexnet.training.parallel.exchange import Exchange, alone
from alexnet.training.parallel.group import Group
from alexnet.training.parallel.joining import joined
from alexnet.training.recipes import recipe
from alexnet.training.train import Plan, bfloat16, update


def median_seconds(group: Group, action: Callable[[], object], times: int) -> float:
    """Median duration of what all processes do together, after once that does not count."""
    durations = []
    for _ in range(times + 1):
        group.largest(0)
        began = time.perf_counter()
        action()
        group.largest(0)
        durations.append(time.perf_counter() - began)
    return statistics.median(durations[1:])


def worker(variant: str, batch: int, steps: int) -> None:
    """One process of a group: figures of its steps and of what they consist of, by the leading one."""
    with joined() as group:
        keep_memory(all_sizes=True)
        asked, device, value = recipe("krizhevsky-2012"), torch.device("cpu"), named(variant)
        network = build(value).train()
        own = group.share(batch)
        count = own.stop - own.start
        views = torch.randint(0, 256, (count, value.size, value.size, 3), dtype=torch.uint8)
        labels = torch.randint(0, value.classes, (count,))
        pixels = Pixels(Input(size=value.size, stored=value.stored, mean=(120.0,) * 3, scale=(1.0,) * 3))
        low = bfloat16(asked, device)
        plan = Plan(asked, Order(10 * batch, batch, 0), pixels, value.size, device, low, None, group)
        by_itself = State(network, make_optimizer(network, asked), Sums.zero(device))
        compute = median_seconds(group, lambda: update(by_itself, plan, views, labels, batch), steps)
        optimizer = by_itself.optimizer
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        moved = median_seconds(group, optimizer.step, steps)
        optimizer.zero_grad()
        exchange = alone if group.size == 1 else Exchange(network, group)
        together = Plan(asked, plan.order, pixels, value.size, device, low, None, group, exchange)
        state = State(network, optimizer, Sums.zero(device))
        whole = median_seconds(group, lambda: update(state, together, views, labels, batch), steps)
        gradient = torch.zeros(sum(p.numel() for p in network.parameters()))
        wire = median_seconds(group, lambda: group.sum(gradient)(), steps) if group.size > 1 else 0.0
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pictures.npy"
            np.save(file, np.zeros((4 * count, value.stored, value.stored, 3), np.uint8))
            stored, rng = np.load(file, mmap_mode="r"), np.random.default_rng(0)
            places = np.sort(rng.permutation(len(stored))[:count])
            read = median_seconds(group, lambda: stored[places].sum(), steps)
        figures = {"step": whole, "compute": compute, "update": moved, "wire": wire, "read": read, "pictures": count}
        if group.leads:
            print(json.dumps(figures))


def measured(size: int, arguments: argparse.Namespace) -> dict[str, float]:
    """One start of a group of processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size), __file__, "--worker"]
    given = ["--variant", arguments.variant, "--batch", str(arguments.batch), "--steps", str(arguments.steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *given], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def beside_the_model(found: dict[int, dict[str, float]], variant: str, batch: int) -> list[dict[str, Any]]:
    """What was measured on each number of processes, and what the model says.

    It gets the step of one process for the arithmetic (activations included), the update and the reading of pictures
    there, and the all-reduce of as many values as the gradient has; no overlap, as all share the processors. Where
    there are more processes than cores they take turns.
    """
    work, one, cores = Work.of(named(variant), width=4), found[1], os.cpu_count() or 1
    rows = []
    for size, figures in found.items():
        turns = max(1.0, size / cores)
        machines = Machines(
            processes=size,
            flops=work.flops * one["pictures"] / (one["compute"] - one["update"]) / turns,
            memory=work.parameters * UPDATE_BYTES / one["update"] / turns,
            wire=2 * (size - 1) / size * 4 * work.parameters / figures["wire"] if size > 1 else 1.0,
            disk=one["pictures"] * work.picture / one["read"] / turns,
            latency=0.0,
            overlap=0.0,
        )
        said = forecast(Work(work.flops, 0.0, work.parameters, work.picture), machines, batch)
        rows.append(
            {
                "processes": size,
                "seconds": figures["step"],
                "pictures_per_second": batch / figures["step"],
                "efficiency": one["step"] / figures["step"] / min(size, cores),
                "forecast_seconds": said.seconds,
                "forecast_pictures_per_second": said.rate,
                "forecast_limit": said.limit,
                "wire_bytes_per_second": machines.wire if size > 1 else None,
                "figures": figures,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="krizhevsky-2012")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--dry", action="store_true", help="show, write nothing")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.variant, arguments.batch, arguments.steps)
        return
    compiled.build(compiled.RESPONSE_NORM)
    turns = [{size: measured(size, arguments) for size in arguments.sizes} for _ in range(arguments.turns)]
    found = {
        size: {key: statistics.median(turn[size][key] for turn in turns) for key in turns[0][size]}
        for size in arguments.sizes
    }
    figures = {
        "what": f"training {arguments.variant}, global batch {arguments.batch}, one thread a process, Gloo on loopback",
        "unit": "seconds a step, pictures/s",
        "turns": arguments.turns,
        "rows": beside_the_model(found, arguments.variant, arguments.batch),
    }
    print(json.dumps(figures, indent=1)) if arguments.dry else record("bench-scaling", figures)


if __name__ == "__main__":
    main()
