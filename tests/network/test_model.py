"""The built module: initial values, chance, names, and that every variant learns at any size that fits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from alexnet.errors import UsageError
from alexnet.network import architecture as a
from alexnet.network.initial import deviation, gabor
from alexnet.network.model import build, skeleton
from alexnet.network.variants import VARIANTS, variant

ONE_OUTPUT = "yenigun-batch-norm"  # tells two classes apart, and no other number of them

# Values that one kernel or unit reads.
FAN_IN = {"conv1": 363, "conv2": 1200, "conv3": 2304, "conv4": 1728, "conv5": 1728, "fc6": 9216, "fc7": 4096}


@pytest.fixture(scope="module")
def krizhevsky() -> Iterator[nn.Sequential]:
    yield build("krizhevsky-2012")


@pytest.fixture(scope="module")
def batch_norm() -> Iterator[nn.Sequential]:
    yield build("batch-norm", classes=10)


@pytest.fixture(scope="module")
def torchvision() -> Iterator[nn.Sequential]:
    yield build("torchvision", classes=10)


def slim(name: str, classes: int = 3, channels: int | None = None) -> a.Variant:
    """The variant with short hidden vectors, for what does not depend on their length: a tenth of the time."""
    value = variant(name, 2 if name == ONE_OUTPUT else classes, channels)
    hidden = [n for n, x in value.layers if isinstance(x, a.Linear)][:-1]
    layers = tuple((n, dataclasses.replace(x, units=48) if n in hidden else x) for n, x in value.layers)  # type: ignore[call-arg]
    return dataclasses.replace(value, layers=layers)


def weights_of(network: nn.Sequential) -> dict[str, Tensor]:
    layers = {n: x for n, x in network.named_children() if isinstance(x, nn.Conv2d | nn.Linear)}
    return {name: layer.weight.detach() for name, layer in layers.items()}


def assert_normal(weight: Tensor, std: float) -> None:
    """Mean and deviation within five standard errors, and tails as long as the normal distribution's."""
    n = weight.numel()
    assert abs(weight.mean().item()) < 5 * std / math.sqrt(n)
    assert weight.std().item() == pytest.approx(std, abs=5 * std / math.sqrt(2 * n))
    within = (weight.abs() < std).double().mean().item()
    assert within == pytest.approx(0.6827, abs=5 * 0.4655 / math.sqrt(n))


# ------------------------------------------------------------------------------------------------------- initial values


def test_weights_of_the_paper(krizhevsky: nn.Sequential) -> None:
    """Section 5: a zero-mean Gaussian distribution with standard deviation 0.01, in every layer."""
    weights = weights_of(krizhevsky)
    assert list(weights) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    for weight in weights.values():
        assert_normal(weight, 0.01)


def test_biases_of_the_paper(krizhevsky: nn.Sequential) -> None:
    """Section 5: 1 in the second, fourth and fifth convolution and the hidden fully connected layers, 0 elsewhere."""
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for name in weights_of(krizhevsky):
        bias = krizhevsky.get_submodule(name).bias
        assert isinstance(bias, nn.Parameter)
        assert torch.equal(bias, torch.full_like(bias, 1.0 if name in ones else 0.0)), name


def test_single_column_starts_as_the_paper_does() -> None:
    parent = dict(variant("krizhevsky-2012").layers)
    for name, layer in variant("single-column").layers:
        if isinstance(layer, a.Conv | a.Linear):
            theirs = parent[name]
            assert isinstance(theirs, a.Conv | a.Linear)
            assert (layer.std, layer.bias) == (theirs.std, theirs.bias)


def test_batch_norm_starts_as_he_says(batch_norm: nn.Sequential) -> None:
    weights = weights_of(batch_norm)
    for name, fan_in in FAN_IN.items():
        if name == "conv1":  # waves, as strong as He's values
            assert weights[name].square().mean().item() == pytest.approx(2 / fan_in, rel=1e-4)
        else:
            assert_normal(weights[name], math.sqrt(2 / fan_in))
        assert batch_norm.get_submodule(name).bias is None, name
    assert_normal(weights["fc8"], 0.01)
    last = batch_norm.get_submodule("fc8")
    assert torch.equal(last.bias, torch.zeros(10))


