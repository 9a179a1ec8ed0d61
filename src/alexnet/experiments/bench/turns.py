"""Ways of computing (`ways`), timed in processes of their own, in turn, since how memory is kept belongs to a process;
what counts is the median of the turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from alexnet import errors
from alexnet.errors import AlexNetError
from alexnet.progress import say

Figures = dict[str, float]


def in_turn(ways: dict[str, list[str]], turns: int) -> dict[str, Figures]:
    """Each way's figures, the median over its turns."""
    collected: dict[str, list[Figures]] = {way: [] for way in ways}
    for turn in range(turns):
        for way, arguments in ways.items():
            collected[way].append(process(arguments))
            say(f"turn {turn + 1} of {turns}, {way}: {1000 * collected[way][-1]['seconds']:.1f} ms")
    return {
        way: {key: statistics.median(turn[key] for turn in found) for key in found[0]}
        for way, found in collected.items()
    }


def process(arguments: list[str]) -> Figures:
    command = [sys.executable, "-m", "alexnet.experiments.bench.ways", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.splitlines() or ["ended without a word"])[-1]
        kind, _, message = last.partition(": ")
        if kind.startswith("alexnet.errors."):
            raise getattr(errors, kind.rpartition(".")[2])(message)
        raise AlexNetError(f"{' '.join(arguments)}: {last}")
    return dict(json.loads(done.stdout))
