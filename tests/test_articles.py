"""The five articles: what each runs is run here as it says, and where one errs, what is right."""

from __future__ import annotations

import math
from typing import TypeVar

import pytest

from alexnet.network import architecture as a
from alexnet.network.variants import variant
from alexnet.pictures.batches import Order
from alexnet.training.recipe import ColourNoise
from alexnet.training.recipes import recipe

NETWORKS = ["yenigun-batch-norm", "single-column", "le-keras", "arham-pytorch"]
RECIPES = ["yenigun", "le"]  # those of which the articles print more than the number of epochs


L = TypeVar("L", bound=a.Layer)


def layers(value: a.Variant, kind: type[L]) -> list[L]:
    return [layer for _, layer in value.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("name", NETWORKS)
def test_no_article_has_columns(name: str) -> None:
    """Nor, but for one, the paper's normalisation, and its own has three of them."""
    value = variant(name)
    assert {layer.groups for layer in layers(value, a.Conv)} == {1}
    assert len(layers(value, a.ResponseNorm)) == (3 if name == "arham-pytorch" else 0)
    assert len(layers(value, a.BatchNorm)) == (2 if name == "yenigun-batch-norm" else 0)
    assert len(layers(value, a.Dropout)) == 2  # where a text forgets them, its code does not


@pytest.mark.parametrize("name", ["yenigun-batch-norm", "le-keras", "arham-pytorch"])
def test_no_article_starts_as_the_paper_does(name: str) -> None:
    weighted = [layer for _, layer in variant(name).layers if isinstance(layer, a.Weighted)]
    assert not any(layer.std == 0.01 or layer.bias == 1 for layer in weighted)


@pytest.mark.parametrize("name", RECIPES)
def test_no_article_trains_as_the_paper_does(name: str) -> None:
    """Pixels in 0..1, nothing subtracted; no decay, no colour noise, one rate from beginning to end."""
    found = recipe(name)
    assert (found.mean, found.scale, found.resize) == ("none", 1 / 255, "squash")
    assert (found.weight_decay, found.schedule, len(found.phases)) == (0, "constant", 1)
    assert not any(isinstance(view, ColourNoise) for view in found.views)


@pytest.mark.parametrize(
    ("name", "size", "classes", "outputs", "parameters"),
    [
        ("krizhevsky-2012", 227, 1000, 1000, 60_965_224),
        ("single-column", 227, 1000, 1000, 62_378_344),  # of which an article says 60 million
        ("yenigun-batch-norm", 224, 2, 1, 21_586_689),  # its text describes padded layers and 227
        ("le-keras", 227, 2, 2, 58_289_538),
        ("arham-pytorch", 227, 10, 10, 58_322_314),
    ],
)
def test_sizes_outputs_and_parameters(name: str, size: int, classes: int, outputs: int, parameters: int) -> None:
    value = variant(name, classes)
    assert (value.size, layers(value, a.Linear)[-1].units) == (size, outputs)
    assert sum(row.parameters + row.statistics for row in a.walk(value)) == parameters


def test_maps_without_padding_end_in_one_place() -> None:
    """The first article's code: 256 values reach its connected layers, where its text has 6 x 6 x 256."""
    (first, *_) = (row for row in a.walk(variant("yenigun-batch-norm")) if isinstance(row.layer, a.Linear))
    assert first.input == (256, 1, 1)


def test_the_largest_kernels_are_the_first() -> None:
    assert [layer.kernel for layer in layers(variant("krizhevsky-2012"), a.Conv)] == [11, 5, 3, 3, 3]


def test_lenet_has_three_convolutions() -> None:
    """The third, over all of its 5 x 5 input, is easily taken for a connected layer."""
    outputs = [row.output for row in a.walk(variant("lenet-5")) if isinstance(row.layer, a.Conv)]
    assert outputs == [(6, 28, 28), (16, 10, 10), (120, 1, 1)]


def test_steps_of_an_epoch() -> None:
    """Of 8,005 pictures the notebook leaves 69 out of each epoch; here every picture is taken once in each."""
    assert 8_005 // 128 == 62 and 8_005 % 128 == 69
    assert Order(8_005, 128, 0).steps(100) == math.ceil(100 * 8_005 / 128) == 6_254


def test_the_confusion_matrix_counts_the_test_pictures() -> None:
    """2,023, not the 2,025 that the article prints; and its accuracy follows from it."""
    right, wrong = 900 + 940, 112 + 71
    assert right + wrong == 2_023 and "2,023" in variant("le-keras").measured
    assert variant("le-keras").top1 == pytest.approx(right / (right + wrong), abs=5e-6)


def test_shuffle_buffer_and_batch() -> None:
    """A thousandth of the training pictures: cats stay near cats where they lie together."""
    assert (recipe("yenigun").shuffle, recipe("yenigun").batch_size) == (18_610 // 1000, 4) == (18, 4)


def test_cifar_10_is_scaled_up_to_what_the_network_sees() -> None:
    """The last article does not say how; a random crop of a larger picture would be the paper's way."""
    found = recipe("arham")
    assert (found.resize, found.margin, found.views, variant(found.variant).size) == ("squash", "none", (), 227)
