"""Intervals, paired tests and calibration against scipy, torchmetrics and what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from torchmetrics.functional.classification import multiclass_calibration_error

from alexnet.evaluation.certainty import calibration, mcnemar, wilson


@given(count=st.integers(1, 10**6), data=st.data())
def test_wilson_as_scipy_has_it(count, data):
    right = data.draw(st.integers(0, count))
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = wilson(right, count)
    assert 0 <= low <= right / count <= high <= 1


def test_of_nothing_nothing_is_known():
    assert wilson(0, 0) == (0, 1)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_a_binomial_test(one, other):
    expected = binomtest(one, one + other, 0.5).pvalue if one + other else 1.0
    assert mcnemar(one, other) == mcnemar(other, one) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_many_pictures():
    assert mcnemar(10_000, 10_400) == pytest.approx(binomtest(10_000, 20_400, 0.5).pvalue, rel=1e-6)
    assert 0 <= mcnemar(0, 5000) < 1e-300


@given(images=st.integers(1, 80), classes=st.integers(2, 9), bins=st.integers(1, 20), seed=st.integers(0, 99))
def test_calibration_as_torchmetrics_has_it(images, classes, bins, seed):
    rng = np.random.default_rng(seed)
    probabilities, labels = rng.dirichlet(np.full(classes, 0.5), images), rng.integers(0, classes, images)
    found = calibration(probabilities, labels, bins)
    tensors = torch.from_numpy(probabilities), torch.from_numpy(labels)
    assert found.error == pytest.approx(float(multiclass_calibration_error(*tensors, classes, bins)), abs=1e-6)
    assert found.counts.sum() == images
    for place, count in enumerate(found.counts):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels, strict=True)
            if place == min(int(row.max() * bins), bins - 1)
        ]
        assert count == len(inside)
        if inside:
            assert found.confidence[place] == pytest.approx(np.mean([p for p, _ in inside]))
            assert found.accuracy[place] == pytest.approx(np.mean([right for _, right in inside]))
        else:
            assert np.isnan(found.confidence[place]) and np.isnan(found.accuracy[place])


def test_who_is_sure_and_right_is_calibrated():
    assert calibration(np.eye(3), np.arange(3)).error == 0
    assert calibration(np.eye(3), np.array([1, 2, 0])).error == 1
