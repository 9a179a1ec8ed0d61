"""How the networks were trained in 2012 and by those who followed, as their files print it, against what is run here.

The sources' networks are tested in `network/test_variants.py`, their rates in `training/test_recipes.py`.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.network.architecture import Input
from alexnet.network.variants import variant
from alexnet.pictures.store import Part
from alexnet.training import statistics
from alexnet.training.augment import augment
from alexnet.training.recipe import ColourNoise, Flip, RandomCrop
from alexnet.training.recipes import recipe

JUST_BELOW_1 = 1 - 2**-24


@pytest.mark.parametrize(("name", "size", "count"), [("source-145", 224, 2178), ("krizhevsky-2012", 227, 1800)])
def test_views_of_one_picture(name: str, size: int, count: int) -> None:
    """The paper says 2048 = 32 · 32 · 2 of them; 224 of 256 leave 33 places each way, and 227 leave 30."""
    assert (variant(name).size, variant(name).stored) == (size, 256)
    places = np.arange(256, dtype=np.uint8).reshape(1, 256, 1, 1).repeat(256, axis=2).repeat(3, axis=3)
    pictures = torch.from_numpy(places).expand(1000, -1, -1, -1)
    evenly = torch.linspace(0, JUST_BELOW_1, 1000)
    views = augment(pictures, {"top": evenly, "left": torch.zeros(1000)}, (RandomCrop(),), size)
    offsets = views[:, 0, 0, 0].unique().tolist()
    assert offsets == list(range(256 - size + 1)) and 2 * len(offsets) ** 2 == count


@pytest.mark.parametrize(
    ("size", "names"),
    [(224, "source-145 one-weird-trick torchvision"), (227, "krizhevsky-2012 bvlc-alexnet caffenet")],
)
def test_stored_and_seen_size_are_two(size: int, names: str) -> None:
    """256 x 256 is what all store; an article takes it for the network's input."""
    found = [variant(name) for name in names.split()]
    assert {(value.stored, value.size) for value in found} == {(256, size)}


@pytest.mark.parametrize("name", ["krizhevsky-2012", "source-145", "caffe", "one-weird-trick"])
def test_raw_pixels_less_the_mean_picture(name: str) -> None:
    """Section 2: "the (centered) raw RGB values". The shorter side is scaled to 256; Caffe alone squashes."""
    found = recipe(name)
    assert (found.mean, found.scale, found.size, found.margin) == ("picture", 1.0, 0, "variant")
    assert found.resize == ("squash" if name == "caffe" else "crop")


def test_the_centre_of_the_mean_picture_is_subtracted_wherever_a_crop_was_cut() -> None:
    """As the source does it: what is subtracted has the size of a view and knows nothing of its place."""
    pictures = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    part = Part(pictures, np.zeros(9, np.int64), Path("nowhere"), np.array([1, 2, 5, 8]), "")
    mean = statistics.mean_view(part, Input(size=4, stored=8))
    np.testing.assert_allclose(mean, pictures[[1, 2, 5, 8]].mean(axis=0)[2:6, 2:6], rtol=1e-6)
    pictures[:] = 0  # for the input rule and for the first stage the pictures are read once
    np.testing.assert_array_equal(statistics.mean_view(part, Input(size=4, stored=8)), mean)


@pytest.mark.parametrize(
    ("name", "views"),
    [
        ("krizhevsky-2012", (RandomCrop(), Flip(), ColourNoise(0.1))),
        ("source-145", (RandomCrop(32), Flip(32), ColourNoise(0.1, 1.1))),
        ("one-weird-trick", (RandomCrop(), Flip(), ColourNoise(0.1, 1.1))),
        ("caffe", (RandomCrop(), Flip())),
        ("cifar-13pct", (RandomCrop(), Flip())),
        ("cifar-11pct", (RandomCrop(), Flip())),
    ],
)
def test_training_views(name: str, views: tuple[object, ...]) -> None:
    """crop_chunk=32 in the source; Caffe and the authors on CIFAR-10 without colour noise."""
    assert recipe(name).views == views


@pytest.mark.parametrize(("divisor", "expected"), [(1.0, 12.2), (1.1, 11.1)])
def test_strength_of_the_colour_noise_on_imagenet(divisor: float, expected: float) -> None:
    """One deviation along the first axis, in grey levels: 0.1 · 121.7801, and in the source that over 1.1."""
    first = (121.7801 * 0.5635, 121.7801 * 0.5762, 121.7801 * 0.5920)
    view = ColourNoise(0.1, divisor, (first, (0.0,) * 3, (0.0,) * 3))
    one = 0.5 * (1 + math.erf(1 / math.sqrt(2)))  # the normal distribution at one deviation
    cells = {purpose: torch.tensor([one]) for purpose in view.purposes}
    added = augment(torch.zeros(1, 1, 1, 3, dtype=torch.uint8), cells, (view,), 1)
    assert added.norm().item() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", ["cifar-13pct", "cifar-11pct"])
def test_views_of_the_authors_cifar_networks(name: str) -> None:
    """24 x 24 of 32 x 32: a border of 4, nine places each way, from raw pixels less their mean."""
    value = variant(recipe(name).variant)
    assert (value.size, value.stored, (value.stored - value.size) // 2) == (24, 32, 4)
    pictures = torch.arange(32, dtype=torch.uint8).view(1, 1, 32, 1).expand(81, 32, 32, 3)
    top, left = torch.tensor(list(itertools.product(np.arange(9) / 9 + 0.01, repeat=2))).float().T
    views = augment(pictures, {"top": top, "left": left}, (RandomCrop(),), 24)
    assert views.shape[1:] == (24, 24, 3) and views[:, 0, 0, 0].unique().tolist() == list(range(9))


def test_schedule_of_the_11_per_cent() -> None:
    """About 350 epochs on four fifths of the pictures and 150 on all, here 500 on all; then 10 at a tenth, 10 at a
    hundredth of the rate."""
    found = recipe("cifar-11pct")
    assert [phase.until for phase in found.phases] == [350 + 150, 350 + 150 + 10, 350 + 150 + 10 + 10]
    assert [phase.factor for phase in found.phases] == [1, 0.1, 0.01]


def test_450_000_steps_of_256_are_90_epochs() -> None:
    assert recipe("caffe").epochs == 90 == round(450_000 * 256 / 1_281_167)
