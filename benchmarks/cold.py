"""From the command to the answer: `python benchmarks/cold.py MODEL PICTURE` writes results/bench-cold.json.

`alexnet predict` on one picture and `python -c "import torch"`, in turn, in processes of their own; then where the time
of a prediction goes, piece by piece.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from record import record

TURNS = 9

PIECES = """
import gc, json, sys, time
gc.set_threshold(100_000)
found, began = {}, time.perf_counter()
def lap(name):
    global began
    found[name], began = 1000 * (time.perf_counter() - began), time.perf_counter()
import alexnet.cli.main; lap("command line")
import alexnet.use.predict; lap("pictures and numpy")
import torch; lap("torch")
import alexnet.network.inference, safetensors.torch; lap("network and safetensors")
model = alexnet.load(sys.argv[1]); lap("map and check the weights")
views = model.preprocess(sys.argv[2]); lap("decode and scale the picture")
model.logits(views); lap("compute")
print(json.dumps(found))
"""


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main(model: str, picture: str) -> None:
    python = sys.executable
    ways = {
        "import torch": [python, "-c", "import torch"],
        "alexnet predict": [python, "-m", "alexnet", "predict", picture, "--model", model],
        "alexnet --help": [python, "-m", "alexnet", "--help"],
    }
    turns: dict[str, list[float]] = {name: [] for name in ways}
    pieces: list[dict[str, float]] = []
    for _ in range(TURNS):
        for name, command in ways.items():
            turns[name].append(seconds(command))
        answer = subprocess.run([python, "-c", PIECES, model, picture], check=True, capture_output=True, text=True)
        pieces.append(json.loads(answer.stdout))
    medians = {name: statistics.median(found) for name, found in turns.items()}
    figures = {
        "seconds": medians,
        "ratio": medians["alexnet predict"] / medians["import torch"],
        "pieces_ms": {name: statistics.median(found[name] for found in pieces) for name in pieces[0]},
        "model_bytes": Path(model).stat().st_size,
        "turns": TURNS,
    }
    record("bench-cold", figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
