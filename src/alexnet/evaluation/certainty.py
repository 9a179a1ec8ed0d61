"""How far results can be trusted: intervals of shares, two models on the same pictures, probabilities against truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.evaluation.metrics import Labels, Probabilities

Z = 1.959963984540054  # normal deviate that holds 95 % between −z and z
BINS = 15  # as Guo et al., "On Calibration of Modern Neural Networks", 2017


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` of `count` were seen, in 0..1; (0, 1) where nothing was.

    Wilson, J. Am. Stat. Assoc. 22 (1927): it stays within 0..1 and keeps its level at few pictures and near 0 and 1.
    """
    if count == 0:
        return 0.0, 1.0
    share, spread = right / count, Z * Z / count
    middle = share + spread / 2
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4)
    # At the ends the exact bounds are 0 and 1; rounding would leave a hair.
    low = 0.0 if right == 0 else (middle - half) / (1 + spread)
    high = 1.0 if right == count else (middle + half) / (1 + spread)
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """How probable a split at least as uneven would be were two models equally good: McNemar's exact test, two-sided.

    Counts of pictures that only the one or only the other gets right; those on which both agree tell nothing.
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    ways = total = 1
    for k in range(fewer):
        ways = ways * (count - k) // (k + 1)
        total += ways
    return min(1.0, float(2 * total / 2**count))


@dataclass(frozen=True)
class Calibration:
    """Pictures by how probable the network found its answer, in bins of equal width; the last holds 1 too.

    `counts` int64 [bins]; `confidence` and `accuracy` float64 [bins], means in 0..1, NaN in an empty bin; `error`: the
    expected calibration error, their mean distance over all pictures.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


def calibration(probabilities: Probabilities, labels: Labels, bins: int = BINS) -> Calibration:
    """Whether answers given 80 % are right in 80 % of cases; [N, classes] and [N], one picture or more."""
    confidence: NDArray[np.float64] = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)

    def total(weights: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(place, weights, bins), np.float64)

    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means, shares = total(confidence) / counts, total(right) / counts
    error = float(np.abs(total(confidence) - total(right)).sum() / len(labels))
    return Calibration(counts, means, shares, error)
