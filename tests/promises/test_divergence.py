"""R8: no update follows a loss that is not finite, and what was kept before it is finite."""

from __future__ import annotations

import re
from pathlib import Path

from lab import Said, newest
from safetensors.torch import load_file

POISON = """
import sys
import numpy as np, torch
from alexnet.cli import main as cli
from alexnet.training.train import Plan, train
import alexnet.run

tensors = Plan.tensors

def poisoned(self, batch, pictures):
    views, *rest = tensors(self, batch, pictures)
    bad = np.flatnonzero(batch.places == 11)
    if len(bad) and batch.step >= 20:
        views = views.float()
        views[torch.from_numpy(bad)] = float("nan")
    return views, *rest

Plan.tensors = poisoned
sys.argv[0] = "alexnet"
cli.main()
"""


def diverged(said: Said) -> int:
    """The step that was named, with pictures."""
    assert said.code == 6, said
    found = re.search(r"not finite (?:at|after) step (\d+) \(epoch \d+; pictures train/\w+/\d\d\.png", said.last)
    assert found, said
    return int(found[1])


def all_finite(run: Path) -> bool:
    files = [*run.glob("checkpoint/*/*.safetensors"), *run.glob("*.safetensors")]
    assert files
    tensors = [tensor for file in files for tensor in load_file(file).values()]
    return all(bool(tensor.isfinite().all()) for tensor in tensors if tensor.is_floating_point())


def test_a_poisoned_picture(lab, unbroken, tmp_path):
    run = tmp_path / "run"
    said = lab.end(lab.begin(run, program=("-c", POISON)))
    step = diverged(said)
    assert 20 <= step < 54 and step - 3 <= newest(run) <= step
    assert all_finite(run)
    # The same without the poison: nothing of it is left in what was kept.
    assert lab.to_the_last_file(run) == unbroken


def test_a_rate_that_is_far_too_high(lab, tmp_path):
    run = tmp_path / "run"
    wild = ["learning_rate=1000", "weight_decay=1000", "schedule=constant", "checkpoint_steps=1"]
    said = lab.end(lab.begin(run, "--recipe", "krizhevsky-2012", *(word for s in wild for word in ("--set", s))))
    step = diverged(said)
    assert newest(run) <= step and all_finite(run)
