"""Features beside plain prediction: `python benchmarks/features.py MODEL PICTURES` writes results/features.json.

The same files, from decoding to the last byte written, through `alexnet predict` and `alexnet features`, in turn, each
in a process of its own and without the time for loading the model; in each precision. Then the memory that a process
takes for the pictures once and eight times over. PICTURES is a folder with some hundreds of them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from record import record

TURNS = 5
LAYERS = {"relu7": ["relu7"], "pool5, relu6, relu7": ["pool5", "relu6", "relu7"]}

PREDICT = """
import json, sys, time
import alexnet
from alexnet.use import predict
model, precision, pictures = sys.argv[1:]
loaded = alexnet.load(model, precision=precision)
list(predict.predict(loaded, [pictures]))  # once, so that files and memory are warm
began = time.perf_counter()
entries = list(predict.predict(loaded, [pictures] * 2))
print(json.dumps({"pictures_per_second": len(entries) / (time.perf_counter() - began)}))
"""
FEATURES = """
import json, resource, sys
from alexnet.insight.features.extract import extract
model, precision, pictures, out, layers, times = sys.argv[1:]
names = layers.split(",")
for turn in range(2):
    found = extract(model, [pictures] * int(times), out, names, precision=precision, force=True)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"pictures_per_second": found["pictures_per_second"], "memory": memory, "rows": found["rows"]}))
"""


def process(code: str, *arguments: str) -> dict[str, Any]:
    answer = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return dict(json.loads(answer.stdout))


def speed(model: str, pictures: str, precision: str, out: str) -> dict[str, Any]:
    """Pictures per second of each way, the median of the turns, and features as a share of prediction."""
    turns: dict[str, list[float]] = {"predict": [], **{name: [] for name in LAYERS}}
    for _ in range(TURNS):
        turns["predict"].append(process(PREDICT, model, precision, pictures)["pictures_per_second"])
        for name, layers in LAYERS.items():
            found = process(FEATURES, model, precision, pictures, out, ",".join(layers), "2")
            turns[name].append(found["pictures_per_second"])
    medians = {name: statistics.median(found) for name, found in turns.items()}
    shares = {name: medians[name] / medians["predict"] for name in LAYERS}
    return {"pictures_per_second": medians, "share_of_prediction": shares, "turns": turns}


def main(model: str, pictures: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/features"
        speeds = {precision: speed(model, pictures, precision, out) for precision in ("float32", "auto")}
        grown = [process(FEATURES, model, "float32", pictures, out, "fc7", times) for times in ("1", "8")]
    memory = [{"pictures": found["rows"], "bytes": found["memory"]} for found in grown]
    record("features", {"precisions": speeds, "memory": memory, "pictures": memory[0]["pictures"]})


if __name__ == "__main__":
    main(*sys.argv[1:])
