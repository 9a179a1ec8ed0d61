"""What excites a unit most: against sorting everything, and against changing what lies outside the patch."""

from __future__ import annotations

import numpy as np
import pytest
import smallnets

from alexnet.errors import UsageError
from alexnet.insight.explanations import explain, patches
from alexnet.weights.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return smallnets.model("krizhevsky-2012")


@pytest.mark.parametrize("layer", ["conv1", "relu3", "pool5", "fc6", "fc8"])
def test_the_strongest_are_those_of_all_in_order(model: Model, layer: str) -> None:
    pictures, units = smallnets.pictures(model, 21), [5, 0, 6]
    found = patches.strongest(model, (pictures[i : i + 4] for i in range(0, 21, 4)), layer, units, 6)
    values = explain.activations(model, pictures, layer)[:, units]
    best = values.reshape(21, 3, -1).max(2)
    for row, own in zip(found, best.T, strict=True):
        order = np.argsort(-own, kind="stable")[:6]
        np.testing.assert_array_equal(row["picture"], order)
        np.testing.assert_allclose(row["value"], own[order], rtol=1e-5, atol=1e-5)
    if values.ndim == 4:
        at = values[found["picture"], np.arange(3)[:, None], found["row"], found["column"]]
        np.testing.assert_allclose(at, found["value"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv3"])
def test_nothing_outside_the_patch_matters(model: Model, layer: str) -> None:
    pictures = smallnets.pictures(model, 3)
    for answer in patches.strongest(model, [pictures], layer, range(5), 2).ravel():
        left, top, right, bottom = patches.seen_by(model, layer, answer)
        picture = pictures[answer["picture"]].copy()
        other = np.full_like(picture, 7)
        other[top:bottom, left:right] = picture[top:bottom, left:right]
        value = explain.activations(model, other[None], layer)[0].max((1, 2)).max()
        cell = explain.activations(model, other[None], layer)[0, :, answer["row"], answer["column"]]
        assert value >= cell.max() and abs(cell - answer["value"]).min() < 1e-4


def test_fewer_pictures_than_asked_for_and_none(model: Model) -> None:
    found = patches.strongest(model, [smallnets.pictures(model, 2)], "relu5", [0], 4)
    assert (found["picture"] == patches.NONE).tolist() == [[False, False, True, True]]
    assert (patches.strongest(model, [], "relu5", [0, 1], 3)["picture"] == patches.NONE).all()


def test_among_equals_the_first_wins(model: Model) -> None:
    pictures = smallnets.pictures(model, 1).repeat(5, axis=0)
    assert patches.strongest(model, [pictures[:2], pictures[2:]], "fc6", [3], 5)["picture"].tolist() == [
        [0, 1, 2, 3, 4]
    ]


def test_a_unit_that_is_not_there(model: Model) -> None:
    with pytest.raises(UsageError, match="fc6 has 48 units, numbered from 0; there is no unit 48"):
        patches.strongest(model, [smallnets.pictures(model, 1)], "fc6", [0, 48], 1)


@pytest.mark.parametrize("box", [(0, 0, 11, 11), (60, 50, 67, 61), (0, 0, 67, 67), (30, 0, 50, 67), (66, 66, 67, 67)])
def test_a_patch_is_shown_with_what_lies_about_it(box: patches.Box) -> None:
    left, top, right, bottom = patches.around(box, 67)
    assert right - left == bottom - top <= 67
    assert 0 <= left <= box[0] and box[2] <= right <= 67 and 0 <= top <= box[1] and box[3] <= bottom <= 67
