"""How fast a network trains and answers, with the stock way beside it in the same run and the limit measured there.

Stock means plain torch as a textbook writes it: float32, its own layers, its own defaults.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alexnet.environment import environment
from alexnet.errors import UsageError
from alexnet.experiments.bench.scaling import Work
from alexnet.experiments.bench.turns import Figures, in_turn, process
from alexnet.network.architecture import Linear, Row, Variant, walk
from alexnet.network.variants import variant as named


def bench_train(variant: str, batch: int, turns: int) -> dict[str, Any]:
    """Training steps on tensors in memory: pictures per second, ours and stock, and ours as a share of the limit.

    The limit is the matrix product of this machine (`ways.limits`), measured; a picture costs two operations for each
    multiply-add, three times over, less the gradient of the first layer's input, which nobody needs. `memory` is what
    the process took beyond torch itself, over what weights, gradients, momentum and activations come to.
    """
    value = _colour(variant)
    found = in_turn({way: ["train", way, variant, str(batch)] for way in ("ours", "stock")}, turns)
    flops = Work.of(value).flops
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
