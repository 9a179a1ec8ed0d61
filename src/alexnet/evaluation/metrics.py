"""How good predictions are: pure functions of probabilities and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]

TINY = 1e-300  # keeps the loss of an impossible label finite


def ranks(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """How many classes come before the true one, [N, classes] and [N] → int64 [N]; ties count in order of the classes,
    as `argsort` would list them."""
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1])[None] < labels[:, None]
    before: NDArray[np.bool_] = ~(probabilities <= own) | ((probabilities == own) & earlier)  # NaN comes first
    return np.asarray(before.sum(axis=1))


def top_k(probabilities: Probabilities, labels: Labels, k: int) -> float:
    """Share of pictures, in 0..1, whose true class is among the `k` most probable (of as many as there are)."""
    return float((ranks(probabilities, labels) < k).mean())


def cross_entropy(probabilities: Probabilities, labels: Labels) -> float:
    """Mean negative log-probability of the true class, in nats."""
    own = np.take_along_axis(probabilities.astype(np.float64), labels[:, None], axis=1)
    return float(-np.log(np.maximum(own, TINY)).mean())


def confusion(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Counts [true class, predicted class]."""
    classes = probabilities.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def metrics(probabilities: Probabilities, labels: Labels, classes: Sequence[str]) -> dict[str, Any]:
    """images, top1, top5, loss, per_class and confusion (rows true, columns predicted), as plain JSON values."""
    matrix = confusion(probabilities, labels)
    images, right = matrix.sum(axis=1), matrix.diagonal()
    return {
        "images": len(labels),
        "top1": top_k(probabilities, labels, 1),
        "top5": top_k(probabilities, labels, 5),
        "loss": cross_entropy(probabilities, labels),
        "per_class": [
            {"class": name, "images": int(n), "correct": int(c), "top1": float(c / n) if n else None}
            for name, n, c in zip(classes, images, right, strict=True)
        ],
        "confusion": matrix.tolist(),
    }
