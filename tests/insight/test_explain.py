"""Explanations of single answers: against captum, against counting by hand, and where the truth is known."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import smallnets
import torch
from captum.attr import GuidedBackprop, LayerGradCam, LayerGradientXActivation, Occlusion, Saliency
from torch import nn
from torch.nn import functional as F

import alexnet
from alexnet.errors import UsageError
from alexnet.insight.explanations import explain, gradients, occlusion
from alexnet.insight.explanations.targets import class_index, targets
from alexnet.network import architecture as a
from alexnet.network.architecture import Input, Variant
from alexnet.network.fields import fields
from alexnet.network.variants import variant
from alexnet.weights import torch_engine
from alexnet.weights.files import Description
from alexnet.weights.model import Model

KINDS = ("krizhevsky-2012", "batch-norm", "torchvision", "lenet-5", "cifar-13pct")
TOLERANCE = 1e-5  # of the largest value: both sum in float32, in another order


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Model:
    return smallnets.model(request.param)


@pytest.fixture(scope="module")
def plain() -> Model:
    return smallnets.model("krizhevsky-2012")


def whole(model: Model) -> nn.Sequential:
    """From pictures, float [N, size, size, 3] in 0..255, to logits; the difference where one output stands for two."""
    ends = [Difference()] if isinstance(model.engine.network[-1], gradients.ZeroLogit) else []
    return nn.Sequential(model.engine.pixels, *model.engine.network, *ends)


class Difference(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.flip(1)


def close(ours: np.ndarray, theirs: torch.Tensor) -> None:
    expected = theirs.detach().numpy()
    assert abs(expected).max() > 0
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE * abs(expected).max())


def floats(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).float().requires_grad_()


# ------------------------------------------------------------------------------------------------------------ captum


def test_grad_cam_is_captum_s_at_every_layer_with_maps(model: Model) -> None:
    pictures = smallnets.pictures(model, 3)
    chosen = targets(model, pictures)
    for layer in fields(model.variant, model.input.size):
        module = model.engine.network.get_submodule(layer)
        theirs = LayerGradCam(whole(model), module).attribute(floats(pictures), torch.from_numpy(chosen))
        ours = np.concatenate(list(gradients.grad_cam(model.engine, pictures, layer, chosen, gradients.mean)))
        most = float(theirs.detach().abs().max())
        np.testing.assert_allclose(ours, F.relu(theirs[:, 0]).detach().numpy(), rtol=0, atol=TOLERANCE * most)


def test_local_weights_are_captum_s_gradient_times_activation() -> None:
    """Of what is never negative: its products with the gradient, those that are positive, summed over the maps."""
    model = smallnets.model("krizhevsky-2012")
    pictures, target = smallnets.pictures(model, 3), np.array([1, 0, 6])
    for layer in ("relu1", "pool2", "relu5"):
        module = model.engine.network.get_submodule(layer)
        theirs = LayerGradientXActivation(whole(model), module).attribute(floats(pictures), torch.from_numpy(target))
        maps = gradients.grad_cam(model.engine, pictures, layer, target, gradients.local)
        close(np.concatenate(list(maps)), theirs.relu().sum(1))


def test_saliency_is_captum_s(model: Model) -> None:
    pictures, target = smallnets.pictures(model, 3), [1, 0, 1]
    theirs = Saliency(whole(model)).attribute(floats(pictures), torch.tensor(target))
    close(explain.sensitivity(model, pictures, target), theirs.amax(3))


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("name", ["krizhevsky-2012", "batch-norm", "torchvision", "cifar-13pct"])
def test_guided_saliency_is_captum_s(name: str) -> None:
    model = smallnets.model(name)
    pictures, target = smallnets.pictures(model, 3), [1, 0, 6]
    theirs = GuidedBackprop(whole(model)).attribute(floats(pictures), torch.tensor(target))
    close(explain.sensitivity(model, pictures, target, "guided"), theirs.abs().amax(3))


@pytest.mark.parametrize(("window", "stride"), [(16, 16), (20, 9), (67, 1)])
def test_occlusion_is_captum_s(plain: Model, window: int, stride: int) -> None:
    pictures, target = smallnets.pictures(plain, 2), [4, 5]
    network, cover = whole(plain), torch.tensor(occlusion.cover(plain.input)).float().expand(1, 67, 67, 3)
    with torch.no_grad():
        theirs = Occlusion(lambda x: network(x).log_softmax(1)).attribute(
            floats(pictures), (window, window, 3), (stride, stride, 3), cover, torch.tensor(target)
        )
    close(explain.drops(plain, pictures, target, window, stride), theirs[..., 0])


# ----------------------------------------------------------------------------------------------------------- by hand


def test_occlusion_by_covering_each_place_in_turn() -> None:
    """Grey input: the cover is grey too."""
    model = smallnets.model("lenet-5", 10)
    (picture,) = pictures = smallnets.pictures(model, 1)
    log = lambda p: np.log(torch.softmax(torch.from_numpy(model.logits(p[None])).double(), 1).numpy())[0, 3]  # noqa: E731
    total, count = np.zeros((32, 32)), np.zeros((32, 32))
    for top in (0, 8, 16, 24):
        for left in (0, 8, 16, 24):
            covered = picture.copy()
            covered[top : top + 11, left : left + 11] = 110
            total[top : top + 11, left : left + 11] += log(picture) - log(covered)
            count[top : top + 11, left : left + 11] += 1
    np.testing.assert_allclose(explain.drops(model, pictures, 3, 11, 8)[0], total / count, atol=1e-5)


def test_smoothed_saliency_is_the_mean_over_its_table_of_noise(plain: Model) -> None:
    pictures = smallnets.pictures(plain, 2)
    spread = np.ptp(pictures.astype(np.float32), axis=(1, 2, 3))
    network, total = whole(plain), np.zeros(pictures.shape)
    for sample in range(3):
        noisy = pictures + 0.2 * spread[:, None, None, None] * explain.normal(sample, pictures.shape[1:])
        x = torch.from_numpy(noisy.astype(np.float32)).requires_grad_()
        network(x)[:, 2].sum().backward()
        total += x.grad.numpy() / 3
    expected = abs(total).max(3)
    ours = explain.sensitivity(plain, pictures, 2, "smoothed", samples=3, noise=0.2)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE * expected.max())


def test_noise_is_normal_and_another_in_each_sample() -> None:
    first, second = (explain.normal(sample, (200, 200, 3)) for sample in range(2))
    assert abs(first.mean()) < 0.015 and abs(first.std() - 1) < 0.01 and 4 < abs(first).max() < 6
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.015
    np.testing.assert_array_equal(first, explain.normal(0, (200, 200, 3)))


def test_one_output_for_two_classes_speaks_for_the_first_too() -> None:
    """Its logits are 0 and z: the first class's own would have no gradient at all."""
    model = smallnets.model("yenigun-batch-norm", 2)
    pictures = smallnets.pictures(model, 1)
    first, second = (explain.sensitivity(model, pictures, target) for target in (0, 1))
    np.testing.assert_array_equal(first, second)
    close(first, Saliency(whole(model)).attribute(floats(pictures), 0).amax(3))
    for target in (0, 1):
        theirs = LayerGradCam(whole(model), model.engine.network.conv3).attribute(floats(pictures), target)
        (ours,) = gradients.grad_cam(model.engine, pictures, "conv3", np.array([target]), gradients.mean)
        most = float(theirs.detach().abs().max())
        np.testing.assert_allclose(ours, F.relu(theirs[:, 0]).detach().numpy(), rtol=0, atol=TOLERANCE * most)


