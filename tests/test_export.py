"""`alexnet export`: every format computes what the model computes, and what does not is never written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from photographs import cuts

import alexnet
from alexnet.cli.main import cli
from alexnet.cli.weights import TO
from alexnet.errors import AlexNetError, UsageError
from alexnet.network.architecture import Input
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.pictures.prepare import prepare
from alexnet.use import export as use
from alexnet.use.export import FORMATS, export
from alexnet.weights import files, onnx_graph
from alexnet.weights.files import Description

RULE = Input(size=32, stored=36, mean=(120.0,) * 3, scale=(1 / 60,) * 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file of a network that normalises, with signals that reach its end."""
    value = variant("cifar-11pct", 3)
    description = Description(value, ("ash", "birch", "cedar"), RULE)
    network, generator = build(value, size=32), torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            fan_in = parameter.shape[-1] if parameter.dim() == 3 else parameter[0].numel()
            parameter.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    files.save(path, network.state_dict(), description)
    return path


@pytest.fixture(autouse=True)
def _few_pictures(monkeypatch):
    monkeypatch.setattr(use, "DRAWN", 8)  # to save time


def run(*arguments):
    cli.main([*map(str, arguments)], standalone_mode=False)


def other_network(path, to):
    """A model file of a network that a format holds, for formats that do not hold all."""
    value = variant({"torchvision": "torchvision", "keras": "le-keras"}[to], 3)
    if to == "keras":
        layers = ((n, replace(x, units=64) if n in ("fc6", "fc7") else x) for n, x in value.layers)
        value = replace(value, layers=tuple(layers))
    rule = replace(RULE, size=67, stored=70, mean_picture=to == "keras")
    tensors = build(value, size=67).state_dict()
    if rule.mean_picture:
        tensors[files.MEAN_PICTURE] = torch.rand(67, 67, 3) * 255
    files.save(path, tensors, Description(value, ("ash", "birch", "cedar"), rule))
    return path


CASES = [
    *[("onnx", ".onnx"), ("safetensors", ".safetensors"), ("torchvision", ".pth")],
    *[("keras", ending) for ending in (".keras", ".h5", ".weights.h5")],
]


@pytest.mark.parametrize(("to", "ending"), CASES)
def test_every_format_computes_the_same(model, tmp_path, tmp_path_factory, capsys, to, ending):
    if to in ("torchvision", "keras"):
        model = other_network(tmp_path_factory.mktemp("other") / "model.safetensors", to)
    out = tmp_path / f"model{ending}"
    run("export", model, "--to", to, "--out", out, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(out) and found["bytes"] == out.stat().st_size
    assert found["top1_agreement"] == 1 and found["max_abs_difference"] < 1e-4 and found["pictures"] == 8
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_every_format_has_its_case():
    assert {to for to, _ in CASES} | {"pt2"} == set(FORMATS) == set(TO)


@pytest.mark.parametrize("to", ["torchvision", "keras"])
def test_a_network_that_a_format_lacks(model, tmp_path, to):
    out = tmp_path / f"model{FORMATS[to].endings[0]}"
    with pytest.raises(UsageError, match="cifar-11pct") as refusal:
        export(model, to, out)
    assert str(refusal.value).startswith(f"{out}: ") and not list(tmp_path.iterdir())


def test_a_program_of_torch_runs_without_us(model, tmp_path):
    """Any number of pictures; classes and input rule are in it."""
    found = export(model, "pt2", tmp_path / "model.pt2")
    assert found["top1_agreement"] == 1 and found["max_abs_difference"] < 1e-4
    extra = {"alexnet": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra).module()
    assert json.loads(extra["alexnet"])["classes"] == ["ash", "birch", "cedar"]
    loaded = alexnet.load(model, precision="float32")
    for count in (1, 5):
        pictures = cuts(count, 32)
        np.testing.assert_allclose(program(torch.from_numpy(pictures)), loaded.logits(pictures), atol=1e-4)


def test_int8_says_what_it_costs(model, photos, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    run("export", model, "--to", "onnx", "--int8", "--out", out, "--data", photos, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 18 and found["top1_agreement"] >= 0.9
    scored = alexnet.evaluate(model, photos).scores["top1"], alexnet.evaluate(out, photos).scores["top1"]
    assert (found["top1_before"], found["top1_after"]) == pytest.approx(scored)
    run("export", model, "--to", "onnx", "--out", tmp_path / "wide.onnx")
    assert out.stat().st_size < (tmp_path / "wide.onnx").stat().st_size
    assert "the same on" in capsys.readouterr().out


def test_pictures_of_other_classes_tell_the_difference_alone(model, photos, tmp_path):
    (photos / "test" / "cedar").rename(photos / "test" / "oak")
    (photos / "train" / "cedar").rename(photos / "train" / "oak")
    found = export(model, "onnx", tmp_path / "model.onnx", data=photos)
    assert found["pictures"] == 18 and "top1_before" not in found


def test_pictures_prepared_otherwise_are_refused(model, photos, tmp_path):
    prepare(photos, tmp_path / "store", 32, "squash")
    with pytest.raises(UsageError, match=r"prepared with squash.*the model wants crop"):
        export(model, "onnx", tmp_path / "model.onnx", data=tmp_path / "store")


def perturbed(write):
    """A writer that spoils one layer a little."""

    def spoil(path, description, tensors, **more):
        write(path, description, {n: t * 1.05 if n == "conv2.weight" else t for n, t in tensors.items()}, **more)

    return spoil


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_an_export_that_computes_otherwise_is_not_written(model, tmp_path, monkeypatch, before):
    monkeypatch.setattr(onnx_graph, "write", perturbed(onnx_graph.write))
    out = tmp_path / "model.onnx"
    if before:
        out.write_bytes(before)
    with pytest.raises(AlexNetError, match="not written: the export's logits are off") as refusal:
        export(model, "onnx", out)
    assert refusal.value.exit_code == 1
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [before][: bool(before)]


def test_int8_that_goes_astray_is_not_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "LEVELS", 1)  # two bits are too few
    with pytest.raises(AlexNetError, match="not written"):
        export(model, "onnx", tmp_path / "model.onnx", int8=True)
    assert not list(tmp_path.iterdir())


def test_a_file_is_overwritten_by_force_alone(model, tmp_path):
    out = tmp_path / "model.onnx"
    out.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        run("export", model, "--to", "onnx", "--out", out)
    assert out.read_text() == "mine"
    run("export", model, "--to", "onnx", "--out", out, "--force")
    assert onnx.load(out).graph.output[0].name == "logits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "onnx", "--out", "model.pt2"], r"expected a name ending in \.onnx"),
        (["--to", "pt2", "--int8", "--out", "model.pt2"], "--int8 goes with --to onnx"),
        (["--to", "onnx", "--out", "nowhere/model.onnx"], "there is no folder"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(model, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        run("export", model, *arguments)
    assert not list(tmp_path.iterdir())


def test_an_onnx_file_is_no_place_to_start_from(model, tmp_path):
    export(model, "onnx", tmp_path / "model.onnx", int8=True)
    with pytest.raises(UsageError, match="not from an ONNX file"):
        export(tmp_path / "model.onnx", "pt2", tmp_path / "model.pt2")


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_is_named(model, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"pip install 'alexnet\[onnx\]'"):
        export(model, "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
