"""What is wrong, what wavers, what is confused: against scikit-learn and against counting."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from alexnet.evaluation.certainty import wilson
from alexnet.evaluation.metrics import confusion
from alexnet.insight.reports import charts, judgement


def drawn(images: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.4), images), rng.integers(0, classes, images)


@given(images=st.integers(0, 50), classes=st.integers(2, 8), seed=st.integers(0, 99))
def test_pictures_in_order(images, classes, seed):
    probabilities, labels = drawn(images, classes, seed)
    guesses = probabilities.argmax(axis=1)
    places = judgement.most_wrong(probabilities, labels)
    assert sorted(places) == [i for i in range(images) if guesses[i] != labels[i]]
    lead = [probabilities[i, guesses[i]] - probabilities[i, labels[i]] for i in places]
    assert lead == sorted(lead, reverse=True)
    doubtful = judgement.most_uncertain(probabilities)
    margins = [sorted(probabilities[i])[-1] - sorted(probabilities[i])[-2] for i in doubtful]
    assert sorted(doubtful) == list(range(images)) and margins == sorted(margins)


@given(images=st.integers(1, 60), classes=st.integers(2, 8), seed=st.integers(0, 99))
def test_classes_as_scikit_learn_scores_them(images, classes, seed):
    probabilities, labels = drawn(images, classes, seed)
    guesses, names = probabilities.argmax(axis=1), [f"c{i}" for i in range(classes)]
    scores = judgement.class_scores(confusion(probabilities, labels), names)
    precision, recall, _, support = reference.precision_recall_fscore_support(
        labels, guesses, labels=range(classes), zero_division=np.nan
    )
    for place, score in enumerate(scores):
        assert (score.name, score.images) == (names[place], support[place])
        assert score.answers == (guesses == place).sum()
        expected = (None if np.isnan(value[place]) else pytest.approx(value[place]) for value in (recall, precision))
        assert [score.recall, score.precision] == list(expected)
        assert score.recall_interval == wilson(score.right, score.images)
        wrong = [guess for guess, label in zip(guesses, labels, strict=True) if label == place != guess]
        if wrong:
            name, count = score.taken_for
            assert count == wrong.count(names.index(name)) == max(map(wrong.count, wrong))
        else:
            assert score.taken_for is None


@given(images=st.integers(1, 60), classes=st.integers(2, 8), seed=st.integers(0, 99), most=st.integers(0, 9))
def test_confused_pairs_by_counting(images, classes, seed, most):
    probabilities, labels = drawn(images, classes, seed)
    names = [f"c{i}" for i in range(classes)]
    counted: dict[tuple[str, str], int] = {}
    for guess, label in zip(probabilities.argmax(axis=1), labels, strict=True):
        if guess != label:
            key = (names[label], names[guess])
            counted[key] = counted.get(key, 0) + 1
    pairs = judgement.confused_pairs(confusion(probabilities, labels), names, most)
    assert [pair.images for pair in pairs] == sorted(counted.values(), reverse=True)[:most]
    assert all(counted[pair.true, pair.predicted] == pair.images for pair in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_classes_that_are_confused_come_together(seed):
    """Five families of six, mixed up among themselves alone, shuffled."""
    rng = np.random.default_rng(seed)
    family = rng.permutation(np.repeat(np.arange(5), 6))
    matrix = 50 * np.eye(30, dtype=np.int64) + rng.integers(3, 9, (30, 30)) * (family[:, None] == family[None])
    order = judgement.alike(matrix)
    assert sorted(order) == list(range(30))
    assert np.count_nonzero(np.diff(family[order])) == 4  # changes of family along the way


def test_an_order_for_few_classes_and_for_no_mistakes():
    assert judgement.alike(np.array([[3, 1], [0, 2]])).tolist() == [0, 1]
    assert sorted(judgement.alike(9 * np.eye(7, dtype=np.int64))) == list(range(7))


@given(classes=st.integers(4, 40), groups=st.integers(1, 4), seed=st.integers(0, 99))
def test_groups_of_classes_by_counting(classes, groups, seed):
    matrix = np.random.default_rng(seed).integers(0, 5, (classes, classes))
    shares, members = charts.grouped(matrix, groups)
    assert np.concatenate(members).tolist() == list(range(classes))
    for row, true in enumerate(members):
        for column, answered in enumerate(members):
            wrong = sum(int(matrix[i, j]) for i in true for j in answered if i != j)
            assert shares[row, column] == pytest.approx(wrong / max(1, matrix[true].sum()))