# -------------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("method", explain.HEAT)
def test_heat_is_from_0_to_1_whatever_the_number_of_classes(method: str, classes: int) -> None:
    model = smallnets.model("batch-norm", classes)
    pictures = smallnets.pictures(model, 1)
    heat = explain.explain(model, pictures, method, target=classes - 1)
    assert heat.shape == (1, 67, 67) and heat.dtype == np.float32
    assert (heat >= 0).all() and set(heat.max((1, 2))) <= {0.0, 1.0}


@pytest.mark.parametrize("method", [explain.grad_cam, explain.saliency, partial(explain.occlusion, window=30)])
def test_a_picture_s_heat_does_not_depend_on_the_others(plain: Model, method: Any, monkeypatch) -> None:
    pictures = smallnets.pictures(plain, 5)
    together = method(plain, pictures)
    for module in (gradients, occlusion):
        monkeypatch.setattr(module, "BATCH", 2)
    np.testing.assert_allclose(method(plain, pictures), together, atol=1e-4)
    np.testing.assert_allclose(method(plain, pictures[3:4])[0], together[3], atol=1e-4)


@pytest.mark.parametrize("name", ["krizhevsky-2012", "lenet-5"])
def test_no_pictures_give_no_heat(name: str) -> None:
    model = smallnets.model(name)
    none = np.zeros((0, model.input.size, model.input.size, 3), np.uint8)
    for method in explain.HEAT:
        assert explain.explain(model, none, method).shape == none.shape[:3]
    assert model.explain([]).shape == none.shape[:3]
    assert explain.activations(model, none, "conv1").shape[0] == 0


