"""Searching an index: `python benchmarks/neighbours.py [ROWS]` writes results/neighbours.json. Needs 2 GB of disk.

ROWS (100,000 unless given) vectors of 4,096 values as a ReLU gives them, drawn around 500 centres, in a folder as
`alexnet features` writes it. Each turn is a process of its own that opens the folder and searches it; the file is in
the system's page cache by then, the process has mapped nothing yet. The answers for eight queries are compared with
those of computing every distance in float64.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import record

from alexnet.insight.features import folder as feature_folder
from alexnet.insight.features.folder import State, Unfinished
from alexnet.insight.features.neighbours import Index

SIZE, CENTRES, TURNS, COUNT, CHUNK = 4096, 500, 7, 8, 1000
QUERIES = (1, 8, 32)

SEARCH = """
import json, sys, time
import numpy as np
from alexnet.insight.features.neighbours import Index
folder, queries, metric, count = sys.argv[1:]
began = time.perf_counter()
index = Index.open(folder)
opened = time.perf_counter()
vectors = np.load(folder + "/queries.npy")[:int(queries)]
times = []
for _ in range(3):
    start = time.perf_counter()
    index.search(vectors, int(count), metric)
    times.append(time.perf_counter() - start)
print(json.dumps({"open": opened - began, "first": times[0], "again": min(times[1:])}))
"""


def drawn(rng: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
    noise = rng.standard_normal((count, SIZE), dtype=np.float32)
    return np.maximum(0, centres[rng.integers(0, len(centres), count)] + noise)


def write(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CENTRES, SIZE), dtype=np.float32)
    model = {"name": "none", "sha256": ""}
    plan = {"format": feature_folder.FORMAT, "model": model, "layers": {"fc7": [SIZE]}, "form": "npy", "places": {}}
    folder.mkdir()
    writing = Unfinished(folder, plan, State())
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        entries = [(f"{start + number}.png", None, None) for number in range(count)]
        writing.append(entries, {"fc7": drawn(rng, centres, count)})
    writing.keep()
    writing.close()
    feature_folder.write_json(folder / feature_folder.DOCUMENT, plan | {"rows": rows, "refused": 0, "code": 0})
    np.save(folder / "queries.npy", drawn(rng, centres, max(QUERIES)))


def seconds(folder: Path, queries: int, metric: str) -> dict[str, float]:
    command = [sys.executable, "-c", SEARCH, str(folder), str(queries), metric, str(COUNT)]
    turns = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(TURNS)]
    return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}


def agreement(folder: Path, metric: Any) -> dict[str, Any]:
    """Of rows with those of computing every distance in float64, a block at a time."""
    index, queries = Index.open(folder), np.load(folder / "queries.npy")[:8]
    distances, rows = index.search(queries, COUNT, metric)
    every = np.empty((len(queries), len(index)))
    for start in range(0, len(index), CHUNK):
        block = index.vectors[start : start + CHUNK].astype(np.float64)
        for place, query in enumerate(queries.astype(np.float64)):
            if metric == "euclidean":
                found = np.sqrt(((block - query) ** 2).sum(1))
            else:
                found = 1 - (block * query).sum(1) / np.sqrt((block**2).sum(1) * (query**2).sum())
            every[place, start : start + CHUNK] = found
    expected = np.argsort(every, axis=1, kind="stable")[:, :COUNT]
    off = np.abs(distances - np.take_along_axis(every, expected, 1)).max()
    return {"same_rows": bool(np.array_equal(rows, expected)), "largest_difference": float(off)}


def main(rows: int = 100_000) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "index"
        write(folder, rows)
        found = {
            metric: {
                "seconds": {f"{queries} queries": seconds(folder, queries, metric) for queries in QUERIES},
                "beside_float64": agreement(folder, metric),
            }
            for metric in ("euclidean", "cosine")
        }
    figures = {"rows": rows, "values": SIZE, "bytes": 4 * rows * SIZE, "count": COUNT, "turns": TURNS}
    record("neighbours", figures | found)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
