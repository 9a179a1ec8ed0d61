"""Loaded models: what a file may hold, and what becomes of a model whose file is replaced."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import alexnet
from alexnet.errors import WeightsError
from alexnet.network.architecture import Input
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.weights import files

PICTURES = np.random.default_rng(0).integers(0, 256, (9, 67, 67, 3), dtype=np.uint8)


def model_file(path, seed=0):
    value = variant("krizhevsky-2012", 3)
    rule = Input(size=67, stored=76, mean=(120.0,) * 3, scale=(1.0,) * 3)
    described = files.Description(value, ("a", "b", "c"), rule)
    files.save(path, build(value, size=67, seed=seed).state_dict(), described)
    return path


def altered(path, change, what=None):
    """The file with something changed: its tensors, or its description."""
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()[files.KEY])
    tensors = load_file(path)
    change(document if what == "description" else tensors)
    save_file(tensors, path, {files.KEY: json.dumps(document)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int32], ids=str)
def test_weights_of_another_type_are_refused(tmp_path, dtype):
    path = model_file(tmp_path / "m.safetensors")
    altered(path, lambda tensors: tensors.update({"fc8.weight": tensors["fc8.weight"].to(dtype)}))
    with pytest.raises(WeightsError, match=r"fc8.weight is .* not \(3, 4096\) float32"):
        alexnet.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["input"].update(order="grey"),
        lambda document: document["variant"]["layers"][1].update(name="forward"),
        lambda document: document["variant"]["layers"][1].update(name="a/b"),
        lambda document: document["variant"].update(channels=2),
    ],
)
def test_a_description_that_cannot_work_is_refused(tmp_path, change):
    path = model_file(tmp_path / "m.safetensors")
    altered(path, change, "description")
    with pytest.raises(WeightsError):
        alexnet.load(path)


def test_a_model_stays_itself_when_its_file_is_replaced(tmp_path):
    """Its forms are made when they are needed, which may be later."""
    path, other = model_file(tmp_path / "m.safetensors"), model_file(tmp_path / "n.safetensors", seed=1)
    left, right = alexnet.load(path), alexnet.load(shutil.copy(path, tmp_path / "copy.safetensors"))
    other.replace(path)
    np.testing.assert_array_equal(left.logits(PICTURES[:2]), right.logits(PICTURES[:2]))
    np.testing.assert_array_equal(left.logits(PICTURES), right.logits(PICTURES))
