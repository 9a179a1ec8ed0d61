"""From the command to the answer: `python benchmarks/cold.py MODEL PICTURE` writes results/bench-cold.json.

`alexnet predict` on one picture, with the model, with its int8 export to ONNX and with the model in the box, and
`python -c "import torch"`, in turn, in processes of their own; then where the time of a prediction goes, piece by
piece.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

from alexnet.weights import files

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
if sys.argv[1].endswith(".onnx"):
    import onnxruntime; lap("ONNX Runtime")
else:
    import torch; lap("torch")
    import alexnet.network.inference, safetensors.torch; lap("network and safetensors")
model = alexnet.load(sys.argv[1]); lap("load and check the weights")
views = model.preprocess(sys.argv[2]); lap("decode and scale the picture")
model.logits(views); lap("compute")
print(json.dumps(found))
"""


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def pieces(model: str, picture: str) -> dict[str, float]:
    """Milliseconds of each step of a prediction."""
    answer = subprocess.run([sys.executable, "-c", PIECES, model, picture], check=True, capture_output=True, text=True)
    return dict(json.loads(answer.stdout))


def main(model: str, picture: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        onnx = str(Path(folder) / "model.onnx")
        alexnet = [sys.executable, "-m", "alexnet"]
        subprocess.run([*alexnet, "export", model, "--to", "onnx", "--int8", "--out", onnx], check=True)
        boxed = str(files.BOX)
        models = {
            "alexnet predict": model,
            "alexnet predict, int8 ONNX": onnx,
            "alexnet predict, model in the box": boxed,
        }
        ways = {
            "import torch": [sys.executable, "-c", "import torch"],
            **{
                name: [*alexnet, "predict", picture, *([] if file == boxed else ["--model", file])]
                for name, file in models.items()
            },
            "alexnet --help": [*alexnet, "--help"],
        }
        turns: dict[str, list[float]] = {name: [] for name in ways}
        steps: dict[str, list[dict[str, float]]] = {name: [] for name in models}
        for _ in range(TURNS):
            for name, command in ways.items():
                turns[name].append(seconds(command))
            for name, file in models.items():
                steps[name].append(pieces(file, picture))
        sizes = {name: Path(file).stat().st_size for name, file in models.items()}
    medians = {name: statistics.median(found) for name, found in turns.items()}
    figures = {
        "seconds": medians,
        "ratio": {name: medians[name] / medians["import torch"] for name in models},
        "pieces_ms": {
            name: {step: statistics.median(turn[step] for turn in found) for step in found[0]}
            for name, found in steps.items()
        },
        "model_bytes": sizes,
        "turns": TURNS,
    }
    record("bench-cold", figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
