"""Metrics against scikit-learn and torchmetrics, and against what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_accuracy

from alexnet.evaluation import metrics


def drawn(images: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = (
        0.999 * rng.dirichlet(np.full(classes, 0.3), images) + 0.001 / classes
    )  # scikit-learn clips at 2e-16
    return probabilities, rng.integers(0, classes, images)


@given(images=st.integers(1, 60), classes=st.integers(2, 12), seed=st.integers(0, 99))
def test_as_other_libraries_count(images, classes, seed):
    probabilities, labels = drawn(images, classes, seed)
    found = metrics.metrics(probabilities, labels, [f"c{i}" for i in range(classes)])
    everything = range(classes)
    guesses = probabilities.argmax(1)
    assert found["images"] == images
    assert found["top1"] == pytest.approx(reference.accuracy_score(labels, guesses), abs=1e-12)
    assert found["loss"] == pytest.approx(reference.log_loss(labels, probabilities, labels=list(everything)), rel=1e-9)
    assert found["confusion"] == reference.confusion_matrix(labels, guesses, labels=list(everything)).tolist()
    if classes >= 5:
        top5 = multiclass_accuracy(
            torch.from_numpy(probabilities), torch.from_numpy(labels), classes, average="micro", top_k=5
        )
        assert found["top5"] == pytest.approx(float(top5), abs=1e-6)
    else:
        assert found["top5"] == 1
    for row, number in zip(found["per_class"], everything, strict=True):
        assert (
            row["images"] == (labels == number).sum()
            and row["correct"] == ((labels == number) & (guesses == number)).sum()
        )


def test_ties_are_broken_in_the_order_of_the_classes():
    """Else a network that says nothing would be right, or wrong, about everything."""
    same = np.full((4, 4), 0.25)
    labels = np.arange(4)
    assert metrics.ranks(same, labels).tolist() == [0, 1, 2, 3]
    assert metrics.top_k(same, labels, 2) == 0.5


def test_an_impossible_label_costs_much_but_not_everything():
    assert 600 < metrics.cross_entropy(np.array([[1.0, 0.0]]), np.array([1])) < 1000


def test_a_class_without_pictures_has_no_accuracy():
    found = metrics.metrics(np.array([[0.9, 0.1]]), np.array([0]), ["a", "b"])
    assert found["per_class"][1] == {"class": "b", "images": 0, "correct": 0, "top1": None}
