"""Training views against slicing by hand, and what the loss and the class weights are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet.training.augment import augment, rectangles
from alexnet.training.recipes import Colour, Flip, RandomCrop, RandomResizedCrop
from alexnet.training.train import single

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8))


def chance(**cells: list[float]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values) for name, values in cells.items()}


def test_crops_reach_every_corner_and_no_further():
    top, left = [0.0, 0.999999, 0.5, 0.0, 0.25, 0.75], [0.0, 0.999999, 0.0, 0.5, 0.75, 0.25]
    views = augment(PICTURES, chance(top=top, left=left), (RandomCrop(),), 32)
    for view, picture, y, x in zip(views, PICTURES, top, left, strict=True):
        y, x = int(y * 9), int(x * 9)
        assert torch.equal(view, picture[y : y + 32, x : x + 32])


def test_the_largest_chance_stays_below_one_in_single_precision():
    """float32(1 - 2^-53) is 1, and a crop at 1.0 x 9 would begin past the last place."""
    cells = single(np.array([1 - 2**-53, 0.0]))
    assert cells.dtype == torch.float32 and cells[0] < 1 and int(cells[0] * 9) == 8


def test_flips_are_mirrors():
    views = augment(PICTURES, chance(flip=[0.1, 0.9, 0.49, 0.5, 0.0, 0.99]), (Flip(),), 40)
    for view, picture, mirrored in zip(views, PICTURES, [True, False, True, False, True, False], strict=True):
        assert torch.equal(view, picture.flip(1) if mirrored else picture)


def test_resized_crops_are_as_pillow_would_scale_them():
    cells = chance(area=[0.2] * 6, aspect=[0.5] * 6, left=[0.3] * 6, top=[0.6] * 6)
    view = RandomResizedCrop()
    found = augment(PICTURES, cells, (view,), 32)
    assert found.dtype == torch.uint8 and found.shape == (6, 32, 32, 3)
    for picture, mine, (x, y, width, height) in zip(PICTURES, found, rectangles(view, cells, 40), strict=True):
        cut = Image.fromarray(picture.numpy()).crop((x, y, x + width, y + height))
        theirs = np.asarray(cut.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(mine.numpy().astype(int) - theirs).max() <= 1


def test_rectangles_have_the_area_and_aspect_asked_for():
    rng = np.random.default_rng(0)
    names = ("area", "aspect", "left", "top")
    cells = {name: torch.from_numpy(rng.random(4000)).float() for name in names}
    x, y, w, h = np.array(rectangles(RandomResizedCrop((0.45, 1.0), 0.22), cells, 256)).T
    assert (x >= 0).all() and (y >= 0).all() and (x + w <= 256).all() and (y + h <= 256).all()
    area = w * h / 256**2
    assert 0.44 < area.min() < 0.46 and area.max() > 0.99 and abs(area.mean() - 0.72) < 0.01
    assert np.abs(np.log(w / h)).max() < 0.23


def test_colour_is_a_gain_and_a_tint():
    still = {name: [0.5] * 6 for name in ("brightness", "red", "green", "blue")}
    assert torch.equal(augment(PICTURES, chance(**still), (Colour(),), 40), PICTURES.float())
    brighter = augment(PICTURES, chance(**still | {"brightness": [1.0] * 6}), (Colour(0.2, 0.1),), 40)
    torch.testing.assert_close(brighter, PICTURES.float() * 1.2)
    redder = augment(PICTURES, chance(**still | {"red": [1.0] * 6}), (Colour(0.2, 0.1),), 40)
    torch.testing.assert_close(redder - PICTURES, torch.tensor([25.5, 0, 0]).expand(6, 40, 40, 3))


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_balanced_class_weights_help_the_rare_class(photos, tmp_path, weights):
    for number in range(3, 20):
        (photos / "train" / "ash" / f"{number:02d}.png").unlink()
    asked = ["batch_size=16", "learning_rate=0", f"class_weights={weights}", "validation=0", "label_smoothing=0"]
    found = alexnet.train(photos, out=tmp_path / "run", variant="lenet-5", epochs=1, settings=asked)
    even = alexnet.evaluate(tmp_path / "run", photos, split="train")
    own = -np.log(even.probabilities[np.arange(43), even.part.labels])
    share = np.where(even.part.labels == 0, 43 / (3 * 3), 43 / (3 * 20)) if weights == "balanced" else np.ones(43)
    assert found["last"]["train_loss"] == pytest.approx((own * share).sum() / share.sum(), rel=0.25)
