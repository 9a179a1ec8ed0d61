"""The Ray engine beside the local one: `python benchmarks/cluster.py MODEL PICTURES` writes results/bench-ray.json.

The pictures of a folder, four times over or as often as a third argument says, through `alexnet predict` with either
engine, in turn, each in a process of its own and on all cores. What counts is from the first answers on, since starting
costs once; it is given too. Not named after Ray, whose place it would take among the modules here.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from importlib.metadata import version
from typing import Any

from record import record

TURNS = 5

CODE = """
import json, sys, time
from contextlib import nullcontext
from itertools import chain
import alexnet
from alexnet.pictures.inputs import listed
from alexnet.pictures.limits import LIMITS
from alexnet.use import predict
model, name, *inputs = sys.argv[1:]
began = time.perf_counter()
if name == "ray":
    from alexnet.use import cluster
    engine = cluster.engine(None, model)
else:
    engine = nullcontext()
loaded, times, marks = alexnet.load(model), [], []
with engine as spread:
    for number, entry in enumerate(predict.predict(loaded, inputs, spread=spread)):
        times.append(time.perf_counter())
        assert "error" not in entry, entry
# Answers come many at a time: from the end of the first such burst to the last answer.
first = next(n for n in range(1, len(times)) if times[n] - times[n - 1] > 0.02)
rate = (len(times) - first) / (times[-1] - times[first - 1])
print(json.dumps({"pictures_per_second": rate, "start": times[first - 1] - began, "pictures": len(times)}))
"""


def process(model: str, engine: str, inputs: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-c", CODE, model, engine, *inputs]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main(model: str, pictures: str, times: str = "4") -> None:
    turns: dict[str, list[dict[str, Any]]] = {"local": [], "ray": []}
    for _ in range(TURNS):
        for engine, found in turns.items():
            found.append(process(model, engine, [pictures] * int(times)))
    medians = {
        what: {engine: statistics.median(turn[what] for turn in found) for engine, found in turns.items()}
        for what in ("pictures_per_second", "start")
    }
    rates = medians["pictures_per_second"]
    figures = {
        "pictures_per_second": rates,
        "ray_share_of_local": rates["ray"] / rates["local"],
        "seconds_to_first_answers": medians["start"],
        "pictures": turns["local"][0]["pictures"],
        "ray": version("ray"),
        "turns": turns,
    }
    record("bench-ray", figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
