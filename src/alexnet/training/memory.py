"""How much memory training takes, counted from the layer list, and which batch fits: said before it is missed."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from alexnet.errors import UsageError
from alexnet.network.architecture import Variant, walk
from alexnet.training.optimizer import BUFFERS
from alexnet.training.parallel.execution import held
from alexnet.training.recipe import Recipe

CONTAINER = Path("/sys/fs/cgroup")
ENGINE = 700 * 2**20  # torch itself, after import and first use


def fixed_bytes(variant: Variant, size: int, recipe: Recipe, processes: int = 1) -> int:
    """Weights, gradients and the optimizer's buffers of one process, all float32."""
    return ENGINE + 4 * held(recipe, variant, size, processes) * (2 + BUFFERS[recipe.update])


def picture_bytes(variant: Variant, size: int, stored: int) -> int:
    """One picture's activations kept for the backward pass and their gradients, float32, and its pixels."""
    activations = sum(math.prod(row.output) for row in walk(variant, size))
    return 4 * activations * 3 // 2 + 3 * (stored**2 + 8 * size**2)


def available_bytes(device: torch.device) -> int | None:
    """Memory that can still be had on the device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        machine = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except OSError:
        return None
    try:  # a container may have less than its machine
        limit, used = (int((CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        return min(machine, limit - used)
    except (OSError, ValueError):  # there is no container, or it has no limit: "max"
        return machine


def fitting_batch(
    variant: Variant, size: int, stored: int, recipe: Recipe, device: torch.device, processes: int = 1
) -> int | None:
    """The largest batch whose forecast fits into the memory available, rounded down to a power of two.

    Of several processes those of this machine share its memory, unless each has a GPU."""
    available = available_bytes(device)
    if available is None:
        return None
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if processes > 1 and device.type == "cpu" else 1
    room = available // beside - fixed_bytes(variant, size, recipe, processes)
    batch = processes * (room // picture_bytes(variant, size, stored))
    return 2 ** int(math.log2(batch)) if batch >= 1 else 0


def out_of_memory(
    variant: Variant, size: int, stored: int, recipe: Recipe, device: torch.device, processes: int = 1
) -> UsageError:
    """The error that names a batch size that fits."""
    fits = fitting_batch(variant, size, stored, recipe, device, processes)
    remedy = f"--set batch_size={fits} fits" if fits else "free some memory or lower --set batch_size"
    return UsageError(f"not enough memory to train {variant.name} with batch_size={recipe.batch_size}: {remedy}")


def check(variant: Variant, size: int, stored: int, recipe: Recipe, device: torch.device, processes: int = 1) -> None:
    """Raise UsageError, naming the batch size that fits, when the forecast exceeds the memory available."""
    fits = fitting_batch(variant, size, stored, recipe, device, processes)
    if fits is not None and recipe.batch_size >= 2 * max(1, fits):
        raise out_of_memory(variant, size, stored, recipe, device, processes)
