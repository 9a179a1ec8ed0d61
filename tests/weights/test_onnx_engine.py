"""ONNX files as models: what is loaded and computed, without torch, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from networks import by_torch, described, saved, stirred
from photographs import PHOTOGRAPHS, cuts

import alexnet
from alexnet.errors import UsageError, WeightsError
from alexnet.evaluation.evaluate import evaluate
from alexnet.network.variants import variant
from alexnet.weights import onnx_engine, onnx_graph

DESCRIPTION = described(variant("cifar-18pct", 3), 32, order="BGR")

WITHOUT_TORCH = """
import sys
from alexnet.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    if "torch" in sys.modules or "onnx" in sys.modules:
        sys.exit("torch or onnx was imported")
    sys.exit(end.code)
"""


@pytest.fixture(scope="module")
def tensors():
    return stirred(DESCRIPTION)


@pytest.fixture
def file(tmp_path, tensors):
    path = tmp_path / "model.onnx"
    onnx_graph.write(path, DESCRIPTION, tensors)
    return path


def altered(path, change):
    """The file after a change of the message in it."""
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_it_is_a_model_like_any_other(file, tensors):
    model = alexnet.load(file)
    pictures = cuts(5, 32)
    assert model.description == DESCRIPTION and model.classes == DESCRIPTION.classes
    np.testing.assert_allclose(model.logits(pictures), by_torch(DESCRIPTION, tensors, pictures), atol=1e-4)
    assert [len(answer["top"]) for answer in model.predict(PHOTOGRAPHS, top=2)] == [2, 2]
    mirrored = pictures[:, :, ::-1]  # a view that runs backwards in memory
    np.testing.assert_allclose(model.logits(mirrored), by_torch(DESCRIPTION, tensors, mirrored), atol=1e-4)


@pytest.fixture
def photos(tmp_path, easy_picture):
    for kind, name in enumerate(DESCRIPTION.classes):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            easy_picture(kind, number).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def test_predict_and_evaluate_leave_torch_alone(file, photos):
    for arguments in (["predict", photos, "--model", file, "--json"], ["evaluate", file, photos, "--json"]):
        command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert answer.returncode == 0, answer.stderr
        assert len(json.loads(answer.stdout)) >= 5


def test_onnx_and_torch_are_averaged(file, photos, tmp_path, tensors):
    other = stirred(DESCRIPTION, seed=1)
    saved(tmp_path / "one.safetensors", DESCRIPTION, tensors)
    saved(tmp_path / "two.safetensors", DESCRIPTION, other)
    two = tmp_path / "two.safetensors"
    mixed, plain = evaluate([file, two], photos), evaluate([tmp_path / "one.safetensors", two], photos)
    np.testing.assert_allclose(mixed.probabilities, plain.probabilities, atol=0.02)  # torch may take few bits


# -------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"GARBAGE" * 1000,
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"\x08\x07" + b"\xff" * 5000,
    ],
)
def test_a_damaged_file_is_refused(file, spoil):
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(WeightsError) as refusal:
        alexnet.load(file)
    assert refusal.value.exit_code == 4 and str(file) in str(refusal.value)


def without_description(model):
    del model.metadata_props[:]


def test_another_programs_file_is_answered_with_the_remedy(file):
    with pytest.raises(UsageError, match=r"alexnet weights convert .*model\.onnx --out model\.safetensors"):
        alexnet.load(altered(file, without_description))


def other_size(model):
    model.metadata_props[0].value = json.dumps(described(variant("cifar-18pct", 3), 28).to_json())


def five_classes(model):
    model.metadata_props[0].value = json.dumps(described(variant("cifar-18pct", 5), 32).to_json())


def one_picture_at_a_time(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def another_name(model):
    model.graph.input[0].name = "images"
    for node in model.graph.node:
        node.input[:] = ["images" if name == onnx_engine.INPUT else name for name in node.input]


def no_json(model):
    model.metadata_props[0].value = "{" * 10_000


CHANGES = [other_size, five_classes, one_picture_at_a_time, another_name, no_json]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_does_not_fit_its_description_is_refused(file, change):
    with pytest.raises(WeightsError, match=r"description"):
        alexnet.load(altered(file, change))


def test_values_that_are_no_numbers_are_refused(tmp_path, tensors):
    bad = tensors | {"fc4.bias": torch.full((3,), torch.nan)}
    onnx_graph.write(tmp_path / "bad.onnx", DESCRIPTION, bad)
    with pytest.raises(WeightsError, match="not finite"):
        alexnet.load(tmp_path / "bad.onnx").logits(cuts(1, 32))


def test_without_onnx_runtime(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'alexnet\[onnx\]'"):
        alexnet.load(file)
