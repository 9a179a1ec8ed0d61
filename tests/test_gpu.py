"""The same on a GPU as on the processor. Needs one: `pytest -m gpu`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import alexnet
from alexnet.network.model import build
from alexnet.network.response_norm import response_norm
from alexnet.training.augment import augment
from alexnet.training.recipe import Colour, ColourNoise, Flip, RandomAffine, RandomCrop, RandomResizedCrop

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]


def test_response_norm_and_its_gradient():
    x = torch.randn(2, 96, 9, 9)
    results = []
    for device in ("cpu", "cuda"):
        inner = x.to(device).to(memory_format=torch.channels_last).requires_grad_()
        found = response_norm(inner, columns=2)
        found.sum().backward()
        results.append((found.detach().cpu(), inner.grad.cpu()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["krizhevsky-2012", "batch-norm"])
def test_logits(name):
    network = build(name, classes=5, size=127).eval()
    x = torch.randn(2, 3, 127, 127)
    with torch.no_grad():
        here = network(x)
        there = network.cuda()(x.cuda()).cpu()
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)


def test_training_views():
    noise = ColourNoise(0.1, 1.1, ((30.0, 30.0, 30.0), (9.0, 0.0, -9.0), (3.0, -6.0, 3.0)))
    views = (RandomResizedCrop(), RandomAffine(5, 0.1), Flip(), noise, Colour())
    pictures = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    names = [purpose for view in (*views, RandomCrop()) for purpose in view.purposes]
    chance = {name: torch.rand(4) for name in names}
    here = augment(pictures, chance, views, 48)
    there = augment(pictures.cuda(), chance, views, 48).cpu()
    assert (here - there).abs().max() <= 2.5  # a unit of rounding, times the gain
    crop = augment(pictures, chance, (RandomCrop(),), 48)
    assert torch.equal(crop, augment(pictures.cuda(), chance, (RandomCrop(),), 48).cpu())


def test_a_loaded_model(photos, tmp_path):
    found = alexnet.train(photos, out=tmp_path / "run", variant="lenet-5", epochs=1, settings=["device=cpu"])
    pictures = sorted((photos / "test").rglob("*.png"))
    here, there = (alexnet.load(found["run"], device=device) for device in ("cpu", "cuda"))
    views = here.preprocess(pictures)
    np.testing.assert_allclose(there.logits(views), here.logits(views), atol=0.05)


def test_a_run(photos, tmp_path):
    found = alexnet.train(
        photos, out=tmp_path / "run", variant="lenet-5", epochs=60, settings=["learning_rate=0.01", "batch_size=16"]
    )
    assert found["test"]["top1"] >= 0.8
    assert np.isfinite(found["last"]["train_loss"])
