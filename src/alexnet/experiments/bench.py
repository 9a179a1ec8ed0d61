"""Speed, with the stock way beside it in the same run and the limit that was measured there.

Each way (`ways`) is timed in processes of its own, in turn, since how memory is kept belongs to a process; what counts
is the median of the turns. Stock means plain torch as a textbook writes it: float32, its own layers, its own defaults.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alexnet import errors
from alexnet.environment import environment
from alexnet.errors import AlexNetError, UsageError
from alexnet.network.architecture import Linear, Row, Variant, walk
from alexnet.network.variants import variant as named
from alexnet.progress import say

Figures = dict[str, float]


def bench_train(variant: str, batch: int, turns: int) -> dict[str, Any]:
    """Training steps on tensors in memory: pictures per second, ours and stock, and ours as a share of the limit.

    The limit is the matrix product of this machine (`ways.limits`), measured; a picture costs two operations for each
    multiply-add, three times over, less the gradient of the first layer's input, which nobody needs. `memory` is what
    the process took beyond torch itself, over what weights, gradients, momentum and activations come to.
    """
    value = _colour(variant)
    found = in_turn({way: ["train", way, variant, str(batch)] for way in ("ours", "stock")}, turns)
    macs = [row.macs for row in walk(value) if row.macs]
    flops = 2 * (3 * sum(macs) - macs[0])
    peak = process(["limits"])["flops"]
    ours, stock = (batch / found[way]["seconds"] for way in ("ours", "stock"))
    return {
        "what": f"train {variant}, batch {batch}",
        "ours": ours,
        "stock": stock,
        "ratio": ours / stock,
        "limit": peak / flops,
        "share": ours * flops / peak,
        "unit": "pictures/s",
        "normalisation": found["ours"]["normalisation"],
        "memory": found["ours"]["memory"] / _training_bytes(value, batch),
        "turns": turns,
        "environment": environment(),
    }


def _training_bytes(variant: Variant, batch: int) -> int:
    """Weights, gradients and momentum in float32, and what each layer gives in bfloat16."""
    rows = walk(variant)
    return sum(12 * row.parameters + 2 * batch * math.prod(row.output) for row in rows)


def bench_predict(variant: str, batches: Sequence[int], turns: int) -> dict[str, Any]:
    """Logits of uint8 pictures in memory, for each batch size; stock torch computes the network without normalisation.
    Ours normalises by the kernel in C, as after a training.

    `onnxruntime` (where it is installed) computes the same as stock. The limit is the time in which this machine
    reads the weights of the fully connected layers or multiplies by them, whichever is longer, and multiplies the
    rest, in int8 but for the first layer (`ways.limits`). `memory` is what the process took beyond torch itself, over
    the weights in the form that was used.
    """
    value = _colour(variant)
    limits = process(["limits"])
    names = ("ours", "stock", "onnxruntime") if find_spec("onnxruntime") else ("ours", "stock")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model.safetensors")
        process(["model", variant, model])
        for batch in batches:
            found = in_turn({way: ["predict", way, variant, str(batch), model] for way in names}, turns)
            rows.append(_compared(batch, found, _least_seconds(walk(value), batch, found["ours"]["products"], limits)))
    return {
        "what": f"predict {variant}, batch {', '.join(map(str, batches))}",
        **{key: rows[-1][key] for key in ("ours", "stock", "ratio", "limit", "share")},
        "unit": "pictures/s",
        "batches": rows,
        "turns": turns,
        "environment": environment(),
    }


def _least_seconds(rows: Sequence[Row], batch: int, products: float, limits: Figures) -> float:
    """How long a batch takes at the speed of the processor and of its memory.

    `products`: bytes of the weights of the fully connected layers.
    """
    first, *convolutions = (row.macs for row in rows if row.macs and not isinstance(row.layer, Linear))
    macs = sum(row.macs for row in rows if isinstance(row.layer, Linear))
    fc = max(products / limits["bytes"], 2 * batch * macs / limits["int8"])
    return fc + 2 * batch * (first / limits["flops"] + sum(convolutions) / limits["int8"])


def _compared(batch: int, found: dict[str, Figures], least: float) -> dict[str, float]:
    ours, *others = (batch / figures["seconds"] for figures in found.values())
    rates = dict(zip(list(found)[1:], others, strict=True))
    return {
        "batch": batch,
        "ours": ours,
        **rates,
        "ratio": ours / rates["stock"],
        "limit": batch / least,
        "share": ours * least / batch,
        "memory": found["ours"]["memory"] / found["ours"]["weights"],
    }


def _colour(variant: str) -> Variant:
    value = named(variant)
    if value.channels != 3:
        raise UsageError(f"{variant} takes grey pictures; bench measures networks for colour ones")
    return value


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
    command = [sys.executable, "-m", "alexnet.experiments.ways", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.splitlines() or ["ended without a word"])[-1]
        kind, _, message = last.partition(": ")
        if kind.startswith("alexnet.errors."):
            raise getattr(errors, kind.rpartition(".")[2])(message)
        raise AlexNetError(f"{' '.join(arguments)}: {last}")
    return dict(json.loads(done.stdout))
