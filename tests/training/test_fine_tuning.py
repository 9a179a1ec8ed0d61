"""Fine-tuning: what is taken, what is new, what stays bit by bit as it was, and that such a run resumes by itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import alexnet
from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import BatchNorm, Conv, Dropout, Input, Linear, MaxPool, ReLU, Variant
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.training import fine_tuning
from alexnet.training.augment import augment
from alexnet.training.checkpoint import Checkpoints
from alexnet.training.config import read_config
from alexnet.training.optimizer import make_optimizer, set_rate
from alexnet.training.recipe import ColourNoise
from alexnet.training.recipes import recipe
from alexnet.weights import files
from alexnet.weights.files import Description

pytestmark = pytest.mark.usefixtures("undrawn")

NET = Variant(
    name="small",
    title="a small network of each kind of layer that has weights",
    source="",
    layers=(
        *(("conv1", Conv(8, 5, stride=2, std="he", bias=None)), ("bn1", BatchNorm()), ("relu1", ReLU())),
        *(("pool1", MaxPool(3, 2)), ("conv2", Conv(8, 3, std="he")), ("relu2", ReLU())),
        *(("drop3", Dropout()), ("fc3", Linear(12, std="he", bias=None)), ("bn3", BatchNorm()), ("relu3", ReLU())),
        ("fc4", Linear(4)),
    ),
    classes=4,
    size=32,
    stored=36,
)
RULE = Input(32, 34, "squash", "BGR", (90.0, 110.0, 120.0), (0.02, 0.016, 0.014), mean_picture=True)
KINDS = ("ash", "birch", "cedar")
ASKED = {"epochs": 2, "settings": ["batch_size=16"]}


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of runs as small as these, and is not what is asked here."""

    def touch(*given: object) -> None:
        next(path for path in given if isinstance(path, Path)).touch()

    for name in ("sheet", "curves", "confusion", "predictions"):
        monkeypatch.setattr(f"alexnet.insight.reports.plots.{name}", touch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model file of `NET` for four other classes, with statistics and a mean picture that no run would come to."""
    return saved(tmp_path / "other" / "model.safetensors", ("elm", "fir", "gum", "hop"))


def saved(path: Path, classes: tuple[str, ...]) -> Path:
    path.parent.mkdir()
    variant = fine_tuning.with_classes(NET, len(classes))
    network, generator = build(variant, seed=7), torch.Generator().manual_seed(8)
    for norm in (network.bn1, network.bn3):
        for tensor in (norm.running_mean, norm.running_var, norm.weight.data):
            tensor.uniform_(0.5, 1.5, generator=generator)
    mean = torch.rand((32, 32, 3), generator=generator) * 200
    files.save(path, network.state_dict() | {files.MEAN_PICTURE: mean}, Description(variant, classes, RULE))
    return path


def differing(run: Path, model: Path) -> set[str]:
    """Names of the tensors of which the last weights of a run are not those of the model, bit by bit."""
    found, before = files.tensors(run / "last.safetensors"), files.tensors(model)
    assert found.keys() == before.keys()
    return {name for name in found if found[name].numpy().tobytes() != before[name].numpy().tobytes()}


def test_initial_values_do_not_make_another_network():
    begun = [
        (name, replace(layer, std=0.5) if isinstance(layer, Conv | Linear) else layer) for name, layer in NET.layers
    ]
    assert fine_tuning.same(NET, replace(NET, layers=tuple(begun)))
    wider = [(name, replace(layer, channels=9) if name == "conv1" else layer) for name, layer in NET.layers]
    unbiased = [(name, replace(layer, bias=None) if name == "conv2" else layer) for name, layer in NET.layers]
    assert not any(fine_tuning.same(NET, replace(NET, layers=tuple(layers))) for layers in (wider, unbiased))


@pytest.mark.parametrize("update", ["sgd", "adam", "adamw", "muon"])
def test_frozen_layers_stay_bit_by_bit_and_the_others_learn(photos, model, tmp_path, update):
    settings = ["batch_size=16", f"update={update}", "learning_rate=0.01", "weight_decay=0.1", "freeze=conv*, bn1"]
    alexnet.train(photos, weights=model, out=tmp_path / "run", epochs=2, settings=settings)
    norm = {f"bn3.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    assert differing(tmp_path / "run", model) == {"fc3.weight", "fc4.weight", "fc4.bias", *norm}
    for name in ("best", "last"):
        described = files.describe(tmp_path / "run" / f"{name}.safetensors")
        assert described.input == RULE and described.classes == KINDS


def test_what_is_frozen_has_neither_gradient_nor_moments():
    network = build(NET)
    fine_tuning.freeze(network, ("conv1", "bn1"))
    fine_tuning.training_mode(network)
    optimizer = make_optimizer(network, recipe("fast"))
    F.cross_entropy(network(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
    assert network.conv1.weight.grad is None and network.conv2.weight.grad is not None
    optimizer.step()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(p)] for p in optimizer.state} == {n for n in names.values() if n[-1] != "1" and "1." not in n}
    assert not network.bn1.training and network.bn3.training and network.drop3.training


def test_all_is_taken_but_a_last_layer_for_other_classes(photos, model, tmp_path):
    """At a rate of 0, so that only the statistics move."""
    still = {"epochs": 1, "settings": ["batch_size=16", "learning_rate=0", "freeze=bn*"]}
    alexnet.train(photos, weights=model, out=tmp_path / "other-classes", seed=3, **still)
    assert differing(tmp_path / "other-classes", model) == {"fc4.weight", "fc4.bias"}
    last = files.tensors(tmp_path / "other-classes" / "last.safetensors")
    assert (
        last["fc4.weight"].shape == (3, 12) and 0.005 < last["fc4.weight"].std() < 0.02 and not last["fc4.bias"].any()
    )
    same = saved(tmp_path / "same" / "model.safetensors", KINDS)
    alexnet.train(photos, weights=same, out=tmp_path / "same-classes", seed=3, **still)
    assert differing(tmp_path / "same-classes", same) == set()
    turned = saved(tmp_path / "turned" / "model.safetensors", KINDS[::-1])
    alexnet.train(photos, weights=turned, out=tmp_path / "another-order", seed=3, **still)
    assert differing(tmp_path / "another-order", turned) == {"fc4.weight"}  # its bias is drawn as 0, which it was
    weights = [read_config(tmp_path / run).weights for run in ("other-classes", "same-classes", "another-order")]
    assert [found and found.new for found in weights] == [("fc4",), (), ("fc4",)]


def test_what_is_said_and_recorded(photos, model, tmp_path):
    alexnet.train(
        photos, weights=model.parent / "model.safetensors", out=tmp_path / "run", epochs=1, settings=["freeze=conv1"]
    )
    digest = fine_tuning.read(model).sha256
    (line,) = [line for line in (tmp_path / "run" / "log.txt").read_text().splitlines() if line.startswith("weights")]
    assert "model.safetensors" in line and "fc4 new" in line and "frozen: conv1;" in line and digest[:12] in line
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["weights"]
    taken = ["conv1", "bn1", "conv2", "fc3", "bn3"]
    assert recorded == {"model": str(model), "sha256": digest, "taken": taken, "new": ["fc4"]}
    head = files.describe(tmp_path / "run" / "best.safetensors").trained
    assert head["weights"] == {"name": "model.safetensors", "sha256": digest}
    assert str(tmp_path) not in json.dumps(head)
    assert (tmp_path / "run" / fine_tuning.INITIAL).samefile(model)  # nothing is stored twice
    assert digest in (tmp_path / "run" / "README.md").read_text()


def test_settings_that_cannot_apply_are_refused(photos, model, tmp_path):
    def refused(match: str, *settings: str, **options: object) -> None:
        with pytest.raises(UsageError, match=match):
            alexnet.train(photos, out=tmp_path / "run", epochs=1, settings=settings, **options)
        assert not (tmp_path / "run").exists()

    for setting in ("size=64", "mean=none", "scale=1", "margin=none", "resize=pad", "variant=lenet-5"):
        refused("input rule are the weights' own", setting, weights=model)
    refused("weights are those of another network, small", weights=model, variant="lenet-5")
    refused("unknown layer to freeze 'convx'.*conv1, bn1, conv2", "freeze=convx", weights=model)
    refused("unknown layer to freeze 'relu1'", "freeze=relu1", weights=model)
    refused("frozen with --weights alone", "freeze=conv*", variant="lenet-5")
    refused("fc4 is new", "freeze=fc*", weights=model)
    refused("every layer would be frozen", "freeze=*", weights=saved(tmp_path / "same" / "m.safetensors", KINDS))
    refused("no such model", weights=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="choose another --out"):
        alexnet.train(photos, weights=model, out=model.parent, force=True)
    assert model.exists()
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(model.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        alexnet.train(photos, weights=damaged, out=tmp_path / "run")


def test_a_run_is_weights_and_its_network_may_be_named(photos, tmp_path):
    """Grey pictures; dropout and the number of classes do not make another network."""
    alexnet.train(photos, variant="lenet-5", out=tmp_path / "a", **ASKED)
    shutil.rmtree(photos / "train" / "cedar")
    shutil.rmtree(photos / "test" / "cedar")
    asked = {**ASKED, "settings": ["batch_size=16", "dropout=0.25", "freeze=conv1"]}
    alexnet.train(photos, weights=tmp_path / "a", variant="lenet-5", out=tmp_path / "b", **asked)
    first, second = (files.describe(tmp_path / run / "best.safetensors") for run in "ab")
    assert first.input == second.input and second.classes == KINDS[:2]
    again = str(tmp_path / "b" / "config.json")
    alexnet.train(photos, weights=tmp_path / "a", recipe=again, variant=again, out=tmp_path / "c")
    assert (tmp_path / "b" / "best.safetensors").read_bytes() == (tmp_path / "c" / "best.safetensors").read_bytes()


def stopped_at(step: int, monkeypatch: pytest.MonkeyPatch, **asked: object) -> None:
    """Train until a checkpoint is written at this step; before the first one, if it is 0."""

    def save_and_stop(self: Checkpoints, state: object) -> None:
        save(self, state)
        raise KeyboardInterrupt

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    save = Checkpoints.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "due", lambda self, state: state.step == step)
        patch.setattr(Checkpoints, "save", save_and_stop if step else stop)
        if not step:
            patch.setattr("alexnet.run.train_loop", stop)
        with pytest.raises(KeyboardInterrupt):
            alexnet.train(**asked)


@pytest.mark.parametrize(("step", "update"), [(0, "adamw"), (1, "sgd"), (5, "adamw")])
def test_stopped_and_resumed_without_the_model_it_began_with(photos, model, tmp_path, monkeypatch, step, update):
    settings = ["batch_size=16", "freeze=conv1,bn1", f"update={update}", "learning_rate=0.001", "layer_decay=0.5"]
    asked = {"data": photos, "weights": model, "epochs": 2, "settings": settings}
    alexnet.train(**asked, out=tmp_path / "whole")
    stopped_at(step, monkeypatch, **asked, out=tmp_path / "stopped")
    assert bool(list((tmp_path / "stopped").glob("checkpoint/*"))) == bool(step)
    model.unlink()
    alexnet.train(resume=tmp_path / "stopped")
    for name in ("best", "last"):
        whole, stopped = ((tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "stopped"))
        assert whole == stopped


def test_other_weights_are_refused_on_resume(photos, model, tmp_path, monkeypatch):
    run = tmp_path / "run"
    stopped_at(1, monkeypatch, data=photos, weights=model, out=run, **ASKED)
    with pytest.raises(UsageError, match="leave out weights"):
        alexnet.train(resume=run, weights=model)
    with pytest.raises(UsageError, match="freeze was  and cannot become conv1"):
        alexnet.train(resume=run, settings=["freeze=conv1"])
    other = saved(tmp_path / "same" / "model.safetensors", KINDS)
    (run / fine_tuning.INITIAL).unlink()
    shutil.copy(other, run / fine_tuning.INITIAL)
    with pytest.raises(WeightsError, match="not the file that the run began with"):
        alexnet.train(resume=run)
    (run / fine_tuning.INITIAL).unlink()  # as if killed before it was there
    assert alexnet.train(resume=run)["epochs"] == 2


def test_each_layer_learns_more_slowly_than_the_one_above_it():
    """One step of plain SGD, with and without: the ratio of what moved, layer by layer. conv1 has three above it."""
    plain = replace(recipe("fast"), update="sgd", momentum=0.0, weight_decay=0.0, schedule="constant")
    moved = []
    for layer_decay in (None, 0.5):
        network = build(NET).double().eval()
        before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        optimizer = make_optimizer(network, replace(plain, layer_decay=layer_decay))
        generator = torch.Generator().manual_seed(0)
        pictures = torch.randn((4, 3, 32, 32), generator=generator).double()
        F.cross_entropy(network(pictures), torch.arange(4)).backward()
        set_rate(optimizer, 0.1)
        optimizer.step()
        moved.append({name: (p.detach() - before[name]).norm() for name, p in network.named_parameters()})
    ratios = {name: float(moved[1][name] / moved[0][name]) for name in moved[0] if moved[0][name] > 0}
    expected = {"conv1": 1 / 8, "bn1": 1 / 8, "conv2": 1 / 4, "fc3": 1 / 2, "bn3": 1 / 2, "fc4": 1}
    assert ratios == pytest.approx({name: expected[name.split(".")[0]] for name in ratios}, rel=1e-9)
    assert {name.split(".")[0] for name in ratios} == expected.keys()


@pytest.mark.parametrize("picture", [False, True])
def test_colour_noise_shrinks_the_distance_from_the_mean_whatever_the_order_of_channels(picture):
    """(x - mean + noise) / 1.1 with noise 0, as the 2012 source has it; the mean is kept in the network's order."""
    rng = np.random.default_rng(0)
    pictures = torch.from_numpy(rng.integers(0, 256, (2, 32, 32, 3), np.uint8))
    mean = torch.from_numpy(rng.uniform(0, 255, (32, 32, 3)).astype(np.float32)) if picture else None
    pixels = Pixels(replace(RULE, mean_picture=picture), mean)
    noise = ColourNoise(std=0.0, divisor=1.1, components=((1.0, 2.0, 3.0),) * 3)
    chance = {purpose: torch.tensor([0.3, 0.6]) for purpose in noise.purposes}
    views = augment(pictures, chance, (noise,), 32, pixels.rgb_mean)
    torch.testing.assert_close(pixels(views), pixels(pictures) / 1.1, rtol=1e-4, atol=1e-4)


def test_before_its_first_step_it_answers_as_the_model_does(photos, tmp_path):
    """The same pictures, prepared by the same rule, give the same loss to the last digit."""
    first = alexnet.train(photos, variant="lenet-5", out=tmp_path / "a", **ASKED)
    still = {"epochs": 1, "settings": ["batch_size=16", "learning_rate=0", "mean=none"]}
    with pytest.raises(UsageError, match="--set mean"):
        alexnet.train(photos, weights=tmp_path / "a", out=tmp_path / "b", **still)
    still["settings"] = still["settings"][:2]
    tuned = alexnet.train(photos, weights=tmp_path / "a", out=tmp_path / "b", **still)
    assert tuned["test"] == first["test"]
