"""Two towers and one weird trick beside one device and data parallelism: `python benchmarks/towers.py`

Writes results/towers.json: how far 20 steps of small networks in float64 come out from those of one device, at most;
what two processes send in a step of the paper's network, as handed to torch.distributed and as it passes the loopback
device of a network namespace of its own (where Linux allows that); and up to which batch which sends less.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from math import floor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from record import record

from alexnet.network.architecture import Input
from alexnet.network.division import (
    activation_values,
    break_even,
    data_parallel_values,
    gradient_values,
    one_weird_trick,
    towers,
)
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.pictures.batches import Order
from alexnet.training.checkpoint import State, Sums
from alexnet.training.optimizer import make_optimizer
from alexnet.training.parallel.execution import execution
from alexnet.training.parallel.group import Group
from alexnet.training.recipes import recipe
from alexnet.training.train import Plan, update

TESTS = Path(__file__).parent.parent / "tests" / "parallel"
sys.path.insert(0, str(TESTS))
from divided_ranks import CASES, counting, together  # noqa: E402

BATCH = 8
NETWORK = variant("krizhevsky-2012")
NAMESPACE = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']


def differences(folder: Path) -> dict[str, float]:
    """The largest difference of any value from that of one device, by case."""
    subprocess.run([sys.executable, TESTS / "divided_ranks.py", folder], check=True)
    found = {}
    for name in CASES:
        ours, theirs = (torch.load(folder / f"{name}-{who}.pt")["found"] for who in ("0", "alone"))
        names = [key for key in theirs if not key.startswith("sums/")]  # float32
        found[name] = max(float((ours[key].double() - theirs[key].double()).abs().max()) for key in names)
    return found


def step(ranks: int, rank: int, kind: str, folder: Path) -> None:
    """One process in the second step of the paper's network; the first says what was sent by it and by all."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/{kind}", rank=rank, world_size=ranks)
    asked = replace(recipe("krizhevsky-2012"), execution=kind, batch_size=BATCH)
    carried = execution(asked, NETWORK, NETWORK.size, Group(rank, ranks, rank, dist.group.WORLD))
    network = carried.part_of(build(NETWORK)).train()
    pixels = Pixels(Input(NETWORK.size, 256, mean=(120.0,) * 3, scale=(1 / 64,) * 3))
    plan = Plan(asked, Order(1000, BATCH, 0), pixels, NETWORK.size, torch.device("cpu"), False, None, carried)
    plan = replace(plan, exchange=carried.exchange(network, asked))
    state = State(network, make_optimizer(network, asked), Sums.zero(plan.device))
    share = carried.share(BATCH)
    views = torch.randint(0, 256, (BATCH, NETWORK.size, NETWORK.size, 3), dtype=torch.uint8)[share]
    labels = torch.arange(BATCH)[share]
    update(state, plan, views, labels, BATCH)
    sent: list[tuple[str, int]] = []
    dist.barrier()
    before = loopback()
    with counting(sent):
        update(state, plan, views, labels, BATCH)
    dist.barrier()
    if rank == 0:
        torch.save({"handed": sum(count for _, count in sent), "wire": loopback() - before}, folder / f"{kind}.pt")
    dist.destroy_process_group()


def loopback() -> int:
    """Bytes that the loopback device has sent."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[9]) for line in lines if line.strip().startswith("lo:"))


def wire(folder: Path) -> None:
    """The steps, in a network of their own."""
    torch.set_num_threads(1)
    for kind in ("data", "towers", "one-weird-trick"):
        together(step, 2, kind, folder)


def sent(folder: Path) -> dict[str, Any]:
    """Bytes that each of two processes sends in a step: by formula, as handed over, and half of what both sent."""
    alone = [sys.executable, __file__, "wire", str(folder)]
    isolated = subprocess.run([*NAMESPACE, *alone]).returncode == 0
    if not isolated:
        wire(folder)
    divisions = {"towers": towers(NETWORK), "one-weird-trick": one_weird_trick(NETWORK, 2)}
    found = {}
    for kind in ("data", "towers", "one-weird-trick"):
        counted = torch.load(folder / f"{kind}.pt")
        if kind == "data":
            values = data_parallel_values(NETWORK, 2)
        else:
            division = divisions[kind]
            values = sum(map(sum, activation_values(division, BATCH).values())) + gradient_values(division)
        measured = round(counted["wire"] / 2) if isolated else None
        found[kind] = {"formula": round(4 * values), "handed": counted["handed"], "wire": measured}
    return found


def thresholds() -> list[dict[str, Any]]:
    """For numbers of processes, the largest batch at which one weird trick sends less than data parallelism."""
    return [
        {"ranks": ranks, "batch": floor(break_even(division)), "parameters": division.parameters}
        for ranks in (2, 8, 64, 1024)
        for division in (one_weird_trick(NETWORK, ranks),)
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {
            "differences": differences(folder),
            "batch": BATCH,
            "bytes": sent(folder),
            "towers": {"batch": floor(break_even(towers(NETWORK))), "parameters": towers(NETWORK).parameters},
            "one-weird-trick": thresholds(),
        }
    record("towers", figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["wire"]:
        wire(Path(sys.argv[2]))
    else:
        main()