def test_normalisations_start_neutral(batch_norm: nn.Sequential) -> None:
    norms = [x for x in batch_norm if isinstance(x, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [x.num_features for x in norms] == [96, 256, 384, 384, 256, 4096, 4096]
    for norm in norms:
        assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert torch.equal(norm.bias, torch.zeros_like(norm.bias))
        assert torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
        assert torch.equal(norm.running_var, torch.ones_like(norm.running_var))
        assert norm.num_batches_tracked.item() == 0
        assert (norm.eps, norm.momentum) == (1e-5, 0.1)


def test_torchvision_starts_as_torch_does(torchvision: nn.Sequential) -> None:
    """Against fresh layers of torch's own: the same bounds, the same (uniform) deviation."""
    for name, layer in torchvision.named_children():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            if isinstance(layer, nn.Conv2d):
                theirs: nn.Conv2d | nn.Linear = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size)
            else:
                theirs = nn.Linear(layer.in_features, layer.out_features)
        for parameter in ("weight", "bias"):
            ours, reference = getattr(layer, parameter).detach(), getattr(theirs, parameter).detach()
            bound = 1 / math.sqrt(layer.weight[0].numel())
            assert ours.abs().max().item() <= bound
            assert reference.abs().max().item() <= bound * (1 + 1e-6), "torch changed its default"
            n = ours.numel()
            # The largest of n uniform values lies above bound · (1 − 14/n) but once in a million times.
            assert ours.abs().max().item() > bound * (1 - 14 / n), name
            assert reference.abs().max().item() > bound * (1 - 14 / n), "torch changed its default"
            assert abs(ours.mean().item()) < 5 * bound / math.sqrt(3 * n), name
            # Uniform: variance bound²/3, whose estimate has the standard error variance · √(0.8/n).
            assert ours.square().mean().item() == pytest.approx(bound**2 / 3, rel=5 * math.sqrt(0.8 / n)), name


def test_lenet_starts_as_lecun_says() -> None:
    network = build("lenet-5")
    fan_in = {"conv1": 25, "conv2": 150, "conv3": 400, "fc4": 120, "fc5": 84}
    weights = weights_of(network)
    assert list(weights) == list(fan_in)
    for name, inputs in fan_in.items():
        assert_normal(weights[name], 1 / math.sqrt(inputs))
        assert not network.get_submodule(name).bias.any()


@pytest.mark.parametrize("shape", [(256, 48, 5, 5), (384, 256, 3, 3), (4096, 9216)])
def test_rules_agree_with_torchs(shape: tuple[int, ...]) -> None:
    weight = torch.empty(shape, device="meta")
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    relu, linear = nn.init.calculate_gain("relu"), nn.init.calculate_gain("linear")
    assert deviation("he", weight) == pytest.approx(relu / math.sqrt(fan_in))
    assert deviation("lecun", weight) == pytest.approx(linear / math.sqrt(fan_in))
    assert deviation("glorot", weight) == pytest.approx(linear * math.sqrt(2 / (fan_in + fan_out)))
    assert deviation(0.03, weight) == 0.03


@pytest.mark.parametrize(("channels", "side"), [(3, 11), (1, 11), (4, 7)])
def test_first_kernels_are_waves_half_of_them_blind_to_colour(channels: int, side: int) -> None:
    """Figure 3 of the paper: smooth, of many directions, one column without colour."""
    generator = torch.Generator().manual_seed(0)
    kernels = gabor(torch.Size((96, channels, side, side)), 1.5, generator)
    torch.testing.assert_close(kernels.flatten(1).norm(dim=1), torch.full((96,), 1.5))
    grey, coloured = kernels[:48], kernels[48:]
    torch.testing.assert_close(grey, grey[:, :1].expand_as(grey))
    assert grey.mean((1, 2, 3)).abs().max() < 1e-6
    if channels > 1:
        assert (coloured.std(1).mean((1, 2)) > 0.01 * 1.5 / side).all()
    power = torch.fft.fft2(kernels).abs().square().sum((0, 1))
    coarse = torch.fft.fftfreq(side).abs() < 0.35
    assert power[coarse][:, coarse].sum() > 0.9 * power.sum()  # of noise it would be about half
    across, down = (kernels.diff(dim=d).square().sum((1, 2, 3)) for d in (3, 2))
    assert min((across > 2 * down).sum(), (down > 2 * across).sum()) > 15


def test_a_value_of_ones_own_is_drawn_as_it_says() -> None:
    layers: tuple[tuple[str, a.Layer], ...] = (
        ("conv1", a.Conv(32, 5, std=0.5, bias=-0.25)),
        ("fc2", a.Linear(64, std="glorot", bias=None)),
    )
    network = build(a.Variant("mine", "", "", layers, classes=64, channels=2, size=12))
    weights = weights_of(network)
    assert_normal(weights["conv1"], 0.5)
    assert_normal(weights["fc2"], math.sqrt(2 / (32 * 8 * 8 + 64)))
    assert torch.equal(network.get_submodule("conv1").bias, torch.full((32,), -0.25))
    assert network.get_submodule("fc2").bias is None


# --------------------------------------------------------------------------------------------------------------- chance


@pytest.mark.parametrize("name", VARIANTS)
def test_same_seed_same_weights(name: str) -> None:
    value, size = slim(name), a.smallest_size(variant(name))
    first, again, other = (build(value, size=size, seed=seed).state_dict() for seed in (5, 5, 6))
    assert first.keys() == again.keys() == other.keys()
    for key, value in first.items():
        assert torch.equal(value, again[key]), key
    weights = [key for key, value in first.items() if key.endswith(".weight") and value.dim() > 1]
    assert len(weights) == len([x for _, x in slim(name).layers if isinstance(x, a.Weighted)])
    for key in weights:
        assert not torch.equal(first[key], other[key]), key


def test_no_two_layers_draw_the_same_numbers(krizhevsky: nn.Sequential) -> None:
    starts = {name: weight.flatten()[:1000].double() for name, weight in weights_of(krizhevsky).items()}
    for name, values in starts.items():
        for other, theirs in starts.items():
            if name < other:
                # Two independent rows of 1000 correlate with a deviation of 1/√1000 = 0.03.
                assert abs(torch.corrcoef(torch.stack([values, theirs]))[0, 1].item()) < 0.16, (name, other)


@pytest.mark.parametrize("name", VARIANTS)
def test_global_chance_is_neither_used_nor_moved(name: str) -> None:
    value, size = slim(name), a.smallest_size(variant(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        before = torch.get_rng_state()
        skeleton(value, size)
        assert torch.equal(torch.get_rng_state(), before), "the skeleton draws"
        first = build(value, size=size)
        assert torch.equal(torch.get_rng_state(), before), "build draws from the global generator"
        torch.manual_seed(12)
        again = build(value, size=size)
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_skeleton_holds_no_memory_and_takes_a_state(name: str) -> None:
    value, size = slim(name), a.smallest_size(variant(name))
    bones, network = skeleton(value, size), build(value, size=size).eval()
    tensors = {**dict(bones.named_parameters()), **dict(bones.named_buffers())}
    assert tensors and all(tensor.is_meta for tensor in tensors.values())
    assert {k: v.shape for k, v in bones.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}
    bones.load_state_dict(network.state_dict(), assign=True)
    x = torch.rand(1, value.channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(bones.eval()(x), network(x))


# ---------------------------------------------------------------------------------------------------------------- names

MIDDLE = "conv3 relu3 conv4 relu4"
HEAD = "flatten fc6 relu6 drop6 fc7 relu7 drop7 fc8"
PAPER = f"conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 {MIDDLE} conv5 relu5 pool5 {HEAD}"
TUTORIAL = f"conv1 relu1 pool1 conv2 relu2 pool2 {MIDDLE} conv5 relu5 pool5 {HEAD}"
SOURCE = f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2 {MIDDLE} conv5 pool5 relu5 {HEAD}"
PLAIN = f"conv1 pool1 relu1 conv2 relu2 pool2 {MIDDLE} conv5 pool5 relu5 {HEAD}"
UNTIED = "local3 relu3 local4 relu4 flatten fc5"
FIGURE_1 = f"conv1 relu1 pool1 conv2 relu2 pool2 {UNTIED}"
NAMES = {
    **{"krizhevsky-2012": PAPER, "bvlc-alexnet": PAPER, "single-column": TUTORIAL, "le-keras": TUTORIAL},
    **{"source-145": SOURCE, "half-width": SOURCE, "no-overlap": SOURCE, "no-normalisation": PLAIN},
    "one-weird-trick": f"conv1 norm1 pool1 relu1 conv2 relu2 norm2 pool2 {MIDDLE} conv5 pool5 relu5 {HEAD}",
    "caffenet": f"conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 {MIDDLE} conv5 relu5 pool5 {HEAD}",
    # torchvision drops before fc6 and fc7, and nothing after fc7.
    "torchvision": f"conv1 relu1 pool1 conv2 relu2 pool2 {MIDDLE} conv5 relu5 pool5 avgpool "
    "drop6 flatten fc6 relu6 drop7 fc7 relu7 fc8",
    "batch-norm": "conv1 bn1 relu1 pool1 conv2 bn2 relu2 pool2 conv3 bn3 relu3 conv4 bn4 relu4 conv5 bn5 relu5 pool5 "
    "drop6 flatten fc6 bn6 relu6 drop7 fc7 bn7 relu7 fc8",
    "yenigun-batch-norm": f"conv1 relu1 bn1 pool1 conv2 relu2 bn2 pool2 {MIDDLE} conv5 relu5 pool5 {HEAD} zero8",
    "arham-pytorch": f"conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 {MIDDLE} conv5 relu5 norm5 pool5 "
    "flatten fc6 drop6 fc7 drop7 fc8",
    "cifar-18pct": "conv1 pool1 relu1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 pool3 flatten fc4",
    "cifar-13pct": FIGURE_1,
    "cifar-11pct": f"conv1 relu1 pool1 norm1 conv2 relu2 norm2 pool2 {UNTIED}",
    **{f"figure-1-{name}": FIGURE_1.replace("relu", name) for name in ("relu", "tanh", "sigmoid")},
    "lenet-5": "conv1 tanh1 pool1 conv2 tanh2 pool2 conv3 tanh3 flatten fc4 tanh4 fc5",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_names_and_order_are_caffes(name: str) -> None:
    network = skeleton(variant(name))
    names = [child for child, _ in network.named_children()]
    assert " ".join(names) == NAMES[name]
    assert all("." not in child for child in names)
    weights = {key.split(".")[0] for key in network.state_dict()}
    assert weights == {child for child in names if child.startswith(("conv", "local", "fc", "bn"))}


def test_the_network_is_flat_plain_and_channels_last(krizhevsky: nn.Sequential) -> None:
    assert type(krizhevsky) is nn.Sequential
    assert all(not list(child.children()) for child in krizhevsky)
    for parameter in krizhevsky.parameters():
        assert parameter.dtype == torch.float32 and parameter.device.type == "cpu" and parameter.requires_grad
    for child in krizhevsky:
        if isinstance(child, nn.Conv2d):
            assert child.weight.is_contiguous(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------------------------- forward and backward


@pytest.mark.parametrize(("classes", "channels", "extra"), [(2, 3, 0), (7, 1, 9), (1, 4, 3)])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name: str, classes: int, channels: int, extra: int) -> None:
    value = slim(name, classes, channels)
    size = a.smallest_size(value) + extra
    network = build(value, size=size)
    x = torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # dropout
        logits = network(x)
    assert logits.shape == (4, value.classes) and logits.dtype == torch.float32
    (logits * torch.arange(1, logits.numel() + 1).view_as(logits)).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all() and parameter.grad.any(), key


@pytest.mark.parametrize("name", VARIANTS)
def test_a_picture_is_answered_for_itself(name: str) -> None:
    """In use, an answer does not depend on what else is in the batch."""
    value, size = slim(name), a.smallest_size(variant(name))
    network = build(value, size=size).eval()
    x = 50 * torch.randn(3, value.channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = network(x), torch.cat([network(one[None]) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1], rtol=1e-6, atol=0), "the answer ignores the picture"


# --------------------------------------------------------------------------------------------------------------- errors


def test_an_unknown_variant_is_answered_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'krizhevsky-2012'"):
        build("krizhevski-2012")


@pytest.mark.parametrize("wrong", [{"classes": 0}, {"channels": 0}, {"classes": -1}])
def test_numbers_below_one_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} must be at least 1"):
        build("lenet-5", **wrong)


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="smallest size that fits is 64"):
        build("krizhevsky-2012", size=63)
