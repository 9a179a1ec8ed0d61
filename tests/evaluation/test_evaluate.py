"""Evaluation against models worked out by hand: every picture once, in order, views and models averaged as softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alexnet
from alexnet.errors import UsageError
from alexnet.evaluation import metrics
from alexnet.evaluation.evaluate import BATCH, probabilities
from alexnet.network.architecture import Input
from alexnet.network.variants import variant
from alexnet.pictures.prepare import prepare
from alexnet.pictures.store import Part
from alexnet.weights.files import Description

CLASSES = 4


@dataclass
class Weighted:
    """A model whose logits are weighted sums of its view's pixels; it notes what it is shown."""

    size: int
    seed: int
    shown: list[bytes] = field(default_factory=list)

    @property
    def description(self) -> Description:
        rule = Input(size=self.size, stored=12, mean=(0.0,) * 3, scale=(1.0,) * 3)
        return Description(variant("lenet-5", CLASSES, 3), tuple("abcd"), rule)

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        self.shown += [picture.tobytes() for picture in pictures]
        return np.stack([self.of(picture) for picture in pictures])

    def of(self, picture: np.ndarray) -> np.ndarray:
        assert picture.shape == (self.size, self.size, 3) and picture.dtype == np.uint8
        weights = np.random.default_rng(self.seed).normal(0, 0.002, (CLASSES, self.size, self.size, 3))
        return (weights * picture).sum(axis=(1, 2, 3)).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = [math.exp(value) for value in logits.tolist()]
    return np.array(powers) / sum(powers)


def make_part(count: int) -> Part:
    """Some rows of a larger store, not in its order."""
    draw = np.random.default_rng(count)
    pictures = draw.integers(0, 256, (2 * count + 3, 12, 12, 3), dtype=np.uint8)
    rows = draw.permutation(len(pictures))[:count]
    return Part(pictures, draw.integers(0, CLASSES, len(pictures)), Path("nowhere"), rows, "")


def ten_slices(picture: np.ndarray, size: int) -> list[np.ndarray]:
    """Four corners and the centre, and each in the mirror, cut by hand."""
    side = len(picture)
    middle = (side - size) // 2
    cut = [
        picture[:size, :size],
        picture[:size, side - size :],
        picture[side - size :, :size],
        picture[side - size :, side - size :],
        picture[middle : middle + size, middle : middle + size],
    ]
    return [view for patch in cut for view in (patch, patch[:, ::-1])]


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 5])
def test_every_picture_once_and_in_order(count):
    part, model = make_part(count), Weighted(8, 0)
    found = probabilities([(model, part)])
    centres = [part.pictures[row][2:10, 2:10] for row in part.rows]
    assert model.shown == [picture.tobytes() for picture in centres]
    np.testing.assert_allclose(found, [softmax(model.of(picture)) for picture in centres], rtol=1e-6)
    assert found.dtype == np.float64 and np.allclose(found.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("size", [8, 9, 12])
def test_ten_views_are_ten_slices(size):
    """The mean of ten softmax outputs (paper §4.1), not the softmax of a mean."""
    part, model = make_part(BATCH + 7), Weighted(size, 1)
    found = probabilities([(model, part)], count=10)
    assert len(model.shown) == 10 * len(part)
    expected = [
        np.mean([softmax(model.of(view)) for view in ten_slices(part.pictures[row], size)], axis=0) for row in part.rows
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("views", [1, 10])
def test_several_models_each_with_its_own_input(views):
    """Five networks in the paper's last table; here three of two sizes, each of which counts the same."""
    part = make_part(70)
    models = [Weighted(8, 0), Weighted(8, 1), Weighted(10, 2)]
    together = probabilities([(model, part) for model in models], views)
    alone = [probabilities([(model, part)], views) for model in models]
    np.testing.assert_allclose(together, sum(alone) / 3, rtol=1e-12)
    assert all(len(model.shown) == 2 * views * 70 for model in models)


@given(images=st.integers(1, 80), classes=st.integers(1, 15), seed=st.integers(0, 999))
def test_top_k_for_every_k_up_to_the_number_of_classes(images, classes, seed):
    """Against a full sort; coarse numbers, so that there are ties."""
    rng = np.random.default_rng(seed)
    table, labels = rng.integers(0, 5, (images, classes)) / 8, rng.integers(0, classes, images)
    order = [sorted(range(classes), key=lambda c, row=row: (-row[c], c)) for row in table.tolist()]
    for k in range(1, classes + 1):
        right = sum(label in ranked[:k] for label, ranked in zip(labels.tolist(), order, strict=True))
        assert metrics.top_k(table, labels, k) == right / images
    assert metrics.top_k(table, labels, classes) == metrics.top_k(table, labels, classes + 5) == 1


def test_sums_are_exact():
    """What is counted is counted in whole numbers, and the loss to the last digits of a float64."""
    rng = np.random.default_rng(0)
    table, labels = rng.dirichlet(np.ones(10), 100_003), rng.integers(0, 10, 100_003)
    found = metrics.metrics(table, labels, list("abcdefghij"))
    right = int((table.argmax(axis=1) == labels).sum())
    assert np.sum(found["confusion"]) == found["images"] == 100_003
    assert np.trace(found["confusion"]) == sum(row["correct"] for row in found["per_class"]) == right
    assert found["top1"] == right / 100_003
    exact = math.fsum(-math.log(p) for p in table[np.arange(100_003), labels].tolist()) / 100_003
    assert found["loss"] == pytest.approx(exact, rel=1e-13)


@pytest.mark.usefixtures("undrawn")
def test_models_that_want_their_pictures_in_another_way(photos, tmp_path):
    """A store has one rule of resizing; averaging must not pass a second model's by."""
    for rule in ("crop", "squash"):
        settings = ["batch_size=30", f"resize={rule}"]
        alexnet.train(photos, out=tmp_path / rule, variant="lenet-5", epochs=1, settings=settings)
    store = prepare(photos, tmp_path / "store", 32, "crop").folder
    assert alexnet.evaluate(tmp_path / "crop", store).scores["images"] == 18
    assert alexnet.evaluate([tmp_path / "crop", tmp_path / "squash"], photos).scores["images"] == 18
    with pytest.raises(UsageError, match="prepared with crop, but the model wants squash"):
        alexnet.evaluate([tmp_path / "crop", tmp_path / "squash"], store)
