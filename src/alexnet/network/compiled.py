"""The one kernel in C: built on this machine for its processor, once, when training starts."""

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

from alexnet.environment import cache_folder, processor

SOURCE = "response_norm.c"
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
SECONDS = 60  # that a compiler may take


class Shape(ctypes.Structure):
    """As in the C source: rows, columns of a row, channels of a column, half the window; the formula's constants."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("rows", "columns", "channels", "half")),
        *((name, ctypes.c_float) for name in ("alpha", "beta", "k")),
    )


@cache
def kernel() -> ctypes.CDLL | None:
    """The compiled kernel, if `build` has put one into the cache; else None, and torch computes the same."""
    try:
        return ctypes.CDLL(str(_library()))
    except OSError:
        return None


def build() -> bool:
    """Compile the kernel unless the cache has it; whether there is one now. A second, once; never for prediction."""
    library = _library()
    if platform.system() == "Linux" and not library.exists():
        try:
            _compile(library)
        except (OSError, subprocess.SubprocessError):  # no compiler, no room, no permission: torch does it too
            return False
        kernel.cache_clear()
    return kernel() is not None


def _library() -> Path:
    """Its place in the cache, named after all that it depends on."""
    key = b"\0".join([_source(), " ".join(FLAGS).encode(), processor().encode()])
    return cache_folder() / "kernels" / f"response_norm-{hashlib.sha256(key).hexdigest()[:16]}.so"


def _source() -> bytes:
    return resources.files("alexnet.network").joinpath(SOURCE).read_bytes()


def _compile(library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        _run_compiler(Path(folder))
        (Path(folder) / "kernel.so").rename(library)  # processes may race: a rename is atomic


def _run_compiler(folder: Path) -> None:
    (folder / SOURCE).write_bytes(_source())
    compiler = os.environ.get("CC", "cc")
    # Two steps: compiled for OpenMP but linked without its library, the kernel runs on the threads that torch has.
    for arguments in (
        [*FLAGS, "-c", SOURCE, "-o", "kernel.o"],
        ["-shared", "kernel.o", "-o", "kernel.so", "-lm"],
    ):
        subprocess.run([compiler, *arguments], cwd=folder, check=True, capture_output=True, timeout=SECONDS)
