"""Kernels in C: each built on this machine for its processor, once, where it pays. Without one its caller has another
way to the same."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from alexnet.environment import cache_folder, processor

FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
TELLING = ("model name", "flags", "Features", "CPU part")  # lines of /proc/cpuinfo
SECONDS = 60  # that a compiler may take
NONE = (OSError, RuntimeError, subprocess.SubprocessError)  # no compiler, room, permission; no home, so no cache


class Kernel(NamedTuple):
    """A C source beside the module that calls it, and what its compiler is told beyond FLAGS."""

    package: str
    name: str
    flags: tuple[str, ...]


RESPONSE_NORM = Kernel("alexnet.network", "response_norm", ("-fopenmp",))  # loads only where torch is, see below
SCALING = Kernel("alexnet.pictures", "scaling", ("-ffp-contract=off",))


@cache
def loaded(kernel: Kernel) -> ctypes.CDLL | None:
    """A compiled kernel, if `build` has put it into the cache."""
    try:
        return ctypes.CDLL(str(_library(kernel)))
    except NONE:
        return None


def build(kernel: Kernel) -> bool:
    """Compile a kernel unless the cache has it; whether there is one now. A second, once; never for prediction."""
    try:
        library = _library(kernel)
        if platform.system() == "Linux" and not library.exists():
            _compile(kernel, library)
            loaded.cache_clear()
    except NONE:
        return False
    return loaded(kernel) is not None


def _library(kernel: Kernel) -> Path:
    """Its place in the cache, named after all that it depends on."""
    key = b"\0".join([_source(kernel), " ".join(FLAGS + kernel.flags).encode(), _processor().encode()])
    return cache_folder() / "kernels" / f"{kernel.name}-{hashlib.sha256(key).hexdigest()[:16]}.so"


def _processor() -> str:
    """What tells processors apart that would not run each other's code: a cache may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return processor()
    return "\n".join(sorted({line for line in lines if line.startswith(TELLING)}))


def _source(kernel: Kernel) -> bytes:
    return resources.files(kernel.package).joinpath(f"{kernel.name}.c").read_bytes()


def _compile(kernel: Kernel, library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        _run_compiler(kernel, Path(folder))
        (Path(folder) / "kernel.so").rename(library)  # processes may race: a rename is atomic


def _run_compiler(kernel: Kernel, folder: Path) -> None:
    (folder / "kernel.c").write_bytes(_source(kernel))
    compiler = os.environ.get("CC", "cc")
    # Two steps: compiled for OpenMP but linked without its library, a kernel runs on the threads that torch has.
    for arguments in (
        [*FLAGS, *kernel.flags, "-c", "kernel.c", "-o", "kernel.o"],
        ["-shared", "kernel.o", "-o", "kernel.so", "-lm"],
    ):
        subprocess.run([compiler, *arguments], cwd=folder, check=True, capture_output=True, timeout=SECONDS)
