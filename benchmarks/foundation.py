"""What the log says about memory and crops, measured: `python benchmarks/foundation.py` writes results/foundation.json.

Each figure is the median of several alternations. Run it on a quiet machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

import torch
from record import record
from torch.nn import functional as F

from alexnet.environment import keep_memory
from alexnet.experiments.bench.ways import median_seconds
from alexnet.network.model import build
from alexnet.training.augment import resize

BATCH = 64


def step() -> float:
    """One training step of `batch-norm` at 227 pixels, batch 64, in bfloat16: milliseconds."""
    network = build("batch-norm", classes=10)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    pictures = torch.randn(BATCH, 227, 227, 3).permute(0, 3, 1, 2)
    labels = torch.randint(0, 10, (BATCH,))

    def once() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(network(pictures).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return 1000 * median_seconds(once, 10)


def crops() -> dict[str, float]:
    """Scaling a 200-pixel rectangle to 227, milliseconds a picture, two ways."""
    pictures = torch.randint(0, 256, (BATCH, 256, 256, 3), dtype=torch.uint8)
    theta = torch.eye(2, 3).repeat(BATCH, 1, 1) * 0.8
    planes = pictures.permute(0, 3, 1, 2).float().contiguous()

    def sampled() -> torch.Tensor:
        grid = F.affine_grid(theta, [BATCH, 3, 227, 227], align_corners=False)
        return F.grid_sample(planes, grid, align_corners=False)

    views = torch.empty(len(pictures), 227, 227, 3, dtype=torch.uint8)

    def ours() -> None:
        for picture, view in zip(pictures, views, strict=True):
            resize(picture[10:210, 20:220], view)

    return {"grid_sample": 1000 * median_seconds(sampled, 10) / BATCH, "ours": 1000 * median_seconds(ours, 10) / BATCH}


def main() -> None:
    if "--step" in sys.argv:  # memory is kept for good once it is, so each way gets a process of its own
        if "kept" in sys.argv:
            keep_memory(all_sizes=True)
        print(step())
        return
    steps: dict[str, list[float]] = {"given back": [], "kept": []}
    for _ in range(3):
        for way, found in steps.items():
            process = [sys.executable, __file__, "--step", way]
            found.append(float(subprocess.run(process, capture_output=True, text=True, check=True).stdout))
    figures = {
        "step_ms": {way: statistics.median(found) for way, found in steps.items()},
        "crop_ms": crops(),
    }
    record("foundation", figures)


if __name__ == "__main__":
    main()
