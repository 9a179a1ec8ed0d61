"""The update rule, the rates and when to stop, against the paper's own formulas worked out by hand."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch
from torch import nn

from alexnet.training.optimizer import make_optimizer, one_cycle, orthogonal, rate, set_rate, stalls, stopped
from alexnet.training.recipe import Phase, Recipe, phase_at
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


def network(**widths: int) -> nn.Sequential:
    """Products of 3 values by name, in float64."""
    layers = nn.Sequential()
    for name, width in widths.items():
        layers.add_module(name, nn.Linear(3, width).double())
    return layers


def walk(layers: nn.Module, asked: Recipe, epochs: list[float], gradients: list[dict[str, torch.Tensor]]) -> None:
    """The steps of the loop that begin at these epochs, with gradients given."""
    optimizer = make_optimizer(layers, asked)
    for epoch, gradient in zip(epochs, gradients, strict=True):
        phase = phase_at(asked, epoch)
        set_rate(optimizer, rate(asked, 0, 1, [], phase), phase)
        for name, parameter in layers.named_parameters():
            parameter.grad = gradient[name].clone()
        optimizer.step()


def drawn_like(layers: nn.Module, steps: int, size: float = 1.0) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    names = dict(layers.named_parameters())
    return [
        {n: size * torch.randn(p.shape, generator=generator).double() for n, p in names.items()} for _ in range(steps)
    ]


def source_rate(name: str, epoch: float) -> float:
    """What the notes of layer-params-145.cfg say of each layer's rate, epoch by epoch; biases stay at 0.02."""
    if name.startswith("conv1") and epoch >= 72:
        return 0.0
    if name.endswith("bias"):
        return 0.02
    if name.startswith("conv1") and epoch >= 67:
        return 1e-5
    return 0.01 if epoch < 25 else 1e-3 if epoch < 51 else 1e-4 if epoch < 79 else 1e-5


def test_the_sources_rule_with_rates_of_its_layers_and_phases():
    """The same velocity form, three steps an epoch over all 91 epochs: biases at twice the rate and without decay, the
    weights' rate in four steps, the first layer slower and then still."""
    layers = network(conv1=4, conv2=2, fc8=2)
    weights = {name: p.detach().clone() for name, p in layers.named_parameters()}
    velocity = {name: torch.zeros_like(p) for name, p in weights.items()}
    epochs = [step / 3 for step in range(3 * 91)]
    gradients = drawn_like(layers, len(epochs))
    walk(layers, recipe("source-145"), epochs, gradients)
    still = {}
    for epoch, gradient in zip(epochs, gradients, strict=True):
        for name, w in weights.items():
            epsilon = source_rate(name, epoch)
            if epsilon == 0:  # velocity would run out in the source; here the layer stops at once
                still.setdefault(name, w.clone())
                continue
            decay = 0.0 if name.endswith("bias") else 0.0005
            velocity[name] = 0.9 * velocity[name] - decay * epsilon * w - epsilon * gradient[name]
            w += velocity[name]
    assert set(still) == {"conv1.weight", "conv1.bias"}
    for name, parameter in layers.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-11, atol=1e-13)


def test_a_frozen_layer_does_not_move_and_starts_afresh():
    """Bit by bit while it is frozen; then without the velocity it had before."""
    phases = (Phase(until=1), Phase(until=2, rates=(("conv1.*", 0.0),)), Phase())
    asked = dataclasses.replace(recipe("krizhevsky-2012"), schedule="constant", phases=phases)
    gradients = drawn_like(network(conv1=2, fc8=2), 9)
    states = []
    for steps in (3, 6, 9):
        torch.manual_seed(0)
        layers = network(conv1=2, fc8=2)
        walk(layers, asked, [step / 3 for step in range(steps)], gradients[:steps])
        states.append({name: p.detach().clone() for name, p in layers.named_parameters()})
    before, frozen, after = states
    assert torch.equal(before["conv1.weight"], frozen["conv1.weight"])
    assert torch.equal(before["conv1.bias"], frozen["conv1.bias"])
    assert not torch.equal(before["fc8.weight"], frozen["fc8.weight"])
    w, v = frozen["conv1.weight"].clone(), torch.zeros(2, 3).double()
    for gradient in gradients[6:]:
        v = 0.9 * v - 0.0005 * 0.01 * w - 0.01 * gradient["conv1.weight"]
        w += v
    torch.testing.assert_close(after["conv1.weight"], w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("eps", [1e-7, 1e-8])
def test_adam_by_hand(eps):
    """Kingma and Ba, algorithm 1, in float64, with gradients so small that epsilon counts."""
    layers = network(fc8=2)
    weights = {name: p.detach().clone() for name, p in layers.named_parameters()}
    first, second = ({name: torch.zeros_like(p) for name, p in weights.items()} for _ in range(2))
    gradients = drawn_like(layers, 20, size=1e-7)
    walk(layers, dataclasses.replace(recipe("yenigun"), eps=eps), [0.0] * 20, gradients)
    for t, gradient in enumerate(gradients, start=1):
        for name, w in weights.items():
            first[name] = 0.9 * first[name] + 0.1 * gradient[name]
            second[name] = 0.999 * second[name] + 0.001 * gradient[name] ** 2
            root = (second[name] / (1 - 0.999**t)).sqrt()
            w -= 0.001 * first[name] / (1 - 0.9**t) / (root + eps)
    for name, parameter in layers.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-10, atol=1e-13)


