"""Variants as JSON documents: what is written is read again, and what is no variant is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.errors import AlexNetError
from alexnet.network import architecture as a
from alexnet.network import documents
from alexnet.network.variants import VARIANTS, variant

ONE_OUTPUT = "yenigun-batch-norm"  # tells two classes apart, and no other number of them


@pytest.mark.parametrize("name", VARIANTS)
def test_json_round_trip(name: str) -> None:
    value = variant(name, classes=2 if name == ONE_OUTPUT else 7, channels=2)
    assert documents.from_json(json.loads(json.dumps(documents.to_json(value)))) == value


initial = st.one_of(
    st.floats(0.0, 10.0), st.sampled_from(["he", "gabor", "glorot", "glorot-uniform", "lecun", "torch"])
)
biases = st.one_of(st.none(), st.floats(-2.0, 2.0))
small = st.integers(1, 8)
any_layer = st.one_of(
    st.builds(
        a.Conv, st.integers(1, 9).map(lambda n: 3 * n), small, small, st.integers(0, 3), st.sampled_from([1, 3])
    ).flatmap(lambda c: st.builds(dataclasses.replace, st.just(c), ceil=st.booleans(), std=initial, bias=biases)),
    st.builds(a.Local, small, small, small, st.integers(0, 3), st.floats(0.0, 10.0), st.floats(-2.0, 2.0)),
    st.builds(a.Linear, small, initial, biases),
    st.sampled_from([a.ReLU(), a.Tanh(), a.Sigmoid(), a.ZeroLogit()]),
    st.builds(a.MaxPool, small, small, st.booleans()),
    st.builds(a.AveragePool, small, small, st.booleans()),
    st.builds(a.AdaptivePool, small),
    st.builds(a.ResponseNorm, st.sampled_from([1, 3, 5]), st.floats(1e-6, 1), st.floats(0.1, 2), st.floats(0.1, 3)),
    st.builds(a.ResponseNorm, st.sampled_from([3, 5]), over=st.sampled_from(["maps", "space"])),
    st.builds(a.BatchNorm, st.floats(1e-8, 1e-2), st.floats(0.01, 1.0)),
    st.builds(a.Dropout, st.floats(0.0, 0.99), st.booleans()),
)


def test_every_kind_of_layer_is_tried() -> None:
    """`any_layer` would fall behind silently."""
    drawn: set[type[a.Layer]] = set()

    @settings(deadline=None, max_examples=300, derandomize=True, database=None)
    @given(any_layer)
    def collect(layer: a.Layer) -> None:
        drawn.add(type(layer))

    collect()
    assert drawn == set(documents.LAYERS.values())


@settings(deadline=None, max_examples=100)
@given(layer=any_layer, title=st.text(), top1=st.one_of(st.none(), st.floats(0, 1)))
def test_json_round_trip_of_any_layer(layer: a.Layer, title: str, top1: float | None) -> None:
    layers = (("first", layer), ("fc", a.Linear(4)))
    value = a.Variant("mine", title, "nowhere", layers, classes=4, channels=3, size=32, stored=40, top1=top1)
    text = json.dumps(documents.to_json(value))
    again = documents.from_json(json.loads(text))
    assert again == value
    assert [type(x) for _, x in again.layers] == [type(layer), a.Linear]
    assert json.dumps(documents.to_json(again)) == text


DOCUMENT = documents.to_json(variant("lenet-5"))


def changed(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENT, **changes}


def with_layer(index: int, **changes: Any) -> dict[str, Any]:
    layers = [dict(entry) for entry in DOCUMENT["layers"]]
    layers[index].update(changes)
    return changed(layers=layers)


NOT_A_VARIANT: dict[str, Any] = {
    "null": None,
    "number": 7,
    "text": "a variant",
    "list": [],
    "empty": {},
    "layers alone": {"layers": []},
    "no layers": changed(layers=None),
    "layers: number": changed(layers=3),
    "layers: text": changed(layers="conv1"),
    "layer: text": changed(layers=["conv1"]),
    "layer: null": changed(layers=[None]),
    "layer: list": changed(layers=[[]]),
    "layers: dict": changed(layers={"conv1": {}}),
    "unknown key": changed(surprise=1),
    "no name": {key: value for key, value in DOCUMENT.items() if key != "name"},
    "unknown type": with_layer(0, type="Deconv"),
    "foreign type": with_layer(0, type="__import__"),
    "type: list": with_layer(0, type=["Conv"]),
    "type: null": with_layer(0, type=None),
    "unknown field": with_layer(0, surprise=1),
    "field of another type": with_layer(1, kernel=3),
    "layer without name": changed(layers=[{"type": "ReLU"}]),
    "layer without type": changed(layers=[{"name": "relu1"}]),
    "layer without fields": changed(layers=[{"name": "conv1", "type": "Conv"}]),
}


@pytest.mark.parametrize("document", NOT_A_VARIANT.values(), ids=NOT_A_VARIANT)
def test_what_is_not_a_variant_is_refused(document: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        documents.from_json(document)


IMPOSSIBLE = {
    "no layers": changed(layers=[]),
    "name: number": changed(name=3),
    "size: text": changed(size="32"),
    "size: negative": changed(size=-32),
    "channels: 0": changed(channels=0),
    "classes: null": changed(classes=None),
    "kernel: text": with_layer(0, kernel="5"),
    "kernel: fraction": with_layer(0, kernel=2.5),
    "kernel: 0": with_layer(0, kernel=0),
    "stride: 0": with_layer(0, stride=0),
    "padding: negative": with_layer(0, padding=-1),
    "maps: negative": with_layer(0, channels=-6),
    "groups: 0": with_layer(0, groups=0),
    "std: unknown rule": with_layer(0, std="kaiming"),
    "std: null": with_layer(0, std=None),
    "bias: text": with_layer(0, bias="zero"),
    "layer name: number": with_layer(0, name=7),
    "layer name: twice": with_layer(1, name="conv1"),  # torch would silently keep only the last
    "layer name: dot": with_layer(1, name="tanh.1"),  # torch allows none
    "pooling stride: 0": with_layer(2, stride=0),
    "normalisation over: number": with_layer(1, type="ResponseNorm", over=1),
    "normalisation over: unknown": with_layer(1, type="ResponseNorm", over="time"),
    "normalisation over: null": with_layer(1, type="ResponseNorm", over=None),
    "dropout inverted: number": changed(
        layers=[*DOCUMENT["layers"], {"name": "drop5", "type": "Dropout", "inverted": 0}]
    ),
    "untied std: rule": changed(
        layers=[{"name": "local0", "type": "Local", "channels": 1, "kernel": 1, "std": "he"}, *DOCUMENT["layers"]]
    ),
    "untied bias: null": changed(
        layers=[{"name": "local0", "type": "Local", "channels": 1, "kernel": 1, "bias": None}, *DOCUMENT["layers"]]
    ),
    "ten classes from one output": changed(layers=[*DOCUMENT["layers"], {"name": "zero5", "type": "ZeroLogit"}]),
    "dropout: above 1": changed(layers=[*DOCUMENT["layers"], {"name": "drop5", "type": "Dropout", "p": 1.5}]),
}


@pytest.mark.parametrize("document", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_values_that_no_variant_can_have_are_refused(document: dict[str, Any]) -> None:
    """A model file may come from anyone; whatever passes here meets code that does not expect it."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        documents.from_json(document)


