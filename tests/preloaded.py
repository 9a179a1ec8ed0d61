"""Runs `alexnet …` in forks of one process that has imported torch: as real as a process of its own, but for the second
or two that the imports take. What a process imports, and what it does with signals, is tested on real ones.

As a program: reads one request a line, forks, and answers with a line, the exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

AT_START = ("PYTHON", "LD_", "OMP_", "MKL_", "ATEN_", "TORCH")  # what is read as a process starts or imports
MODULES = ("torch", "alexnet.cli.main", "alexnet.run", "alexnet.use.predict", "matplotlib.backends.backend_agg")


def started_alike(environment: Mapping[str, str]) -> bool:
    """Whether a process with this environment imports what this one's does."""
    changed = {key for key in {*environment, *os.environ} if environment.get(key) != os.environ.get(key)}
    return not any(key.startswith(AT_START) for key in changed)


class Preloaded:
    """A process from which others are forked."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float, scratch: Path
    ) -> subprocess.CompletedProcess[str]:
        """Run `alexnet` with these arguments in a folder; raises TimeoutExpired after so many seconds."""
        files = {name: str(scratch / f"{name}-{os.getpid()}") for name in ("out", "err")}
        request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request | files | {"seconds": seconds}), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(["alexnet", *arguments], seconds)
        out, err = (Path(files[name]).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(["alexnet", *arguments], code, out, err)

    def stop(self) -> None:
        self._process.communicate()  # which closes what it reads from, so that it ends


def serve() -> None:
    """Fork for each request until there are no more."""
    for name in MODULES:
        __import__(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            become(request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(request: dict[str, Any]) -> None:
    """Do in this process what `python -m alexnet` does in a new one, and end it."""
    import atexit

    signal.alarm(round(request["seconds"]))
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["alexnet", *request["arguments"]]
    code: object = 1
    try:
        from alexnet.cli.main import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    serve()