def test_biases_and_normalisations_do_not_decay_in_fast():
    layers = nn.Sequential()
    layers.add_module("fc1", nn.Linear(2, 2))
    layers.add_module("bn1", nn.BatchNorm1d(2))
    groups = make_optimizer(layers, recipe("fast")).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    found = {name: decay[id(p)] for name, p in layers.named_parameters()}
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


# ------------------------------------------------------------------------------------------------------- large batches


def lars_by_hand(w: torch.Tensor, v: torch.Tensor, g: torch.Tensor, epsilon: float, decay: float) -> None:
    """Algorithm 1 of You, Gitman and Ginsburg (2017), trust 0.001, momentum 0.9; a vector moves at trust alone."""
    share = (w**2).sum().sqrt() / ((g**2).sum().sqrt() + decay * (w**2).sum().sqrt()) if w.dim() > 1 else 1.0
    v.mul_(0.9).add_(epsilon * 0.001 * share * (g + decay * w))
    w.sub_(v)


def test_lars_by_hand_over_its_warm_up_and_decay():
    """In float64, over steps that rise, fall and end at nothing."""
    asked = dataclasses.replace(recipe("large-batch"), epochs=20, warm_up_epochs=5.0)
    layers = network(conv1=4, fc8=2)
    weights = {name: p.detach().clone() for name, p in layers.named_parameters()}
    velocity = {name: torch.zeros_like(p) for name, p in weights.items()}
    optimizer = make_optimizer(layers, asked)
    for step, gradient in enumerate(drawn_like(layers, 20)):
        set_rate(optimizer, rate(asked, step, 20, []))
        for name, parameter in layers.named_parameters():
            parameter.grad = gradient[name].clone()
        optimizer.step()
        epsilon = 10.0 * min(1.0, step / 5) * (1 - step / 20) ** 2
        for name, w in weights.items():
            if epsilon > 0:
                lars_by_hand(w, velocity[name], gradient[name], epsilon, 0.0 if name.endswith("bias") else 0.0005)
    for name, parameter in layers.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-12, atol=1e-14)


def test_a_step_of_lars_is_as_long_as_the_weights_say():
    """Whatever the gradients' size: without decay and momentum, trust times rate times the length of the weights."""
    for size in (1e-6, 1.0, 1e6):
        layers = network(fc8=2)
        asked = dataclasses.replace(recipe("large-batch"), weight_decay=0.0, warm_up_epochs=0.0)
        before = layers.fc8.weight.detach().clone()
        walk(layers, asked, [0.0], drawn_like(layers, 1, size))
        step = (layers.fc8.weight.detach() - before).norm() / before.norm()
        assert step.item() == pytest.approx(0.001 * 10, rel=1e-9)


def test_lars_stays_where_a_loss_was_not_finite():
    layers = network(conv1=4, fc8=2)
    optimizer = make_optimizer(layers, recipe("large-batch"))
    gradients = drawn_like(layers, 2)
    for name, parameter in layers.named_parameters():
        parameter.grad = gradients[0][name]
    optimizer.found_inf = torch.tensor(0.0)
    optimizer.step()
    before = {name: p.detach().clone() for name, p in layers.named_parameters()}
    buffers = {name: optimizer.state[p]["momentum_buffer"].clone() for name, p in layers.named_parameters()}
    for parameter in layers.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    for name, parameter in layers.named_parameters():
        assert torch.equal(parameter, before[name])
        assert torch.equal(optimizer.state[parameter]["momentum_buffer"], buffers[name])


