"""Commands as real processes: from a script of the shell, on a terminal, in a mounted folder."""

from __future__ import annotations

import os
import platform
import pty
import re
import shlex
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

from in_process import Answer

ALEXNET = f'alexnet() {{ {shlex.quote(sys.executable)} -m alexnet "$@"; }}\n'
COLOURS = re.compile(r"\x1b\[[\d;]*(?:3[0-7]|9[0-7])[\d;]*m")
MAY_MOUNT = (
    platform.system() == "Linux"
    and os.geteuid() == 0
    and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
)


def shell(script: str, folder: Path, **environment: str | None) -> Answer:
    """What bash says to a script in which `alexnet` stands for the program; None takes a variable away."""
    changed = {**os.environ, **environment}
    left = {name: value for name, value in changed.items() if value is not None}
    command = ["bash", "-c", ALEXNET + script]
    done = subprocess.run(command, capture_output=True, env=left, cwd=folder, timeout=300)
    return Answer(done.returncode, *(text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr)))


def on_a_terminal(line: list[str], folder: Path, columns: int, **environment: str) -> tuple[int, str]:
    """How a command ends, and what it writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    command = [sys.executable, "-m", "alexnet", *line]
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    process = subprocess.Popen(command, **streams, cwd=folder, env={**given, "TERM": "xterm", **environment})
    os.close(slave)
    said = b""
    with suppress(OSError):  # the other side is closed
        while chunk := os.read(master, 2**16):
            said += chunk
    os.close(master)
    return process.wait(timeout=300), said.decode()
