"""The forms in which a network answers: what they compute against the network itself, and which one is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from alexnet.network import inference
from alexnet.network.inference import converted, in_form
from alexnet.network.model import build
from alexnet.network.variants import variant

PICTURES = torch.rand(6, 3, 67, 67, generator=torch.Generator().manual_seed(0)) * 2 - 1


def in_use(name, classes=7, size=67):
    """A network in use, with normalisations that have seen something."""
    torch.manual_seed(0)
    value = variant(name, classes)
    if name == "batch-norm":  # waves would hardly see pictures of noise
        (first, layer), *others = value.layers
        value = replace(value, layers=((first, replace(layer, std="he")), *others))
    made = build(value, size=size).eval().requires_grad_(False)
    for child in made.children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            child.running_mean.normal_()
            child.running_var.uniform_(0.5, 2)
            child.weight.uniform_(0.5, 2)
            child.bias.normal_()
        elif isinstance(child, nn.Conv2d | nn.Linear):
            child.weight.mul_(4)  # the published deviations leave little of a signal in so small a picture
    return made


@pytest.fixture(scope="module", params=["krizhevsky-2012", "batch-norm", "torchvision"])
def network(request):
    return in_use(request.param)


def rows_of(network, block=1000):
    return lambda name: network.get_parameter(name).split(block)


@pytest.mark.parametrize(
    ("dtype", "int8", "tolerance"),
    [
        (torch.float32, False, 1e-5),
        (torch.bfloat16, False, 0.01),
        (torch.float32, True, 0.03),
        (torch.bfloat16, True, 0.03),
    ],
)
def test_forms_compute_the_network(network, dtype, int8, tolerance):
    form = converted(network, rows_of(network), dtype, int8)
    expected = network(PICTURES).double()
    found = form(PICTURES)
    assert found.dtype == torch.float32
    assert (found.double() - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_maps_are_computed_for_a_few_pictures_at_a_time(network, count):
    """On a processor never for more than `AT_ONCE`; every picture gets its answer, in order."""
    form = converted(network, rows_of(network), torch.float32)
    pictures = torch.rand(count, 3, 67, 67, generator=torch.Generator().manual_seed(count))
    seen = {"conv1": [], "fc6": []}
    for name, layer in form.named_children():
        if name in ("conv1", "bn1", "fc6", "bn6"):
            batches = seen["conv1" if name.endswith("1") else "fc6"]
            layer.register_forward_pre_hook(lambda _, given, batches=batches: batches.append(len(given[0])))
    found = form.answer(nn.Identity(), pictures)
    assert sum(seen["conv1"]) == count and max(seen["conv1"]) <= inference.AT_ONCE and seen["fc6"] == [count]
    torch.testing.assert_close(found, network(pictures), rtol=1e-3, atol=1e-4)


def test_only_the_last_layer_stays_wide_and_no_normalisation_over_the_batch_is_left(network):
    form = converted(network, rows_of(network), torch.bfloat16, int8=True)
    assert not any(isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d) for child in form)
    kinds = {name: child.weight.dtype for name, child in form.named_children() if hasattr(child, "weight")}
    assert kinds.pop("fc8") == torch.float32
    assert (
        kinds.pop("conv1", kinds.pop("bn1", None)) == torch.bfloat16
    )  # by the normalisation's name where one is folded
    assert set(kinds.values()) == {torch.int8}


def test_folding_is_exact_up_to_rounding(network):
    """In float64 nothing is rounded away: a folded product is the product and the normalisation after it."""
    for (_, layer), (_, norm) in zip(network.named_children(), list(network.named_children())[1:], strict=False):
        if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
            factor, bias = inference._affine(layer.double(), norm.double())
            x = torch.randn(3, layer.in_features, dtype=torch.float64)
            folded = nn.functional.linear(x, layer.weight * factor[:, None], bias)
            torch.testing.assert_close(folded, norm(layer(x)))
            layer.float(), norm.float()


def test_a_weight_in_int8_is_off_by_half_a_unit_of_its_row_at_most():
    layer = nn.Linear(64, 30).requires_grad_(False)
    layer.weight[3] = 0
    made = inference._int8(layer, torch.ones(30), layer.bias, layer.weight.split(7))
    unit = layer.weight.abs().amax(1, keepdim=True) / 127
    weight = (made(torch.eye(64)) - layer.bias).T
    assert ((weight - layer.weight).abs() <= unit * 0.5001).all()
    x = torch.rand(2, 64) * torch.tensor([[1.0], [1000.0]])
    assert ((made(x) - layer(x)).abs() <= 0.02 * x.amax(1, keepdim=True)).all()


def test_an_answer_in_int8_does_not_depend_on_the_pictures_beside_it():
    layer = nn.Linear(48, 10).requires_grad_(False)
    made = inference._int8(layer, torch.ones(10), layer.bias, layer.weight.split(7))
    x = torch.rand(5, 48) * torch.tensor([[1e-3], [1.0], [1e3], [0.0], [7.0]])
    assert torch.equal(made(x), torch.cat([made(row[None]) for row in x]))
    assert torch.equal(made(x)[3], layer.bias)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_in_int8_is_off_by_what_its_levels_allow(groups):
    """Weights by half of 1/127 of the largest of their map at most, pictures by half of 1/255 of their own largest."""
    layer = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=groups).requires_grad_(False)
    made = inference.Int8Conv2d(layer)
    x = torch.rand(3, 6, 11, 9) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None, None]
    most, unit = x.amax((1, 2, 3)), layer.weight.abs().amax((1, 2, 3))
    terms = layer.weight[0].numel()
    bound = terms * most[:, None] * unit * (0.5 / 127 + 0.5 / 255 + 1e-3)
    found, expected = made(x), layer(x)
    assert ((found - expected).abs().amax((2, 3)) <= bound).all()
    assert (found - expected).norm() <= 0.02 * expected.norm()
    assert torch.equal(found, torch.cat([made(picture[None]) for picture in x]))


def test_only_values_that_are_never_negative_go_into_an_int8_product():
    """uint8 has no sign: behind tanh, or a product with nothing between, a layer stays wide."""
    network = nn.Sequential(
        *(nn.Flatten(), nn.Linear(16, 8)),  # pictures less their mean
        *(nn.Linear(8, 8), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(8, 8), nn.Tanh()),
        *(nn.Linear(8, 8), nn.Sigmoid()),
        *(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)),
    )
    network.eval().requires_grad_(False)
    form = converted(network, rows_of(network), torch.float32, int8=True)
    narrow = {name for name, child in form.named_children() if isinstance(child, inference.Int8Linear)}
    assert narrow == {"5", "9"}
    x = torch.randn(4, 1, 4, 4)
    torch.testing.assert_close(form(x), network(x), atol=0.02, rtol=0)


def test_the_form_follows_from_the_processor(network, monkeypatch):
    def kinds(precision="auto"):
        form = in_form(network, rows_of(network), precision)
        products = [
            child
            for child in form
            if hasattr(child, "weight") and not isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d)
        ]
        first, fc7, last = products[0], products[-2], products[-1]
        return form is network, str(last.weight.dtype), type(fc7).__name__, str(first.weight.dtype)

    for narrow, dtype in ((False, "torch.float32"), (True, "torch.bfloat16")):
        monkeypatch.setattr(inference, "has_bfloat16", lambda device, narrow=narrow: narrow)
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
        assert kinds() == kinds("int8") == (False, "torch.float32", "Int8Linear", dtype)
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
        assert kinds() == (not narrow, "torch.float32", "Linear", dtype)
    assert in_form(network, rows_of(network), "float32") is network


def test_a_normalisation_that_follows_no_product_stays():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).eval()
    network[2].running_mean.fill_(0.3)
    network.requires_grad_(False)
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(
        converted(network, rows_of(network), torch.float32, int8=True)(x), network(x), atol=0.02, rtol=0
    )


@pytest.mark.parametrize(
    "name", ["source-145", "caffenet", "cifar-11pct", "cifar-18pct", "lenet-5", "yenigun-batch-norm"]
)
def test_forms_of_what_is_built_otherwise(name):
    """Normalisation before ReLU or over space, untied convolution, one grey channel, one output beside a zero."""
    value = variant(name)
    size = 67 if value.size in (224, 227) and name != "yenigun-batch-norm" else value.size
    network = in_use(name, value.classes, size)
    x = torch.rand(2, value.channels, size, size) * 2 - 1
    found, expected = converted(network, rows_of(network), torch.float32, int8=True)(x), network(x)
    assert found.shape == expected.shape and found.dtype == torch.float32
    assert (found - expected).norm() <= 0.05 * expected.norm()


def test_a_normalisation_after_the_last_product_stays():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2), nn.BatchNorm1d(2)).eval()
    network[-1].running_mean.fill_(0.5)
    network.requires_grad_(False)
    x = torch.rand(3, 1, 4, 4)
    torch.testing.assert_close(
        converted(network, rows_of(network), torch.float32, int8=True)(x), network(x), atol=0.02, rtol=0
    )
