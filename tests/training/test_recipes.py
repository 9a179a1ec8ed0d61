"""The recipes against the numbers that their sources print, and what a recipe may not say."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch

import alexnet
from alexnet.errors import UsageError
from alexnet.network.variants import lenet_5
from alexnet.training.config import recipe_of
from alexnet.training.optimizer import factors, rate
from alexnet.training.recipe import (
    ColourNoise,
    Flip,
    Phase,
    RandomAffine,
    RandomCrop,
    RandomResizedCrop,
    from_json,
    parse,
    phase_at,
    purposes,
    to_json,
    views_in,
    with_settings,
)
from alexnet.training.recipes import RECIPES, recipe

# What the paper, the files of the 2012 source and of its successors, and the articles print.
PRINTED = {
    "krizhevsky-2012": "epochs=90 batch_size=128 learning_rate=0.01 momentum=0.9 weight_decay=0.0005 drops=3 scale=1",
    "source-145": "epochs=91 batch_size=128 learning_rate=0.01 momentum=0.9 weight_decay=0.0005 mean=picture scale=1",
    "caffe": "epochs=90 batch_size=256 learning_rate=0.01 momentum=0.9 weight_decay=0.0005 mean=picture resize=squash",
    "one-weird-trick": "epochs=90 batch_size=128 learning_rate=0.01 momentum=0.9 weight_decay=0.0005 mean=picture",
    "torchvision": "epochs=90 batch_size=256 learning_rate=0.01 momentum=0.9 weight_decay=0.0001 mean=imagenet",
    "cifar-13pct": "learning_rate=0.001 momentum=0.9 batch_size=128 mean=picture scale=1",
    "cifar-18pct": "epochs=140 learning_rate=0.001 momentum=0.9 batch_size=128 mean=picture scale=1",
    "cifar-11pct": "epochs=520 learning_rate=0.001 momentum=0.9 batch_size=128 mean=picture scale=1",
    "yenigun": "update=adam learning_rate=0.001 eps=1e-7 batch_size=4 shuffle=18 epochs=100 stop_on=train_loss "
    "patience=5 watch=test size=224 resize=squash margin=none mean=none",
    "le": "update=sgd learning_rate=0.1 momentum=0 weight_decay=0 batch_size=128 epochs=100 watch=test resize=squash "
    "margin=none mean=none stop_on=",
    "arham": "epochs=10",
}


@pytest.mark.parametrize("name", PRINTED)
def test_printed_numbers(name):
    expected = dict(setting.split("=") for setting in PRINTED[name].split())
    found = recipe(name)
    assert {field: getattr(found, field) for field in expected} == {f: parse(f, text) for f, text in expected.items()}


def test_what_the_articles_show_the_network():
    """The first its pictures as they are; the third turned by 5 degrees, shifted by a tenth, mirrored."""
    assert recipe("yenigun").views == () and recipe("yenigun").scale == 1 / 255
    assert recipe("le").views == (RandomAffine(5.0, 0.1), Flip()) and recipe("le").scale == 1 / 255


def test_every_recipe_is_listed_once_and_names_its_source():
    names = "fast large-batch krizhevsky-2012 source-145 caffe one-weird-trick torchvision yenigun le arham"
    cifar = "cifar-18pct cifar-13pct cifar-11pct"
    assert sorted(RECIPES) == sorted(f"{names} {cifar}".split())
    assert all(found.name == name and len(found.source) > 20 for name, found in RECIPES.items())


@pytest.mark.parametrize("name", RECIPES)
def test_json_and_back(name):
    assert from_json(json.loads(json.dumps(to_json(recipe(name))))) == recipe(name)


def test_json_of_components_and_of_an_older_run():
    noise = ColourNoise(components=((1.0, 2.0, 3.0), (0.0, 1.0, 0.0), (0.5, 0.5, 0.5)))
    value = dataclasses.replace(recipe("fast"), views=(noise,), phases=(Phase(2, views=()), Phase(None, 0.5)))
    assert from_json(json.loads(json.dumps(to_json(value)))) == value
    document = to_json(recipe("fast"))
    for field in ("phases", "shuffle", "watch", "margin", "eps"):
        del document[field]
    assert from_json(document) == recipe("fast")


@pytest.mark.parametrize(
    "change",
    [
        {"variant": 5},
        {"freeze": None},
        {"views": [5]},
        {"views": [{"type": "RandomResizedCrop", "area": 0.5}]},
        {"views": [{"type": "RandomResizedCrop", "area": [0.5, "1"]}]},
        {"views": [{"type": "Flip", "chunk": True}]},
        {"views": [{"type": "ColourNoise", "components": [[1, 2, None]]}]},
        {"phases": [5]},
        {"phases": [{"factor": "x"}]},
        {"phases": [{"until": float("nan")}]},
        {"phases": [{"views": {}}, {"no": 1}]},
        {"rates": [["*"]]},
        {"schedule": "cosine"},
        {"epochs": "many"},
    ],
    ids=str,
)
def test_a_file_that_is_no_recipe(change, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(to_json(recipe("fast")) | change))
    with pytest.raises(UsageError):
        recipe_of(str(tmp_path / "recipe.json"))


def rates_at(name: str, epoch: float) -> dict[str, float]:
    """The learning rate of some parameters in a step that begins at this epoch."""
    asked = recipe(name)
    phase = phase_at(asked, epoch)
    names = ("conv1.weight", "conv2.weight", "fc8.weight", "conv1.bias", "fc8.bias")
    return {n: rate(asked, 0, 1, [], phase) * factors(n, asked)[1][phase] for n in names}


@pytest.mark.parametrize(
    ("epoch", "first", "others", "first_bias", "noise"),
    [
        (0, 0.01, 0.01, 0.02, True),
        (24.999, 0.01, 0.01, 0.02, True),
        (25, 1e-3, 1e-3, 0.02, True),
        (51, 1e-4, 1e-4, 0.02, True),
        (67, 1e-5, 1e-4, 0.02, False),
        (72, 0, 1e-4, 0, False),
        (79, 0, 1e-5, 0, False),
        (90.9, 0, 1e-5, 0, False),
    ],
)
def test_the_notes_of_145(epoch, first, others, first_bias, noise):
    found = rates_at("source-145", epoch)
    expected = {"conv1.weight": first, "conv2.weight": others, "fc8.weight": others}
    assert found == pytest.approx(expected | {"conv1.bias": first_bias, "fc8.bias": 0.02})
    asked = recipe("source-145")
    views = views_in(asked, phase_at(asked, epoch))
    assert any(isinstance(view, ColourNoise) for view in views) == noise
    assert all(view.chunk == 32 for view in views if isinstance(view, RandomCrop | Flip))


def dexp(base: float, factor: float, steps: int, progress: float) -> float:
    """DiscreteExpParameterSchedule of cuda-convnet2: so many rates, evenly apart in their logarithm."""
    rates = np.geomspace(base, base / factor, steps)
    return float(rates[min(steps - 1, int(progress * steps))])


@pytest.mark.parametrize("epoch", [0, 10, 22.4, 22.6, 44.9, 45.1, 67.4, 67.6, 89.9])
def test_the_schedule_of_one_weird_trick(epoch):
    found = rates_at("one-weird-trick", epoch)
    weights, biases = dexp(0.01, 250, 4, epoch / 90), dexp(0.02, 10, 2, epoch / 90)
    assert found["conv2.weight"] == pytest.approx(weights) and found["fc8.bias"] == pytest.approx(biases)


@pytest.mark.parametrize("iteration", [0, 99_000, 101_000, 199_000, 201_000, 301_000, 401_000, 449_000])
def test_the_schedule_of_caffe(iteration):
    """lr_policy "step", stepsize 100000, gamma 0.1; lr_mult 2 of biases."""
    found = rates_at("caffe", iteration * 256 / 1_281_167)
    expected = 0.01 * 0.1 ** (iteration // 100_000)
    assert found["conv1.weight"] == pytest.approx(expected) and found["conv1.bias"] == pytest.approx(2 * expected)


def test_the_schedule_of_torchvision():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(90):
        assert rates_at("torchvision", epoch)["fc8.weight"] == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    (crop, _) = recipe("torchvision").views
    assert crop == RandomResizedCrop((0.08, 1.0), math.log((4 / 3) / 1))


@pytest.mark.parametrize(("name", "last"), [("cifar-13pct", 0.004), ("cifar-11pct", 0.01)])
def test_decay_and_rates_of_the_authors_cifar_networks(name, last):
    """wc 0 in convolutions, 0.004 in untied layers, biases never; epsW 0.001 and epsB 0.002, epsW alone is lowered."""
    asked = recipe(name)
    layers = ("conv1.weight", "conv2.weight", "local3.weight", "local4.weight", "fc5.weight", "local3.bias")
    decay = [asked.weight_decay * factors(layer, asked)[0] for layer in layers]
    assert decay == pytest.approx([0, 0, 0.004, 0.004, last, 0])
    ends = [phase.until for phase in asked.phases]
    for start, expected in zip((0, ends[0], ends[1]), (1e-3, 1e-4, 1e-5), strict=True):
        assert rates_at(name, start)["conv2.weight"] == pytest.approx(expected)
        assert rates_at(name, start)["conv1.bias"] == pytest.approx(0.002)
    assert asked.epochs == ends[-1]


def test_decay_and_rates_of_the_authors_smallest_cifar_network():
    """wc 0.004 in convolutions and 1 in the last layer; 0.001, a tenth after 120 epochs and again after 10 more."""
    asked = recipe("cifar-18pct")
    layers = ("conv1.weight", "conv3.weight", "fc4.weight", "conv1.bias", "fc4.bias")
    assert [asked.weight_decay * factors(layer, asked)[0] for layer in layers] == pytest.approx([0.004, 0.004, 1, 0, 0])
    assert [phase.until for phase in asked.phases] == [120, 130, 140] and asked.views == ()
    for epoch, expected in ((0, 1e-3), (120, 1e-4), (130, 1e-5)):
        assert rates_at("cifar-18pct", epoch)["conv2.weight"] == pytest.approx(expected)
        assert rates_at("cifar-18pct", epoch)["fc8.bias"] == pytest.approx(0.002)


# ------------------------------------------------------------------------------------------------------------- phases


def test_phases_by_epoch():
    asked = dataclasses.replace(recipe("fast"), phases=(Phase(2), Phase(3.5), Phase(4)))
    assert [phase_at(asked, epoch) for epoch in (0, 1.99, 2, 3.49, 3.5, 3.99, 4, 100)] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert {phase_at(recipe("fast"), epoch) for epoch in (0, 1, 1e6)} == {0}


def test_the_columns_of_all_phases_are_drawn():
    asked = dataclasses.replace(recipe("fast"), views=(RandomCrop(32),), phases=(Phase(1), Phase(views=(Flip(),))))
    assert purposes(asked) == {"left": 32, "top": 32, "flip": 1}


REFUSED = {
    "phases that end backwards": ({"phases": (Phase(3), Phase(2))}, "one after the other"),
    "a phase after the last": ({"phases": (Phase(), Phase(2))}, "one after the other"),
    "no phase": ({"phases": ()}, "one after the other"),
    "two chunks": ({"views": (Flip(),), "phases": (Phase(1), Phase(views=(Flip(32),)))}, "one chunk"),
    "an empty chunk": ({"views": (Flip(0),)}, "1 or more"),
    "the test part lowers the rate": ({"watch": "test", "schedule": "stall"}, "let the test part choose"),
    "the test part stops": ({"watch": "test", "stop_on": "valid_loss"}, "let the test part choose"),
    "an unknown part": ({"watch": "train"}, "not one of validation, test"),
    "noise about a mean picture of another size": (
        {"mean": "picture", "views": (Flip(), ColourNoise(0.1, 1.1), RandomCrop())},
        "ColourNoise divides by 1.1 before the crop: put a crop before it",
    ),
    "no crop before noise": ({"mean": "picture", "phases": (Phase(views=(ColourNoise(0.1, 2.0),)),)}, "a crop before"),
    "no epsilon": ({"eps": 0.0}, "outside"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_recipe_may_not_say(changes, message):
    with pytest.raises(UsageError, match=message):
        with_settings(dataclasses.replace(recipe("fast"), **changes), [])


# --------------------------------------------------------------------------------------------------------------- runs


SMALL = dataclasses.replace(lenet_5(3, 3), size=32, stored=36)  # in colour, and with a margin to cut from


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains(photos, tmp_path, name):
    settings = ["batch_size=16", *(["size=32"] if recipe(name).size else [])]
    found = alexnet.train(photos, out=tmp_path / "run", recipe=name, variant=SMALL, epochs=2, settings=settings)
    assert found["epochs"] == 2 and np.isfinite(found["last"]["train_loss"])
    described = alexnet.load(tmp_path / "run").description
    assert described.input.stored == (32 if recipe(name).margin == "none" else 36)
    assert described.input.resize == recipe(name).resize
    noises = [view for view in described.trained["recipe"]["views"] if view["type"] == "ColourNoise"]
    assert all(np.shape(view["components"]) == (3, 3) for view in noises)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_its_own_network(photos, tmp_path, name):
    for cedars in photos.glob("*/cedar"):  # two classes, so that a network of one output can tell them
        shutil.rmtree(cedars)
    found = alexnet.train(photos, out=tmp_path / "run", recipe=name, epochs=1, settings=["batch_size=16"])
    assert np.isfinite(found["last"]["train_loss"])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("mean", "means", "scales"),
    [
        ("none", (0, 0, 0), (0.5, 0.5, 0.5)),
        ("imagenet", (123.675, 116.28, 103.53), (0.5 / 58.395, 0.5 / 57.12, 0.5 / 57.375)),
    ],
)
def test_what_is_subtracted(photos, tmp_path, mean, means, scales):
    """torchvision's transform, (x / 255 - mean) / std, is the same once its constants are in 0..255."""
    settings = ["batch_size=30", f"mean={mean}", "scale=0.5"]
    alexnet.train(photos, out=tmp_path / "run", variant=SMALL, epochs=1, settings=settings)
    rule = alexnet.load(tmp_path / "run").input
    assert rule.mean == pytest.approx(means) and rule.scale == pytest.approx(scales)


