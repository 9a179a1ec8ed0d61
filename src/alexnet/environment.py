"""What this program runs on: versions, processor, devices, threads, and where it keeps its cache."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import alexnet


def cache_folder() -> Path:
    """Where this program keeps what it can make again: `$XDG_CACHE_HOME/alexnet`, by default `~/.cache/alexnet`."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "alexnet"


def devices() -> list[str]:
    """Every device that torch can compute on here."""
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def threads() -> int:
    """How many threads of this process torch computes with."""
    import torch

    return torch.get_num_threads()


def environment() -> dict[str, Any]:
    """What a run ran on: versions, processor, threads, command."""
    from importlib import metadata  # takes a tenth of the time of `alexnet --help`

    import torch

    packages = ("torch", "numpy", "pillow", "safetensors")
    return {
        "alexnet": alexnet.__version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads(),
        "devices": devices(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(torch.cpu._is_avx512_bf16_supported()),
        "command": command(sys.argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def leads() -> bool:
    """Whether this process speaks: the only one, or the first of those that torchrun started together."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK") == "0"


def command(arguments: Sequence[str]) -> list[str]:
    """A command as it was typed, but only the names of absolute paths: what is recorded may be published."""

    def name(text: str) -> str:
        return Path(text).name if os.path.isabs(text) else text

    typed = ["=".join(map(name, argument.split("="))) for argument in arguments]  # --out=/there too
    return ["alexnet", *typed[1:]] if typed[:1] == ["__main__.py"] else typed


def processor() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory() -> int:
    """Most bytes that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


KEPT = 2**25  # bytes of the largest block that the C library can be told to keep, unless it is to keep all


def keep_memory(all_sizes: bool = False) -> None:
    """Tell the C library to keep freed memory instead of giving it back to the system: blocks up to KEPT, or all.

    Activations are allocated and freed anew each step; fetching their pages again cost a third of the step on Linux.
    In use larger blocks do go back, so that a picture whose head claims too much leaves nothing behind.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        trim_threshold, mmap_threshold, mmap_max = -1, -3, -4
        mallopt(mmap_threshold, KEPT)
        mallopt(trim_threshold, -1)
        if all_sizes:
            mallopt(mmap_max, 0)
