"""What a network gets wrong and where it wavers: pictures in order, numbers of each class, pairs that are confused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet.evaluation.certainty import wilson
from alexnet.evaluation.metrics import Labels, Probabilities

Places = NDArray[np.int64]


def most_wrong(probabilities: Probabilities, labels: Labels) -> Places:
    """Places of all wrongly answered pictures; first where the answer lay furthest above the true class."""
    guesses = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    lead = probabilities[wrong, guesses[wrong]] - probabilities[wrong, labels[wrong]]
    return wrong[np.argsort(-lead, kind="stable")]


def most_uncertain(probabilities: Probabilities) -> Places:
    """Places of all pictures; first where the answer leads the next class by least. Needs two classes."""
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.argsort(two[:, 1] - two[:, 0], kind="stable")


@dataclass(frozen=True)
class ClassScore:
    """One class of a confusion matrix. Shares in 0..1, None where there is nothing to take a share of."""

    name: str
    images: int  # of this class
    answers: int  # with this class
    right: int  # both
    recall: float | None  # of its pictures, how many were recognised
    recall_interval: tuple[float, float]
    precision: float | None  # of the answers with it, how many were right
    precision_interval: tuple[float, float]
    taken_for: tuple[str, int] | None  # the class that its pictures were most often taken for, and how often


def class_scores(matrix: NDArray[np.int64], classes: Sequence[str]) -> list[ClassScore]:
    """Each class of a confusion matrix [true, predicted], in its order."""
    rows: list[ClassScore] = []
    errors = matrix * ~np.eye(len(matrix), dtype=bool)
    for place, name in enumerate(classes):
        images, answers, right = (int(n) for n in (matrix[place].sum(), matrix[:, place].sum(), matrix[place, place]))
        other = int(errors[place].argmax())
        rows.append(
            ClassScore(
                name,
                images,
                answers,
                right,
                right / images if images else None,
                wilson(right, images),
                right / answers if answers else None,
                wilson(right, answers),
                (classes[other], int(errors[place, other])) if errors[place, other] else None,
            )
        )
    return rows


@dataclass(frozen=True)
class Pair:
    """Pictures of one class that were taken for another: how many, and their share of that class, in 0..1."""

    true: str
    predicted: str
    images: int
    share: float


def confused_pairs(matrix: NDArray[np.int64], classes: Sequence[str], most: int) -> list[Pair]:
    """Classes taken for others, the most frequent first, at most so many; of equal counts the larger share."""
    errors = matrix * ~np.eye(len(matrix), dtype=bool)
    true, predicted = np.nonzero(errors)
    counts = errors[true, predicted]
    shares = counts / matrix.sum(axis=1)[true]
    first = np.lexsort((predicted, true, -shares, -counts))[:most]
    return [Pair(classes[true[i]], classes[predicted[i]], int(counts[i]), float(shares[i])) for i in first]


def alike(matrix: NDArray[np.int64]) -> Places:
    """An order of the classes in which those that are taken for one another stand close together.

    Groups are joined two by two, always those whose classes are confused most on average, with the ends that are
    confused more side by side. A second for 1,000 classes.
    """
    count = len(matrix)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    links = shares + shares.T
    sums, mean, sizes = links.copy(), np.where(np.eye(count), -1, links), np.ones(count)  # −1: not to be joined
    groups = [[place] for place in range(count)]
    for _ in range(count - 1):
        first, second = sorted(divmod(int(mean.argmax()), count))
        groups[first] = _joined(groups[first], groups[second], links)
        sums[first] += sums[second]
        sums[:, first] = sums[first]
        sizes[first] += sizes[second]
        mean[second] = mean[:, second] = -1
        mean[first] = mean[:, first] = np.where(mean[first] < 0, -1, sums[first] / (sizes[first] * sizes))
    return np.array(groups[0])


def _joined(one: list[int], other: list[int], links: NDArray[np.float64]) -> list[int]:
    """Two rows of classes as one, each perhaps turned round, so that the ends that meet are most alike."""
    turned = [(a, b) for a in (one, one[::-1]) for b in (other, other[::-1])]
    a, b = max(turned, key=lambda pair: float(links[pair[0][-1], pair[1][0]]))
    return a + b
