"""Real training processes, faults from outside, and what is compared of how runs ended."""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STEPS = 54  # 16 epochs of 54 pictures in batches of 16
INTERVAL = 3  # steps between checkpoints
SMALL = ("--variant", "lenet-5", "--epochs", "16", "--set", "batch_size=16", "--set", f"checkpoint_steps={INTERVAL}")

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="faults are injected with strace: not installed")
needs_mount = pytest.mark.skipif(
    platform.system() != "Linux" or os.geteuid() != 0, reason="small file systems are mounted: needs root on Linux"
)


@dataclass(frozen=True)
class Ending:
    """What may not differ between runs: digests of both models and of the last checkpoint's tensors, the optimizer's
    among them (None where the run has none any more); history.csv without `seconds`."""

    best: str
    last: str
    history: tuple[tuple[str, ...], ...]
    tensors: str | None

    @property
    def models(self) -> tuple[str, str, tuple[tuple[str, ...], ...]]:
        """All but the checkpoint, which a finished run has none of."""
        return self.best, self.last, self.history


def ending(run: Path) -> Ending:
    """How a run ended."""
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    history = tuple(tuple(value for key, value in row.items() if key != "seconds") for row in rows)
    checkpoint = run / "checkpoint" / f"{STEPS:09d}" / "tensors.safetensors"
    return Ending(
        digest(run / "best.safetensors"),
        digest(run / "last.safetensors"),
        history,
        digest(checkpoint) if checkpoint.exists() else None,
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def litter(run: Path) -> list[Path]:
    """Files that only a writer in the middle of its work should have."""
    return [path for path in run.rglob("*") if "partial" in path.name]


def newest(run: Path) -> int:
    """Step of the newest checkpoint that is complete, or 0."""
    return max((int(path.parent.name) for path in run.glob("checkpoint/*/state.json")), default=0)


def history_step(run: Path) -> int:
    """The step of the last row of a run's history."""
    return int((run / "history.csv").read_text().splitlines()[-1].split(",")[1])


@dataclass(frozen=True)
class Said:
    """How a process ended, and the lines it said on its error stream."""

    code: int
    lines: list[str]

    @property
    def last(self) -> str:
        return self.lines[-1]


class Lab:
    """Starts `python -m alexnet train …` as processes, and waits for them."""

    def __init__(
        self, photos: Path, cache: Path, settings: Sequence[str] = SMALL, on_resume: Sequence[str] = ()
    ) -> None:
        self.photos, self.settings, self.on_resume = photos, settings, on_resume
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
        self.started: list[subprocess.Popen[str]] = []

    def begin(self, run: Path, *more: str | Path, fault: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        """A new run."""
        return self._start([self.photos, *self.settings, "--out", run, *more], fault, **options)

    def resume(self, run: Path, *more: str | Path, fault: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        """Go on with a run."""
        return self._start(["--resume", run, *self.on_resume, *more], fault, **options)

    def _start(
        self, arguments: Sequence[Any], fault: Sequence[str], program: Sequence[str] = ("-m", "alexnet"), **options: Any
    ) -> subprocess.Popen[str]:
        command = [*fault, sys.executable, *program, "train", *map(str, arguments)]
        environment = self.environment | options.pop("environment", {})
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self.started.append(subprocess.Popen(command, env=environment, **pipes, **options))
        return self.started[-1]

    @staticmethod
    def end(process: subprocess.Popen[str]) -> Said:
        """Wait for a process to end."""
        _, said = process.communicate(timeout=300)
        assert "Traceback" not in said, said
        return Said(process.returncode, said.splitlines())

    def go_on(self, run: Path, fault: Sequence[str] = ()) -> subprocess.Popen[str]:
        """The one command after a kill: resume, or what was asked first where nothing had come of it."""
        return (self.resume if (run / "config.json").exists() else self.begin)(run, fault=fault)

    def to_the_last_file(self, run: Path) -> Ending:
        """Let a run do everything but write result.json, after which its checkpoints would be dropped."""
        last = run / "result.json"
        if (run / "config.json").exists():
            last.unlink(missing_ok=True)  # the kill may have come after it
            last.mkdir()
            process = self.go_on(run)
        else:
            process = self.go_on(run)
            wait_for(run / "config.json", process)
            last.mkdir()
        said = self.end(process)
        assert said.code == 7 and "result.json" in said.last, said
        last.rmdir()
        return ending(run)

    def stop(self) -> None:
        """End whatever a test that failed has left."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a process has written a file."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def strace(fault: str, path: Path | None = None) -> list[str]:
    """Run what follows with a fault at a system call, `fsync:error=EIO:when=3`; where it concerns `path` alone, if that
    is given."""
    calls = fault.partition(":")[0]
    options = ["-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={fault}"]
    return ["strace", *options, *(["-P", str(path)] if path else [])]


def pid(process: subprocess.Popen[str]) -> int:
    """Of the training process, which strace may be the parent of."""
    assert isinstance(process.args, list)
    if process.args[0] != "strace":
        return process.pid
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL for the training process; strace, which would sit out its delay, goes with it."""
    os.kill(pid(process), signal.SIGKILL)
    process.kill()
    process.communicate()


def partial(path: Path) -> Path:
    """What a file is called while it is being written."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def held_before(path: Path, seconds: int = 60) -> list[str]:
    """Run what follows so that it stands still when a file that it has written is to get its name."""
    return strace(f"rename:delay_enter={1000000 * seconds}", partial(path))


def wait_until_held(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a process stands still before the renaming of a file."""
    wait_for(partial(path), process)
    time.sleep(0.3)  # from the file's first byte to its renaming it takes a few milliseconds
    assert partial(path).exists()
