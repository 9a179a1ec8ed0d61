"""The ONNX graphs of our networks: what ONNX Runtime computes from them, beside torch, on real photographs."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import by_torch, described, small, stirred
from onnx import numpy_helper
from photographs import cuts

from alexnet.errors import UsageError
from alexnet.network import architecture as a
from alexnet.network.variants import VARIANTS, variant
from alexnet.weights import files, onnx_graph


def run(model, pictures):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pictures": pictures})[0]


def compared(description, tensors=None, batches=(1, 3)):
    """Assert that graph and torch agree, whatever the batch."""
    tensors = tensors or stirred(description)
    model = onnx_graph.model(description, tensors)
    onnx.checker.check_model(model, full_check=True)
    pictures = cuts(max(batches), description.input.size)
    expected = by_torch(description, tensors, pictures)
    assert expected.std() > 0.05  # a network that says nothing would agree with anything
    for batch in batches:
        found = run(model, pictures[:batch])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:batch], rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))
    return model


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_computes_the_same(name):
    compared(small(name))


def test_any_number_of_pictures():
    compared(small("source-145"), batches=(1, 3, 8, 33))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["krizhevsky-2012", "source-145", "torchvision", "batch-norm"])
def test_networks_of_full_size(name):
    value = variant(name)
    compared(described(value, value.size))


@pytest.mark.parametrize(
    ("channels", "rule"),
    [
        (3, {"order": "BGR"}),
        (3, {"mean_picture": True}),
        (3, {"order": "BGR", "mean_picture": True}),
        (3, {"scale": (1 / 50, 1 / 60, 1 / 70)}),
        (1, {}),
    ],
)
def test_the_first_stage_is_inside(channels, rule):
    value = small("cifar-18pct", channels=channels).variant
    compared(described(value, 32, **rule))


HEAD = (("fc", a.Linear(9)),)
CHAINS = {
    "pooling beyond the edge": [("p", a.MaxPool(3, 2, ceil=True)), ("q", a.AveragePool(3, 2, ceil=True))],
    "windows smaller than their step": [("p", a.MaxPool(1, 3, ceil=True)), ("q", a.AveragePool(2, 3, ceil=True))],
    "convolution beyond the edge": [("c", a.Conv(6, 5, stride=3, padding=1, ceil=True))],
    "bins of unequal size": [("c", a.Conv(5, 3)), ("p", a.AdaptivePool(7))],
    "more bins than places": [("p", a.MaxPool(8, 8)), ("q", a.AdaptivePool(5))],
    "untied kernels": [("p", a.MaxPool(4, 4)), ("l", a.Local(5, 3, stride=2, padding=1)), ("r", a.ReLU())],
    "normalisation across columns": [("c", a.Conv(12, 3)), ("n", a.ResponseNorm(5, 0.2, 0.6, 1.5, columns=2))],
    "normalisation within maps": [("c", a.Conv(4, 3)), ("n", a.ResponseNorm(3, 0.2, 0.75, 1.0, over="space"))],
    "windows wider than all maps": [("c", a.Conv(4, 3)), ("n", a.ResponseNorm(11, 0.1, 1.0, 2.0))],
    "batch normalisation of pictures": [("n", a.BatchNorm()), ("c", a.Conv(4, 3))],
    "batch normalisation by itself": [("c", a.Conv(4, 3)), ("s", a.Sigmoid()), ("n", a.BatchNorm())],
    "batch normalisation of a vector": [("f", a.Linear(20)), ("n", a.BatchNorm(1e-3)), ("t", a.Tanh())],
    "dropout that only zeroes": [("f", a.Linear(20)), ("r", a.ReLU()), ("d", a.Dropout(0.3, inverted=False))],
    "dropout at the end of the maps": [("c", a.Conv(4, 5, stride=2)), ("d", a.Dropout(0.5))],
    "no bias": [("c", a.Conv(4, 3, bias=None)), ("f", a.Linear(20, bias=None))],
}  # fmt: skip


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS.keys())
def test_layers_at_their_edges(layers):
    compared(described(a.Variant("mine", "", "", (*layers, *HEAD), classes=9, size=33), 33), batches=(2,))


def test_the_file_explains_itself():
    description = small("krizhevsky-2012")
    model = compared(description, batches=(1,))
    assert [(p.key, p.value) for p in model.metadata_props] == [
        (files.KEY, json.dumps(description.to_json(), sort_keys=True))
    ]
    assert files.described("x", model.metadata_props[0].value) == description
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(constant.external_data for constant in model.graph.initializer)
    computed = {n for n, x in description.variant.layers if not isinstance(x, a.Dropout)} - {"fc8"}
    assert computed <= {node.name for node in model.graph.node} & {node.output[0] for node in model.graph.node}


def test_batch_normalisation_is_folded_away():
    model = compared(small("batch-norm"), batches=(1,))
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    description = small("batch-norm")
    tensors = stirred(description)
    for name, given in (("a", tensors), ("b", dict(reversed(tensors.items())))):
        onnx_graph.write(tmp_path / name, description, given, int8=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ----------------------------------------------------------------------------------------------------------------- int8


@pytest.mark.parametrize("name", ["krizhevsky-2012", "batch-norm", "torchvision", "arham-pytorch", "figure-1-tanh"])
def test_int8_stays_near(name):
    description = small(name)
    tensors, pictures = stirred(description), cuts(8, description.input.size)
    model = onnx_graph.model(description, tensors, int8=True)
    onnx.checker.check_model(model, full_check=True)
    expected, found = by_torch(description, tensors, pictures), run(model, pictures)
    assert np.sqrt(((found - expected) ** 2).mean()) < 0.05 * expected.std()
    stored = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    products = [n for n, x in description.variant.layers if isinstance(x, a.Linear)]
    assert all(stored[f"{name}.weight"].dtype == np.int8 for name in products)


def test_every_output_has_its_own_unit():
    """A row a thousand times as small as another is off by half of its own unit, not of the other's."""
    value = a.Variant("mine", "", "", (("fc", a.Linear(3)),), classes=3, size=8)
    description = described(value, 8)
    weight = torch.randn(3, 192, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [1e-3], [0]])
    tensors = {"fc.weight": weight, "fc.bias": torch.zeros(3)}
    stored = {
        c.name: numpy_helper.to_array(c) for c in onnx_graph.model(description, tensors, int8=True).graph.initializer
    }
    back = stored["fc.weight"].T * stored["fc.scale"][:, None]
    assert (np.abs(back - weight.numpy()) <= stored["fc.scale"][:, None] * 0.5001).all()
    pictures = cuts(4, 8)
    found = run(onnx_graph.model(description, tensors, int8=True), pictures)
    expected = by_torch(description, tensors, pictures)
    assert (np.abs(found - expected) <= 0.02 * np.abs(expected).max(0)).all()


