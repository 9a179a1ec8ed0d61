"""The forms in which a network answers: what they compute against the network itself, and which one is taken."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from alexnet.network import inference
from alexnet.network.inference import FEW, Forms, converted
from alexnet.network.model import build
from alexnet.network.variants import variant

PICTURES = torch.rand(6, 3, 67, 67, generator=torch.Generator().manual_seed(0)) * 2 - 1


def in_use(name, classes=7, size=67):
    """A network in use, with normalisations that have seen something."""
    torch.manual_seed(0)
    made = build(name, classes=classes, size=size).eval().requires_grad_(False)
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


@pytest.mark.parametrize(("kind", "tolerance"), [("bfloat16", 0.01), ("int8", 0.03)])
def test_forms_compute_the_network(network, kind, tolerance):
    form = converted(network, rows_of(network), kind)
    expected = network(PICTURES).double()
    found = form(PICTURES)
    assert found.dtype == torch.float32
    assert (found.double() - expected).norm() <= tolerance * expected.norm()


def test_only_the_last_layer_stays_wide_and_no_normalisation_over_the_batch_is_left(network):
    form = converted(network, rows_of(network), "int8")
    assert not any(isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d) for child in form)
    wide = {name for name, tensor in form.state_dict().items() if tensor.dtype == torch.float32}
    assert wide == {"fc8.weight", "fc8.bias"}


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
    scale = layer.weight.abs().amax(1, keepdim=True) / 127
    assert ((made.weight * scale - layer.weight).abs() <= scale * 0.5001).all()
    x = torch.randn(2, 64)
    assert torch.allclose(made(x.bfloat16()).float(), layer(x), atol=0.05)


def test_the_form_follows_from_batch_and_processor(network, monkeypatch):
    forms = Forms(network, rows_of(network))
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: False)
    assert forms.kind(1) == forms.kind(64) == "float32" and forms(1) is network
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: True)
    assert forms.kind(1) == forms.kind(FEW) == "int8" and forms.kind(FEW + 1) == "bfloat16"
    assert forms(1) is forms(2)
    assert Forms(network, rows_of(network), "float32")(1) is network


def test_a_normalisation_that_follows_no_product_stays():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).eval()
    network[2].running_mean.fill_(0.3)
    network.requires_grad_(False)
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(converted(network, rows_of(network), "int8")(x), network(x), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "name", ["source-145", "caffenet", "cifar-11pct", "cifar-18pct", "lenet-5", "yenigun-batch-norm"]
)
def test_forms_of_what_is_built_otherwise(name):
    """Normalisation before ReLU or over space, untied convolution, one grey channel, one output beside a zero."""
    value = variant(name)
    size = 67 if value.size in (224, 227) and name != "yenigun-batch-norm" else value.size
    network = in_use(name, value.classes, size)
    x = torch.rand(2, value.channels, size, size) * 2 - 1
    found, expected = converted(network, rows_of(network), "int8")(x), network(x)
    assert found.shape == expected.shape and found.dtype == torch.float32
    assert (found - expected).norm() <= 0.05 * expected.norm()


def test_a_normalisation_after_the_last_product_stays():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2), nn.BatchNorm1d(2)).eval()
    network[-1].running_mean.fill_(0.5)
    network.requires_grad_(False)
    x = torch.rand(3, 1, 4, 4)
    torch.testing.assert_close(converted(network, rows_of(network), "int8")(x), network(x), atol=0.02, rtol=0)
