"""What a run tells while it trains."""

from __future__ import annotations

import math

import torch

from alexnet.network.model import build
from alexnet.pictures.batches import Order
from alexnet.training.checkpoint import State, Sums
from alexnet.training.journal import Journal
from alexnet.training.optimizer import make_optimizer
from alexnet.training.recipes import recipe


def test_a_progress_line_names_the_epoch_of_the_step_before_it(tmp_path, capsys):
    """Also after the last step of an epoch, whose row is not written yet."""
    network = build("lenet-5", classes=3, seed=0)
    state = State(network, make_optimizer(network, recipe("fast")), Sums.zero(torch.device("cpu")))
    for step, epoch in ((1, 1), (3, 1), (4, 2), (6, 2)):
        state.step = step
        Journal(tmp_path, Order(30, 10, 0), part=None, epochs=2, spoken=-math.inf).tick(state)
        assert capsys.readouterr().err.startswith(f"epoch {epoch}/2  step {step} ")