MISFITS = {
    "groups that do not divide": with_layer(3, groups=4),  # 6 maps come in
    "columns that do not divide": with_layer(1, type="ResponseNorm", columns=5),  # 6 maps come in
    "convolution of a vector": changed(
        layers=[*DOCUMENT["layers"], {"name": "conv9", "type": "Conv", "channels": 3, "kernel": 1}]
    ),
    "pooling of a vector": changed(
        layers=[*DOCUMENT["layers"], {"name": "pool9", "type": "MaxPool", "kernel": 1, "stride": 1}]
    ),
    "untied convolution of a vector": changed(
        layers=[*DOCUMENT["layers"], {"name": "local9", "type": "Local", "channels": 3, "kernel": 1}]
    ),
    "ten logits beside a zero": changed(
        layers=[*DOCUMENT["layers"], {"name": "zero5", "type": "ZeroLogit"}], classes=2
    ),
    "a window in space without a middle": with_layer(1, type="ResponseNorm", size=4, over="space"),
    "outputs that are not the classes": changed(classes=11),
}


@pytest.mark.parametrize("document", MISFITS.values(), ids=MISFITS)
def test_layers_that_do_not_go_together_are_refused(document: dict[str, Any]) -> None:
    """Either as a document that is no variant, or as an error that a user can read."""
    try:
        value = documents.from_json(document)
    except (ValueError, KeyError, TypeError):
        return
    with pytest.raises(AlexNetError):
        a.walk(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(key=st.sampled_from(sorted(DOCUMENT)), value=json_values)
def test_a_spoilt_document_raises_nothing_else(key: str, value: Any) -> None:
    try:
        result = documents.from_json(changed(**{key: value}))
    except (ValueError, KeyError, TypeError):
        return
    assert isinstance(result, a.Variant)
