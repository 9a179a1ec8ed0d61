"""How long a training step takes on many processes, counted: arithmetic, memory, wire and disk.

The model behind docs/scaling.md, and beside what `benchmarks/scaling.py` measures. It knows nothing of what a program
wastes: on a GPU it is a limit, not a promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from alexnet.network.architecture import Variant, walk

IMAGENET = 1_281_167  # training pictures of ILSVRC-2012
UPDATE_BYTES = 30  # that a step of an optimizer with momentum moves for each parameter
PASSES = 5  # over each layer's output: written, read by the next one; three times in the backward pass
BACKWARD = 2 / 3  # share of arithmetic and activations in which gradients may travel


@dataclass(frozen=True)
class Work:
    """What a network costs: FLOP and bytes of activations a picture, parameters, bytes of a stored picture."""

    flops: float
    activations: float
    parameters: int
    picture: float

    @classmethod
    def of(cls, variant: Variant, size: int | None = None, width: int = 2) -> Work:
        """Of a training step; `width`: bytes of a value in which it computes. Pictures are stored raw."""
        rows = walk(variant, size)
        macs = [row.macs for row in rows if row.macs]
        stored = round(variant.stored * (size or variant.size) / variant.size)
        return cls(
            flops=2 * (3 * sum(macs) - macs[0]),  # nobody needs the gradient of the pictures
            activations=PASSES * width * sum(math.prod(row.output) for row in rows),
            parameters=sum(row.parameters for row in rows),
            picture=3 * stored**2,
        )


@dataclass(frozen=True)
class Machines:
    """Some processes and what each can do, a second; `wire` in both directions at once, `disk` for pictures."""

    processes: int
    flops: float
    memory: float
    wire: float
    disk: float
    latency: float = 5e-6  # seconds of a message between neighbours
    overlap: float = 1.0  # share of the backward pass in which the wire works beside; 0 where both need one processor
    gradient: int = 4  # bytes of a value as it travels


@dataclass(frozen=True)
class Forecast:
    """Seconds of one step of `batch` pictures over all processes, and what they consist of."""

    batch: int
    processes: int
    arithmetic: float
    activations: float
    update: float
    wire: float
    hidden: float  # of `wire`, behind the backward pass
    disk: float  # beside everything else: it counts where it is the longest

    @property
    def busy(self) -> float:
        return self.arithmetic + self.activations + self.update + self.wire - self.hidden

    @property
    def seconds(self) -> float:
        return max(self.busy, self.disk)

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.batch / self.seconds

    @property
    def limit(self) -> str:
        """What takes longest of what is not hidden."""
        shares = {
            "arithmetic": self.arithmetic,
            "memory": self.activations + self.update,
            "wire": self.wire - self.hidden,
        }
        return "disk" if self.disk > self.busy else max(shares, key=lambda name: shares[name])


def wire_seconds(values: int, machines: Machines) -> float:
    """An all-reduce of a gradient: around a ring 2(n - 1)/n of it passes each wire, in 2(n - 1) messages; along a tree
    twice the whole of it, in 2·log₂ n. The quicker of the two, as NCCL chooses."""
    n, size = machines.processes, values * machines.gradient
    if n == 1:
        return 0.0
    ring = 2 * (n - 1) / n * size / machines.wire + 2 * (n - 1) * machines.latency
    tree = 2 * size / machines.wire + 2 * math.log2(n) * machines.latency
    return min(ring, tree)


def forecast(work: Work, machines: Machines, batch: int) -> Forecast:
    """A step of `batch` pictures over all processes."""
    own = batch / machines.processes
    arithmetic, activations = own * work.flops / machines.flops, own * work.activations / machines.memory
    wire = wire_seconds(work.parameters, machines)
    return Forecast(
        batch=batch,
        processes=machines.processes,
        arithmetic=arithmetic,
        activations=activations,
        update=work.parameters * UPDATE_BYTES / machines.memory,
        wire=wire,
        hidden=min(wire, machines.overlap * BACKWARD * (arithmetic + activations)),
        disk=own * work.picture / machines.disk,
    )


# Assumed, not measured: an H200's data sheet (bfloat16 as measured by others, memory); four fifths of NVLink's 450 GB/s
# each way, of a network card of 400 Gb/s for each GPU, of a PCI Express 5 slot's 50 GB/s from the host's memory.
H200 = Machines(processes=1, flops=790e12, memory=4.8e12, wire=360e9, disk=40e9)
CLUSTER = (
    ("one H200", H200, 1024),
    ("8, one machine", replace(H200, processes=8), 8 * 1024),
    ("8, pictures from one disk of 12 GB/s", replace(H200, processes=8, disk=1.5e9), 8 * 1024),
    ("64, 8 machines", replace(H200, processes=64, wire=320e9), 64 * 512),
    ("64, one card of 100 Gb/s a machine", replace(H200, processes=64, wire=10e9), 64 * 512),
    ("1,024, 128 machines", replace(H200, processes=1024, wire=320e9), 1024 * 32),
    ("1,024, gradients in bfloat16", replace(H200, processes=1024, wire=320e9, gradient=2), 1024 * 32),
)


def imagenet_rows(work: Work, epochs: int = 90) -> list[tuple[str, ...]]:
    """The table of docs/scaling.md: machines, batch, a step and its parts in ms, pictures/s, share, minutes, limit."""
    rows = []
    alone = forecast(work, H200, 1024).rate
    for name, machines, batch in CLUSTER:
        found = forecast(work, machines, batch)
        memory, seen = found.activations + found.update, found.wire - found.hidden
        milliseconds = (found.seconds, found.arithmetic, memory, found.wire, seen, found.disk)
        rows.append(
            (
                name,
                f"{batch:,}",
                *(f"{1000 * seconds:.2f}" for seconds in milliseconds),
                f"{found.rate:,.0f}",
                f"{found.rate / alone / machines.processes:.0%}",
                f"{epochs * IMAGENET / found.rate / 60:.1f}",
                found.limit,
            )
        )
    return rows
