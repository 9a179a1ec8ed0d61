"""What compression costs: top-1 against ratio, for several trained models; writes results/compression.json.

    python benchmarks/compression.py cats-and-dogs.tar RUN... --work /tmp/compression --ratios 35 --curve 20 70 140

Each model is compressed once at each of the ratios, and the first one also at those of the curve. What is done already
in the folder is taken from there, so that a call goes on where the last one ended. The curve:
docs/pictures/compression.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from record import RESULTS, record

from alexnet.environment import keep_memory
from alexnet.insight.reports.plots import write
from alexnet.pictures.layout import TEST
from alexnet.training import retraining
from alexnet.use.compress import compress
from alexnet.weights import files, torch_engine

CURVE = RESULTS.parent / "docs" / "pictures" / "compression.png"


def measure(run: Path, data: str, ratio: float, epochs: int, work: Path) -> dict[str, Any]:
    """One model at one ratio: as `alexnet compress --json`, with the seconds it took and those of decoding."""
    answer = work / f"{run.name}-{ratio:g}-{epochs}.json"
    if not answer.exists():
        started = time.monotonic()
        found = compress(run, data, answer.with_suffix(".safetensors"), ratio, epochs)
        assert found["split"] == TEST
        seconds = {"seconds": time.monotonic() - started, "decode_seconds": decoding(Path(found["path"]))}
        answer.write_text(
            json.dumps({"run": run.name, "asked": ratio, "epochs": epochs} | found | {"path": answer.stem} | seconds)
        )
    found = json.loads(answer.read_text())
    assert isinstance(found, dict)
    return found


def decoding(path: Path, times: int = 5) -> float:
    """Seconds from the file's parts to tensors, median; blocks of memory are kept, as where a model is loaded."""
    keep_memory()
    description = files.describe(path)
    stored = {name: tensor.clone() for name, tensor in files.tensors(path).items()}
    expected = dict(torch_engine.skeleton(description.variant, description.input.size).state_dict())
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        torch_engine.decoded(path, stored, expected)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def paired(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and deviation of what top-1 loses, in points, over models compressed alike."""
    lost = [100 * (row["top1_before"] - row["top1_after"]) for row in rows]
    spread = statistics.stdev(lost) if len(lost) > 1 else None
    return {"models": len(lost), "ratio": statistics.mean(r["ratio"] for r in rows), "lost": lost, "deviation": spread}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for run in sorted({row["run"] for row in rows}):
        own = sorted((row for row in rows if row["run"] == run), key=lambda row: row["ratio"])
        points = np.array([(row["ratio"], 100 * (row["top1_after"] - row["top1_before"])) for row in own])
        axis.plot(*points.T, marker="o", markersize=4, label=f"{run}: {own[0]['top1_before']:.2%} before")
    axis.axhline(-0.3, color="grey", linestyle=":", label="the goal: at 30 times, 0.3 points lost at most")
    axis.set(xscale="log", xlabel="times smaller than in float32", ylabel="test top-1, points gained or lost")
    axis.set_xticks([20, 35, 70, 140], ["20", "35", "70", "140"])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    write(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ratios", nargs="+", type=float, default=[35])
    parser.add_argument("--epochs", type=int, default=retraining.EPOCHS)
    parser.add_argument("--out", default="compression", help="name of the file in results/")
    parser.add_argument("--curve", nargs="*", type=float, default=[20, 70, 140])
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    wanted = [(run, ratio) for ratio in given.ratios for run in given.runs]
    wanted += [(given.runs[0], ratio) for ratio in given.curve]
    rows = [measure(run, given.data, ratio, given.epochs, given.work) for run, ratio in wanted]
    summary = {f"{ratio:g}": paired([row for row in rows if row["asked"] == ratio]) for ratio in given.ratios}
    record(given.out, {"summary": summary, "rows": rows})
    if given.curve:
        draw(rows, CURVE)


if __name__ == "__main__":
    main()