@pytest.mark.usefixtures("undrawn")
def test_where_the_test_part_is_watched_it_does_not_choose(photos, tmp_path):
    """Its scores stand in the history, and the last network is the one that is kept and reported."""
    settings = ["batch_size=16", "watch=test", "validation=0", "learning_rate=0.01"]
    run = tmp_path / "run"
    found = alexnet.train(photos, out=run, variant="lenet-5", epochs=6, settings=settings)
    rows = [line.split(",") for line in (run / "history.csv").read_text().splitlines()]
    top1 = [float(row[rows[0].index("valid_top1")]) for row in rows[1:]]
    assert len(set(top1)) > 1 and found["best"]["epoch"] == found["last"]["epoch"] == 6
    assert found["test"]["top1"] == pytest.approx(top1[-1]) and found["best"]["top1"] == top1[-1]
    assert (run / "best.safetensors").samefile(run / "last.safetensors")
    assert sum(row.endswith(",train") for row in (run / "split.csv").read_text().splitlines()) == 60
    assert "validation" not in alexnet.load(run).scores


def test_watching_a_test_part_that_is_not_there(photos, tmp_path):
    with pytest.raises(UsageError, match=r"watches the test part, and there is none; --set watch=validation"):
        alexnet.train(photos / "train", out=tmp_path / "run", variant="lenet-5", settings=["watch=test"])
