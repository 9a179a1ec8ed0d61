"""Training views against slicing by hand, and what the loss and the class weights are."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet.pictures.batches import Order
from alexnet.pictures.store import Part
from alexnet.training import statistics
from alexnet.training.augment import augment, normal, rectangles
from alexnet.training.recipe import Colour, ColourNoise, Flip, RandomAffine, RandomCrop, RandomResizedCrop
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


def test_without_a_crop_the_centre_is_seen():
    assert torch.equal(augment(PICTURES, {}, (), 32), PICTURES[:, 4:36, 4:36])
    assert torch.equal(augment(PICTURES, {}, (), 40), PICTURES)


# ----------------------------------------------------------------------------------------------- turned and shifted


def keras_affine(picture: np.ndarray, theta: float, tx: float, ty: float) -> np.ndarray:
    """`apply_affine_transform` of keras-preprocessing with order=1 and fill_mode="nearest", pixel by pixel: the turn
    times the shift, about the centre at side / 2 - 0.5; tx counts rows and ty columns, in pixels."""
    side = len(picture)
    turn = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    middle = side / 2 - 0.5
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = middle, -middle
    matrix = there @ turn @ shift @ back
    answer = np.zeros(picture.shape)
    for row in range(side):
        for column in range(side):
            y, x = np.clip((matrix @ [row, column, 1])[:2], 0, side - 1)
            top, left = min(int(y), side - 2), min(int(x), side - 2)
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (y - top if i else top + 1 - y) * (x - left if j else left + 1 - x)
                answer[row, column] += weight * picture[top + i, left + j]
    return answer


def test_turns_and_shifts_are_those_of_keras():
    cells = chance(
        angle=[0.5, 1.0, 0.0, 0.5, 0.9, 0.2], down=[0.5, 0.5, 0.5, 1.0, 0.1, 0.7], right=[0.5, 0.5, 0.5, 0.3, 0.8, 0.0]
    )
    found = augment(PICTURES, cells, (RandomAffine(degrees=5, shift=0.1),), 40)
    for i, picture in enumerate(PICTURES.numpy()):
        theta, tx, ty = (float(2 * cells[name][i] - 1) for name in ("angle", "down", "right"))
        expected = keras_affine(picture, np.deg2rad(5) * theta, 0.1 * 40 * tx, 0.1 * 40 * ty)
        np.testing.assert_allclose(found[i].numpy(), expected, atol=0.02)
    assert torch.allclose(found[0], PICTURES[0].float(), atol=0.02)


def test_beyond_the_picture_its_edge_goes_on():
    cells = chance(angle=[0.5] * 6, down=[1.0] * 6, right=[0.5] * 6)
    found = augment(PICTURES, cells, (RandomAffine(shift=0.1),), 40)
    torch.testing.assert_close(found[:, :36], PICTURES[:, 4:].float(), atol=0.02, rtol=0)
    torch.testing.assert_close(found[:, 36:], PICTURES[:, -1:].float().expand(6, 4, 40, 3), atol=0.02, rtol=0)


# ------------------------------------------------------------------------------------------------------ colour noise


# What cuda-convnet2 measured on ImageNet (make-data/input_meta): deviations along the principal axes, and the axes.
DEVIATIONS = (121.7801, 37.0939, 19.7208)
AXES = ((-0.5635, -0.5762, -0.5920), (-0.7126, -0.0235, 0.7012), (0.4180, -0.8170, 0.3973))
IMAGENET = tuple(tuple(d * a for a in axis) for d, axis in zip(DEVIATIONS, AXES, strict=True))


def noise_of(count: int, view: ColourNoise) -> torch.Tensor:
    """What is added to `count` grey pictures of one pixel, by cells of the table."""
    cells = Order(count, count, 7).chance(0, dict.fromkeys(view.purposes, 1))
    pictures = torch.full((count, 1, 1, 3), 100, dtype=torch.uint8)
    return augment(pictures, {name: single(numbers) for name, numbers in cells.items()}, (view,), 1)[:, 0, 0] - 100


def test_colour_noise_has_the_covariance_of_the_pictures_but_for_its_strength():
    """Paper §4.1 with deviations: covariance 0.1² Σ σᵢ² pᵢ pᵢᵀ, within 5 deviations of its estimate from 40,000."""
    noise = noise_of(40_000, ColourNoise(0.1, components=IMAGENET)).double().numpy()
    expected = 0.01 * sum(d**2 * np.outer(axis, axis) for d, axis in zip(DEVIATIONS, AXES, strict=True))
    spread = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / 40_000)
    assert np.abs(np.cov(noise.T) - expected).max() < 5 * spread.max()
    assert np.abs(noise.mean(axis=0)).max() < 5 * np.sqrt(expected.max() / 40_000)
    along = noise @ AXES[0] / DEVIATIONS[0]
    assert along.std() == pytest.approx(0.1, rel=0.02) and (along**4).mean() / 0.1**4 == pytest.approx(3, rel=0.1)


def test_eigenvalues_would_drown_the_pictures():
    """Why deviations: 0.1 times the largest eigenvalue of 0..255 values is 1,483 grey levels, times its root 12.2."""
    assert 0.1 * DEVIATIONS[0] ** 2 == pytest.approx(1483, rel=1e-3)
    assert noise_of(40_000, ColourNoise(0.1, components=IMAGENET)).norm(dim=1).mean() < 15


def test_one_colour_for_all_of_a_picture():
    view = ColourNoise(0.1, components=IMAGENET)
    cells = {name: torch.rand(6, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(view.purposes)}
    added = augment(PICTURES, cells, (view,), 40) - PICTURES
    torch.testing.assert_close(added, added[:, :1, :1].expand_as(added), atol=1e-4, rtol=0)
    amounts = np.array([[NormalDist().inv_cdf(float(cells[name][i])) for name in view.purposes] for i in range(6)])
    np.testing.assert_allclose(added[:, 0, 0], 0.1 * amounts @ np.array(IMAGENET), atol=1e-3)


@pytest.mark.parametrize("shape", [(3,), (40, 40, 3)])
def test_the_source_shrinks_the_distance_from_the_mean(shape):
    """(x - mean + noise) / 1.1, as the network sees it once the mean is subtracted; channel means or a mean picture."""
    cells = {name: torch.rand(6, generator=torch.Generator().manual_seed(1)) for name in ColourNoise.purposes}
    mean = 255 * torch.rand(shape, generator=torch.Generator().manual_seed(2))
    plain = augment(PICTURES, cells, (ColourNoise(0.1, 1.0, IMAGENET),), 40, mean)
    source = augment(PICTURES, cells, (ColourNoise(0.1, 1.1, IMAGENET),), 40, mean)
    torch.testing.assert_close(source - mean, (plain - mean) / 1.1, atol=1e-3, rtol=1e-4)


def test_noise_without_a_divisor_knows_no_mean():
    """So it may come before the crop, whatever size the mean picture has."""
    names = (*RandomCrop.purposes, *ColourNoise.purposes)
    cells = {name: torch.rand(6, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(names)}
    noise, mean = ColourNoise(0.1, components=IMAGENET), torch.rand(32, 32, 3)
    before, after = (
        augment(PICTURES, cells, views, 32, mean) for views in ((noise, RandomCrop()), (RandomCrop(), noise))
    )
    assert before.shape == (6, 32, 32, 3) and torch.equal(before, after)


def test_normal_numbers():
    uniform = torch.tensor([0.5, 0.975, 0.025, 0.8413447, 1 - 2**-24])
    expected = [NormalDist().inv_cdf(float(u)) for u in uniform]
    np.testing.assert_allclose(normal(uniform), expected, atol=1e-5)
    assert torch.isfinite(normal(torch.zeros(1))).all() and float(normal(torch.zeros(1))) < -5


def test_components_are_the_principal_axes_of_the_pixels():
    """Against numpy's covariance of all pixels; every fourth tells as much where neighbours are alike."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(0, 20, (3, 3))
    blocks = (rng.normal(0, 1, (30, 10, 10, 3)) @ mixing + 128).clip(0, 255).astype(np.uint8)
    pictures = blocks.repeat(4, axis=1).repeat(4, axis=2)
    rows = np.arange(0, 30, 2)
    found = np.array(statistics.colour_components(Part(pictures, np.zeros(30, np.int64), Path("nowhere"), rows, "")))
    covariance = np.cov(pictures[rows].reshape(-1, 3).T, bias=True)
    np.testing.assert_allclose(found.T @ found, covariance, rtol=1e-4, atol=0.01)
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths**2, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-3)
    products = found @ found.T - np.diag(lengths**2)
    assert np.abs(products).max() < 0.01 and (found.max(axis=1) >= -found.min(axis=1)).all()


def test_grey_pictures_have_no_colour_noise():
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8), 3, axis=3)
    found = statistics.colour_components(Part(grey, np.zeros(4, np.int64), Path("nowhere"), np.arange(4), ""))
    np.testing.assert_allclose(np.array(found)[1:], 0, atol=1e-3)


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
