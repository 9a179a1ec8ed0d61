"""The update rule, the rates and when to stop, against the paper's own formulas worked out by hand."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch
from torch import nn

from alexnet.training.optimizer import make_optimizer, one_cycle, rate, set_rate, stalls, stopped
from alexnet.training.recipes import recipe


def test_the_papers_rule_over_a_drop_of_the_rate():
    """v <- 0.9 v - 0.0005 e w - e g; w <- w + v, in float64 (paper §5), for 30 steps with a drop to a tenth at 10."""
    generator = torch.Generator().manual_seed(1)
    layer = nn.Linear(7, 3).double()
    gradients = [[torch.randn(p.shape, generator=generator).double() for p in layer.parameters()] for _ in range(30)]
    weights = [p.detach().clone() for p in layer.parameters()]
    velocity = [torch.zeros_like(p) for p in weights]
    optimizer = make_optimizer(layer, recipe("krizhevsky-2012"))
    for step, gradient in enumerate(gradients):
        epsilon = 0.01 if step < 10 else 0.001
        for w, v, g in zip(weights, velocity, gradient, strict=True):
            v.mul_(0.9).sub_(0.0005 * epsilon * w).sub_(epsilon * g)
            w.add_(v)
        set_rate(optimizer, epsilon)
        for parameter, g in zip(layer.parameters(), gradient, strict=True):
            parameter.grad = g.clone()
        optimizer.step()
    for parameter, w in zip(layer.parameters(), weights, strict=True):
        torch.testing.assert_close(parameter.detach(), w, rtol=1e-12, atol=1e-14)


def test_biases_and_normalisations_do_not_decay_in_fast():
    network = nn.Sequential()
    network.add_module("fc1", nn.Linear(2, 2))
    network.add_module("bn1", nn.BatchNorm1d(2))
    groups = make_optimizer(network, recipe("fast")).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    found = {name: decay[id(p)] for name, p in network.named_parameters()}
    assert found == {"fc1.weight": 0.05, "fc1.bias": 0, "bn1.weight": 0, "bn1.bias": 0}


def test_one_cycle_rises_and_falls():
    values = [one_cycle(step / 1000, 0.3) for step in range(1001)]
    assert values[0] == pytest.approx(1 / 25) and max(values) == values[300] == 1 and values[1000] == pytest.approx(0)
    assert all(a < b for a, b in pairwise(values[:301]))
    assert all(a > b for a, b in pairwise(values[300:]))
    torch_optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(torch_optimizer, 1, 1001, pct_start=0.3, cycle_momentum=False)
    theirs = []
    for _ in range(1001):
        theirs.append(torch_optimizer.param_groups[0]["lr"])
        torch_optimizer.step()
        if len(theirs) < 1001:
            schedule.step()
    assert max(abs(a - b) for a, b in zip(values, theirs, strict=True)) < 3e-3  # its phases are a step shorter


def rows(*top1: float) -> list[dict[str, float]]:
    return [{"valid_top1": value, "train_top1": 0.0, "valid_loss": 1 - value} for value in top1]


def test_the_rate_falls_to_a_tenth_when_validation_stalls_three_times_at_most():
    asked = dataclasses.replace(recipe("krizhevsky-2012"), stall=2)
    assert stalls(rows(0.1, 0.2, 0.3), 2, 3) == 0
    assert stalls(rows(0.1, 0.2, 0.2, 0.2), 2, 3) == 1
    assert stalls(rows(0.1, 0.2, 0.2, 0.2, 0.2), 2, 3) == 1
    assert stalls(rows(0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.3), 2, 3) == 2
    assert stalls(rows(*[0.1] * 50), 2, 3) == 3
    assert rate(asked, 0, 100, rows(0.1, 0.1, 0.1)) == pytest.approx(0.001)


def test_stopping():
    assert not stopped(rows(0.1, 0.2, 0.3, 0.4), "valid_top1", 2)
    assert stopped(rows(0.1, 0.4, 0.3, 0.4), "valid_top1", 2)
    assert stopped(rows(0.1, 0.4, 0.3, 0.4), "valid_loss", 2)
    assert not stopped(rows(0.4), "valid_top1", 1) and not stopped(rows(0.4, 0.4, 0.4), "", 1)