def test_an_int8_answer_does_not_depend_on_the_pictures_beside_it():
    description = small("krizhevsky-2012")
    model = onnx_graph.model(description, stirred(description), int8=True)
    pictures = cuts(3, description.input.size)
    pictures[0] = 0
    together = run(model, pictures)
    assert np.isfinite(together).all()
    for number in range(3):
        np.testing.assert_allclose(run(model, pictures[number : number + 1])[0], together[number], rtol=1e-5, atol=1e-5)


def test_sums_that_leave_32_bits_stay_in_float32():
    value = a.Variant("mine", "", "", (("fc", a.Linear(2)),), classes=2, size=220)
    description = described(value, 220)
    tensors = {"fc.weight": torch.full((2, 3 * 220**2), 1e-5), "fc.bias": torch.zeros(2)}
    pictures = np.full((1, 220, 220, 3), 255, np.uint8)
    pictures[0, 0, 0] = 0  # so that nearly all of the others have the highest level
    found = run(onnx_graph.model(description, tensors, int8=True), pictures)
    np.testing.assert_allclose(found, by_torch(description, tensors, pictures), rtol=1e-2)


# -------------------------------------------------------------------------------------------------------------- refused


def test_more_than_one_file_can_hold():
    value = a.Variant("huge", "", "", (("fc6", a.Linear(60_000)), ("fc7", a.Linear(2))), classes=2, size=64)
    with pytest.raises(UsageError, match="2 GiB"):
        onnx_graph.model(described(value, 64), {})


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    description = small("lenet-5")
    with pytest.raises(UsageError, match=r"pip install 'alexnet\[onnx\]'"):
        onnx_graph.model(description, {})
