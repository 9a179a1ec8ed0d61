"""One loss: what the articles call binary cross-entropy is the cross-entropy that is used here."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alexnet.network.architecture import Input
from alexnet.network.layers import Pixels
from alexnet.pictures.batches import Order
from alexnet.training.checkpoint import State, Sums
from alexnet.training.optimizer import make_optimizer
from alexnet.training.recipe import Recipe
from alexnet.training.train import Plan, update

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(0, 2, (50,), generator=GENERATOR)


def both(loss, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and its gradient."""
    x = x.clone().requires_grad_()
    value = loss(x)
    return value.detach(), torch.autograd.grad(value, x)[0]


def test_one_sigmoid_output_is_a_softmax_over_zero_and_itself():
    """The first article: sigmoid and binary cross-entropy of one output z, against cross-entropy of [0, z]."""
    z = 3 * torch.randn(50, generator=GENERATOR).double()
    theirs = both(lambda z: F.binary_cross_entropy(torch.sigmoid(z), LABELS.double()), z)
    ours = both(lambda z: F.cross_entropy(torch.stack([torch.zeros_like(z), z], 1), LABELS), z)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_binary_cross_entropy_of_a_softmax_of_two_is_cross_entropy():
    """The third article: softmax of two outputs against one-hot labels, binary cross-entropy averaged over both."""
    logits = 3 * torch.randn(50, 2, generator=GENERATOR).double()
    one_hot = F.one_hot(LABELS, 2).double()
    theirs = both(lambda x: F.binary_cross_entropy(x.softmax(1), one_hot), logits)
    ours = both(lambda x: F.cross_entropy(x, LABELS), logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)  # theirs takes log(1 - p)


def test_with_more_classes_they_differ():
    """Why that is no recipe for a thousand classes."""
    logits, labels = torch.randn(50, 3, generator=GENERATOR).double(), torch.randint(0, 3, (50,), generator=GENERATOR)
    theirs = F.binary_cross_entropy(logits.softmax(1), F.one_hot(labels, 3).double())
    assert not torch.isclose(theirs, F.cross_entropy(logits, labels), rtol=1e-2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0)])
def test_a_step_goes_down_the_cross_entropy(smoothing, weights):
    """The step that training takes, against softmax and logarithms by numpy and the gradient by hand."""
    views = torch.randint(0, 256, (6, 2, 2, 3), dtype=torch.uint8, generator=GENERATOR)
    labels = torch.randint(0, 3, (6,), generator=GENERATOR)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    before = copy.deepcopy(network)
    recipe = Recipe(
        "r", "", "", update="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0, label_smoothing=smoothing
    )
    pixels = Pixels(Input(size=2, stored=2, mean=(127.0,) * 3, scale=(1 / 64,) * 3))
    share = None if weights is None else torch.tensor(weights)
    plan = Plan(recipe, Order(6, 6, 0), pixels, 2, torch.device("cpu"), False, share)
    state = State(network, make_optimizer(network, recipe), Sums.zero(plan.device))
    update(state, plan, views, labels, plan.weight(labels))

    x = ((views.numpy().astype(np.float64) - 127) / 64).transpose(0, 3, 1, 2).reshape(6, 12)
    weight, bias = (parameter.detach().double().numpy() for parameter in before.parameters())
    scores = np.exp(x @ weight.T + bias)
    p, wanted = scores / scores.sum(1, keepdims=True), np.eye(3)[labels.numpy()]
    w = np.ones(3) if weights is None else np.array(weights)
    target = (1 - smoothing) * wanted + smoothing / 3  # each class's term counts with that class's weight
    total = w[labels.numpy()].sum()
    loss = -(target * w * np.log(p)).sum() / total
    gradient = ((target * w).sum(1, keepdims=True) * p - target * w) / total
    images, summed, _ = state.sums.totals.tolist()
    assert (images, summed / 6) == (6, pytest.approx(loss, rel=1e-5))
    np.testing.assert_allclose(network[1].weight.detach(), weight - 0.1 * gradient.T @ x, atol=1e-6)
    np.testing.assert_allclose(network[1].bias.detach(), bias - 0.1 * gradient.sum(0), atol=1e-6)
