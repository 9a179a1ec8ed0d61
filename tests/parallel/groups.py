"""Groups of processes that torchrun starts, and faults from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent


class Torchrun:
    """Starts groups of processes, and ends those that a test has left."""

    def __init__(self, cache: Path) -> None:
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache)}
        self.started: list[subprocess.Popen[str]] = []

    def start(
        self, size: int, *command: str | Path, options: Sequence[str] = (), before: Sequence[str] = (), **more: str
    ) -> subprocess.Popen[str]:
        """`torchrun --nproc-per-node SIZE OPTIONS COMMAND`: a script of this folder and its arguments."""
        run = [*before, sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size), *options]
        script, *arguments = command
        whole = [*run, str(HERE / script), *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        self.started.append(subprocess.Popen(whole, env=self.environment | more, **pipes))
        return self.started[-1]

    @staticmethod
    def end(process: subprocess.Popen[str], timeout: float = 300) -> tuple[int, str, list[str]]:
        """Exit code, standard output, and the lines of the program, without torchrun's own."""
        out, said = process.communicate(timeout=timeout)
        return process.returncode, out, [line for line in said.splitlines() if not line.startswith((" ", "W1", "E1"))]

    def stop(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                process.communicate()


def ranks(run: Path) -> dict[int, int]:
    """Process of each rank that works on a run, from the system's table."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if not entry.name.isdigit() or str(run).encode() not in command or b"torch.distributed.run" in command:
                continue
            variables = dict(pair.split(b"=", 1) for pair in (entry / "environ").read_bytes().split(b"\0") if pair)
            found[int(variables[b"RANK"])] = int(entry.name)
        except (OSError, KeyError):
            continue
    return found


def wait_for_checkpoint(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has a checkpoint of that step or a later one."""
    while not any(int(path.parent.name) >= step for path in run.glob("checkpoint/*/state.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