def test_the_linear_rule_and_its_warm_up():
    """Goyal et al. (2017): a batch of k·n at a rate of k·η, reached from η along a line within five epochs."""
    given = {"batch_size": 1024, "reference_batch": 128, "warm_up_epochs": 5.0, "schedule": "constant", "epochs": 90}
    asked = dataclasses.replace(recipe("krizhevsky-2012"), **given)
    steps = 90 * 100
    for epoch, expected in ((0, 0.01), (1, 0.01 + 0.07 / 5), (2.5, 0.045), (4.99, 0.01 + 0.07 * 4.99 / 5), (5, 0.08)):
        assert rate(asked, round(100 * epoch), steps, []) == pytest.approx(expected)
    assert rate(asked, steps - 1, steps, []) == pytest.approx(0.08)
    stalled = dataclasses.replace(asked, schedule="stall", stall=2)
    assert rate(stalled, steps - 1, steps, rows(0.1, 0.1, 0.1)) == pytest.approx(0.008)
    smaller = dataclasses.replace(asked, batch_size=32)
    assert rate(smaller, 0, steps, []) == rate(smaller, steps - 1, steps, []) == pytest.approx(0.0025)
    assert rate(dataclasses.replace(asked, reference_batch=0, warm_up_epochs=0.0), 0, steps, []) == 0.01


# --------------------------------------------------------------------------------------------- orthogonalised momentum

MUON = Recipe("muon", "", "", update="muon", learning_rate=0.01, momentum=0.95, weight_decay=0.1)


def kernels(groups: int = 1) -> nn.Sequential:
    layers = nn.Sequential()
    layers.add_module("conv1", nn.Conv2d(4, 8, 3, groups=groups, bias=False))
    layers.add_module("fc2", nn.Linear(5, 6))
    return layers


def stepped(layers: nn.Module, steps: int) -> torch.optim.Optimizer:
    optimizer = make_optimizer(layers, MUON)
    for gradients in drawn_like(layers, steps):
        for name, parameter in layers.named_parameters():
            parameter.grad = gradients[name].to(parameter.dtype)
        optimizer.step()
    return optimizer


def test_a_matrix_keeps_its_directions_and_loses_its_lengths():
    for rows, columns in ((6, 40), (40, 6), (8, 8)):
        matrix = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(rows))
        u, lengths, v = torch.linalg.svd(matrix, full_matrices=False)
        inside = u.mT @ orthogonal(matrix) @ v.mT
        diagonal, kept = torch.diagonal(inside, dim1=1, dim2=2), lengths > lengths.amax(1, keepdim=True) / 10
        assert ((diagonal > 0.6) & (diagonal < 1.3))[kept].all()
        assert (inside - torch.diag_embed(diagonal)).abs().max() < 0.05


def test_muon_takes_the_steps_of_torchs_own_and_adamw_the_rest():
    """torch's takes matrices alone."""
    layers = kernels()
    matrix = nn.Parameter(layers.conv1.weight.detach().flatten(1).clone())
    others = [nn.Parameter(p.detach().clone()) for p in layers.fc2.parameters()]
    theirs = torch.optim.Muon([matrix], 0.01, 0.1, 0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(others, 0.01, (0.95, 0.999), weight_decay=0.1)
    before = layers.conv1.weight.detach().clone()
    for gradients in drawn_like(layers, 5):
        matrix.grad = gradients["conv1.weight"].float().flatten(1)
        for parameter, name in zip(others, ("fc2.weight", "fc2.bias"), strict=True):
            parameter.grad = gradients[name].float()
        theirs.step()
        adamw.step()
    stepped(layers, 5)
    moved, expected = layers.conv1.weight.detach() - before, matrix.detach().view_as(before) - before
    assert (moved - expected).norm() < 0.02 * expected.norm()  # theirs is in bfloat16 everywhere
    for ours, other in zip(layers.fc2.parameters(), others, strict=True):
        torch.testing.assert_close(ours, other)


def test_columns_move_as_they_would_on_devices_of_their_own():
    both = kernels(groups=2)
    gradient = drawn_like(both, 1)[0]["conv1.weight"].float()
    before = both.conv1.weight.detach().clone()
    both.conv1.weight.grad = gradient
    make_optimizer(both, MUON).step()
    for rows in (slice(0, 4), slice(4, 8)):
        own = nn.Sequential()
        own.add_module("conv1", nn.Conv2d(2, 4, 3, bias=False))
        own.conv1.weight.data.copy_(before[rows])
        own.conv1.weight.grad = gradient[rows].clone()
        make_optimizer(own, MUON).step()
        torch.testing.assert_close(own.conv1.weight, both.conv1.weight[rows], rtol=1e-4, atol=1e-5)


def test_muon_stays_where_a_loss_was_not_finite():
    layers = kernels()
    optimizer = stepped(layers, 2)
    before = [p.detach().clone() for p in layers.parameters()]
    velocity = optimizer.state[layers.conv1.weight]["momentum_buffer"].clone()
    for parameter in layers.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert all(torch.equal(p, b) for p, b in zip(layers.parameters(), before, strict=True))
    assert torch.equal(optimizer.state[layers.conv1.weight]["momentum_buffer"], velocity)
