"""Commands run in this process, which a thousand of them could not be each in one of its own."""

from __future__ import annotations

import gc
import io
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str | Path) -> Answer:
    """`alexnet …`, here: the program's own main, with streams like a process's."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    before = sys.stdout, sys.stderr, signal.getsignal(signal.SIGTERM), gc.get_threshold()
    sys.stdout, sys.stderr = streams
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(60)
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code
    finally:
        signal.alarm(0)
        sys.stdout, sys.stderr = before[:2]
        signal.signal(signal.SIGTERM, before[2])
        gc.set_threshold(*before[3])
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    return Answer(code, out, err)


def _too_long(*_: object) -> None:
    raise TimeoutError("the command still runs after a minute")
