"""The layer table as text, as JSON, explained and drawn."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from alexnet.network.architecture import smallest_size
from alexnet.network.model import skeleton
from alexnet.network.summary import explain, summary, table
from alexnet.network.variants import VARIANTS, variant

ONE_OUTPUT = "yenigun-batch-norm"  # tells two classes apart, and no other number of them
CONVOLUTIONS = {
    **{"lenet-5": 3, "cifar-18pct": 3, "cifar-13pct": 2, "cifar-11pct": 2},
    **{"figure-1-relu": 2, "figure-1-tanh": 2, "figure-1-sigmoid": 2},
}  # of the others five
KEYS = "name type input output kernel stride padding groups activation parameters macs".split()


def total(text: str, label: str) -> int:
    """A number below the table, as Keras prints it."""
    found = re.search(rf"^{label}: ([\d,]+)$", text, re.MULTILINE)
    assert found, f"no line {label!r}"
    return int(found[1].replace(",", ""))


# ---------------------------------------------------------------------------------------------------------------- table


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "fixed"),
    [
        ("krizhevsky-2012", 1000, 60_965_224, 0),
        ("single-column", 1000, 62_378_344, 0),
        ("single-column", 2, 58_289_538, 0),
        ("torchvision", 1000, 61_100_840, 0),
        ("lenet-5", 10, 61_706, 0),
        ("half-width", 1000, 59_798_312, 0),
        ("yenigun-batch-norm", 2, 21_586_689, 704),
        ("cifar-13pct", 10, 1_116_490, 0),
        # The paper's, less 9,568 biases, plus a scale, a shift, a mean and a variance for each of these 9,568 features.
        ("batch-norm", 1000, 60_965_224 + 3 * 9_568, 2 * 9_568),
    ],
)
def test_totals(name: str, classes: int, parameters: int, fixed: int) -> None:
    text = table(variant(name, classes))
    assert total(text, "Total params") == parameters
    assert total(text, "Trainable params") == parameters - fixed
    assert total(text, "Non-trainable params") == fixed


def test_multiply_adds_of_the_paper() -> None:
    assert "Multiply-adds a picture: 724.4 M" in table(variant("krizhevsky-2012"))


def test_rows_of_the_table() -> None:
    lines = table(variant("krizhevsky-2012")).splitlines()
    assert lines[0].startswith("krizhevsky-2012") and "1000 classes" in lines[0] and "3 x 227 x 227" in lines[0]
    rows = {line.split()[0]: line for line in lines if re.match(r"\w+ \((?!type)\w+\)", line)}
    assert list(rows) == [name for name, _ in variant("krizhevsky-2012").layers]
    for part in ("(Conv)", "256 x 27 x 27", "5x5 s1 p2 g2", "relu", "307,456", "223,948,800"):
        assert part in rows["conv2"], part
    for part in ("(Linear)", "4096", "37,752,832", "37,748,736"):
        assert part in rows["fc6"], part
    assert "3x3 s2" in rows["pool1"] and "96 x 27 x 27" in rows["pool1"]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_table_stays_in_its_frame(name: str) -> None:
    lines = table(variant(name)).splitlines()
    rule = next(line for line in lines if set(line) == {"─"})
    assert lines.count(rule) == 3
    body = lines[lines.index(rule) : len(lines) - lines[::-1].index(rule)]
    assert len(body) == len(variant(name).layers) + 4
    assert max(map(len, body)) == len(rule)


# ----------------------------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(("size", "classes", "channels"), [(None, None, None), (100, 5, 1)])
@pytest.mark.parametrize("name", VARIANTS)
def test_json_document(name: str, size: int | None, classes: int | None, channels: int | None) -> None:
    if size and name == ONE_OUTPUT:
        size, classes = 200, 2
    value = variant(name, classes, channels)
    document = summary(value, size)
    assert json.loads(json.dumps(document)) == document
    side, layers = size or value.size, document["layers"]
    assert layers[0]["input"] == [value.channels, side, side]
    assert layers[-1]["output"] == [value.classes]
    for layer in layers:
        assert set(KEYS) <= set(layer)
        assert len(layer["output"]) in (1, 3) and all(isinstance(n, int) and n > 0 for n in layer["output"])
    for one, following in pairwise(layers):
        assert one["output"] == following["input"], following["name"]
    assert document["macs"] == sum(layer["macs"] for layer in layers)
    network = skeleton(value, size)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    kept = sum(b.numel() for n, b in network.named_buffers() if n.endswith(("running_mean", "running_var")))
    assert document["trainable"] == trainable
    assert document["parameters"] == trainable + kept == sum(layer["parameters"] for layer in layers)


@pytest.mark.parametrize("name", VARIANTS)
def test_convolutions_and_nothing_else_are_named_conv(name: str) -> None:
    layers = summary(variant(name))["layers"]
    convolutions = [layer for layer in layers if layer["name"].startswith("conv")]
    assert [layer["name"] for layer in convolutions] == [f"conv{n + 1}" for n in range(len(convolutions))]
    assert len(convolutions) == CONVOLUTIONS.get(name, 5)
    assert [layer["name"] for layer in layers if layer["type"] == convolutions[0]["type"]] == [
        layer["name"] for layer in convolutions
    ]
    for layer in convolutions:
        assert all(isinstance(layer[key], int) for key in ("kernel", "stride", "padding", "groups"))


def test_geometry_of_the_paper() -> None:
    rows = {layer["name"]: layer for layer in summary(variant("krizhevsky-2012"))["layers"]}
    geometry = {n: tuple(r[k] for k in ("kernel", "stride", "padding", "groups")) for n, r in rows.items()}
    assert geometry["conv1"] == (11, 4, 0, 1)
    assert geometry["conv2"] == (5, 1, 2, 2)
    assert geometry["conv3"] == (3, 1, 1, 1)
    assert geometry["conv4"] == geometry["conv5"] == (3, 1, 1, 2)
    assert geometry["pool1"][:2] == geometry["pool2"][:2] == geometry["pool5"][:2] == (3, 2)
    assert geometry["fc6"] == (None, None, None, None)


@pytest.mark.parametrize(
    ("name", "kind", "last"),
    [
        ("krizhevsky-2012", "relu", "fc8"),
        ("single-column", "relu", "fc8"),
        ("torchvision", "relu", "fc8"),
        ("batch-norm", "relu", "fc8"),
        ("lenet-5", "tanh", "fc5"),
        ("source-145", "relu", "fc8"),  # where pooling stands between
        ("yenigun-batch-norm", "relu", "fc8"),
        ("cifar-13pct", "relu", "fc5"),
        ("figure-1-tanh", "tanh", "fc5"),
        ("figure-1-sigmoid", "sigmoid", "fc5"),
    ],
)
def test_activation_stands_beside_the_layer_that_feeds_it(name: str, kind: str, last: str) -> None:
    for layer in summary(variant(name))["layers"]:
        weighted = layer["name"].startswith(("conv", "local", "fc"))
        assert layer["activation"] == (kind if weighted and layer["name"] != last else None), layer["name"]


def test_a_layer_without_a_non_linearity_does_not_borrow_the_next_ones() -> None:
    parent = variant("krizhevsky-2012")
    linear = replace(parent, layers=tuple((n, x) for n, x in parent.layers if n not in ("relu3", "relu6")))
    found = {layer["name"]: layer["activation"] for layer in summary(linear)["layers"]}
    names = ("conv2", "conv3", "conv4", "fc6", "fc7", "fc8")
    assert [found[name] for name in names] == ["relu", None, "relu", None, "relu", None]
    printed = {layer["name"]: layer["activation"] for layer in summary(variant("arham-pytorch"))["layers"]}
    assert [printed[name] for name in ("conv5", "fc6", "fc7", "fc8")] == ["relu", None, None, None]


# -------------------------------------------------------------------------------------------------------------- explain


def test_the_papers_first_layer_is_explained() -> None:
    lines = list(explain(variant("krizhevsky-2012")))
    assert any(line.startswith("conv1: ") and "(227 − 11)/4 + 1 = 55" in line for line in lines)
    assert any(line.startswith("conv2: ") and "(27 + 2·2 − 5)/1 + 1 = 27" in line for line in lines)
    assert any(line.startswith("pool5: ") and "(13 − 3)/2 + 1 = 6" in line for line in lines)
    assert any(line.startswith("fc6: ") and "256 x 6 x 6" in line and "4096" in line for line in lines)


def test_rounding_is_shown() -> None:
    (up,) = (line for line in explain(variant("krizhevsky-2012"), 224) if line.startswith("conv1:"))
    assert "⌈(224 − 11)/4⌉ + 1 = 55" in up
    (down,) = (line for line in explain(variant("single-column"), 224) if line.startswith("conv1:"))
    assert "⌊(224 − 11)/4⌋ + 1 = 54" in down


FORMULA = re.compile(r"(\w+): ([⌈⌊]?)\((\d+)(?: \+ 2·(\d+))? − (\d+)\)/(\d+)[⌉⌋]? \+ 1 = (\d+), (\d+) maps of (\d+) x")


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("extra", [0, 1, 2, 3, 31, 32, 33, 34])
def test_every_explanation_is_true(name: str, extra: int) -> None:
    value = variant(name)
    size = smallest_size(value) + extra
    outputs = {layer["name"]: layer["output"] for layer in summary(value, size)["layers"]}
    explained = [match.groups() for line in explain(value, size) if (match := FORMULA.match(line))]
    kinds = ("conv", "pool", "local")
    assert [entry[0] for entry in explained] == [layer for layer in outputs if layer.startswith(kinds)]
    assert len(explained) == {3: 5, 2: 6}.get(CONVOLUTIONS.get(name, 5), 8) + (name == "cifar-18pct")
    for layer, bracket, side, padding, kernel, stride, result, maps, printed in explained:
        quotient = (int(side) + 2 * int(padding or 0) - int(kernel)) / int(stride)
        windows = {"⌈": math.ceil, "⌊": math.floor, "": lambda q: q}[bracket](quotient) + 1
        assert windows == int(result) == int(printed) == outputs[layer][1], layer
        assert int(maps) == outputs[layer][0], layer


def test_linear_layers_and_adaptive_pooling_are_explained() -> None:
    lines = dict(line.split(": ", 1) for line in explain(variant("torchvision", classes=5)))
    assert "256 maps of 6 x 6" in lines["avgpool"]
    assert lines["fc7"].startswith("4096 ") and "4096" in lines["fc7"][5:]
    assert lines["fc8"].startswith("4096 ") and lines["fc8"].endswith("5")
    assert not {"relu1", "drop6"} & lines.keys()


def test_a_zero_logit_is_explained() -> None:
    assert list(explain(variant("yenigun-batch-norm")))[-2:] == [
        "fc8: 4096 values to 1",
        "zero8: 1 value and a 0 beside it to 2",
    ]