def test_activations_are_those_of_the_network_itself(plain: Model) -> None:
    pictures = smallnets.pictures(plain, 17)
    x = plain.engine.pixels(torch.from_numpy(pictures))
    for name, child in plain.engine.network.named_children():
        x = child(x)
        if name in dict(plain.variant.layers):
            np.testing.assert_allclose(explain.activations(plain, pictures, name), x.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_in_its_fast_form_is_explained_by_its_file_s_weights(tmp_path, monkeypatch) -> None:
    """Also where another file has taken its place by then."""
    path = smallnets.saved(tmp_path / "m.safetensors", "batch-norm")
    wide, fast = alexnet.load(path, precision="float32"), alexnet.load(path, precision="int8")
    smallnets.saved(tmp_path / "n.safetensors", "torchvision").replace(path)
    pictures = smallnets.pictures(wide, 2)
    np.testing.assert_array_equal(
        explain.grad_cam(fast, pictures, target=1), explain.grad_cam(wide, pictures, target=1)
    )
    assert fast.engine.plain is fast.engine.plain and fast.engine.plain is not fast.engine.network
    assert "bn1" in dict(fast.engine.plain.named_children()) or "norm1" in dict(fast.engine.plain.named_children())


def test_a_loaded_model_explains_what_its_way_in_makes_of_pictures(plain: Model) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    heat = plain.explain(picture, "saliency", target="class 2")
    np.testing.assert_array_equal(heat, explain.saliency(plain, plain.preprocess(picture), 2))
    assert plain.explain([picture, picture], "activations", layer="fc6").shape == (2, 48)


# ------------------------------------------------------------------------------------------------------ what is wrong


def test_what_there_is_not_is_a_usage_error_that_names_it(plain: Model) -> None:
    pictures = smallnets.pictures(plain, 2)
    wrong = {
        "did you mean 'conv5'": lambda: explain.grad_cam(plain, pictures, "conv6"),
        "unknown layer with maps 'fc7'": lambda: explain.grad_cam(plain, pictures, "fc7"),
        "unknown layer 'nothing'": lambda: explain.activations(plain, pictures, "nothing"),
        "no class 7: the model's 7 classes": lambda: explain.grad_cam(plain, pictures, target=7),
        "no class -1": lambda: explain.grad_cam(plain, pictures, target=-1),
        "unknown class 'cat'": lambda: explain.saliency(plain, pictures, target="cat"),
        "3 target classes for 2 pictures": lambda: explain.saliency(plain, pictures, target=[0, 1, 2]),
        "unknown kind of Grad-CAM 'locl': did you mean 'local'": lambda: explain.grad_cam(plain, pictures, kind="locl"),
        "unknown kind of saliency 'gided': did you mean 'guided'": lambda: explain.saliency(
            plain, pictures, 0, "gided"
        ),
        "unknown method 'gradcam': did you mean 'grad-cam'": lambda: explain.explain(plain, pictures, "gradcam"),
        "a window of 68 does not fit": lambda: explain.occlusion(plain, pictures, window=68),
        "a window of 0 does not fit": lambda: explain.occlusion(plain, pictures, window=0),
        "a stride of 9 leaves pixels uncovered": lambda: explain.occlusion(plain, pictures, window=8, stride=9),
    }
    for message, attempt in wrong.items():
        with pytest.raises(UsageError) as error:
            attempt()
        assert message in str(error.value)


def test_a_thousand_classes_are_not_all_listed() -> None:
    with pytest.raises(UsageError) as error:
        class_index([f"class {number}" for number in range(1000)], "class 1OO")
    assert "did you mean 'class 1" in str(error.value) and "(1000 in all)" in str(error.value)
    assert len(str(error.value)) < 1000


def test_guided_saliency_wants_relus() -> None:
    model = smallnets.model("lenet-5")
    with pytest.raises(UsageError, match="has no ReLUs"):
        explain.saliency(model, smallnets.pictures(model, 1), kind="guided")


def test_a_name_goes_before_a_number() -> None:
    classes = ("1", "10", "2")  # digits as class names, in the order of a folder
    assert [class_index(classes, target) for target in ("1", "10", "2", "0", 0, 2)] == [0, 1, 2, 0, 0, 2]


def test_a_network_without_convolutions_has_no_grad_cam_of_its_own() -> None:
    value = Variant("flat", "", "", (("fc", a.Linear(2)),), classes=2, size=8)
    with pytest.raises(UsageError, match="flat: has no convolution"):
        explain.last_convolution(value)
    model = smallnets.model(value)
    assert explain.occlusion(model, smallnets.pictures(model, 1)).shape == (1, 8, 8)


def test_the_last_convolution_ends_with_its_non_linearity() -> None:
    last = {name: explain.last_convolution(variant(name)) for name in ("krizhevsky-2012", "batch-norm", "lenet-5")}
    assert last == {"krizhevsky-2012": "relu5", "batch-norm": "relu5", "lenet-5": "tanh3"}
    assert explain.convolutions(variant("caffenet")) == ["relu1", "relu2", "relu3", "relu4", "relu5"]


# ------------------------------------------------------------------------------------------- where truth is known

SIDE, PATCH = 32, 12


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of noise with one patch of stripes anywhere, upright or level: pictures, masks, classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pictures, masks = rng.integers(100, 156, (count, SIDE, SIDE, 3)), np.zeros((count, SIDE, SIDE), bool)
    wave = np.where(np.arange(PATCH) % 4 < 2, 60, 200)
    for picture, mask, label, (y, x) in zip(
        pictures, masks, labels, rng.integers(0, SIDE - PATCH + 1, (count, 2)), strict=True
    ):
        place = slice(y, y + PATCH), slice(x, x + PATCH)
        picture[place] = (wave[None, :] if label else wave[:, None])[..., None]
        mask[place] = True
    return pictures.astype(np.uint8), masks, labels


@pytest.fixture(scope="module")
def trained() -> Model:
    layers = (
        ("conv1", a.Conv(8, 5, padding=2, std="he")),
        ("relu1", a.ReLU()),
        ("pool1", a.MaxPool(2, 2)),
        ("conv2", a.Conv(8, 3, padding=1, std="he")),
        ("relu2", a.ReLU()),
        ("pool2", a.AdaptivePool(1)),
        ("fc3", a.Linear(2, std="he")),
    )
    value = Variant("stripes", "", "", layers, classes=2, size=SIDE, stored=SIDE)
    rule = Input(size=SIDE, stored=SIDE, mean=(128.0,) * 3, scale=(1 / 60,) * 3)
    description = Description(value, ("level", "upright"), rule)
    network = alexnet.build(value)
    pixels, optimizer = gradients.TorchEngine(network, nn.Identity()), torch.optim.Adam(network.parameters(), 0.01)
    first = torch_engine.FirstStage(rule)
    for step in range(80):
        pictures, _, labels = stripes(32, step)
        loss = F.cross_entropy(pixels.network(first(torch.from_numpy(pictures))), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Model(torch_engine.from_tensors(description, network.state_dict()), description)


@pytest.mark.parametrize("method", [explain.grad_cam, partial(explain.grad_cam, kind="local"), explain.occlusion])
def test_heat_peaks_on_what_makes_the_class(trained: Model, method: Any) -> None:
    """A point at random would lie on the patch in 14 % of the pictures."""
    pictures, masks, labels = stripes(40, 1000)
    right = targets(trained, pictures) == labels
    assert right.mean() > 0.95
    heat = method(trained, pictures[right])
    peaks = heat.reshape(len(heat), -1).argmax(1)
    hits = masks[right].reshape(len(heat), -1)[np.arange(len(heat)), peaks]
    assert hits.mean() >= 0.9, f"{hits.mean():.2f} against {masks.mean():.2f} by chance"
