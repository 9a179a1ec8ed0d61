"""The fidelity audit: what Krizhevsky, Sutskever and Hinton (2012) print, against what is built here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import alexnet
from alexnet.network import architecture as a
from alexnet.network.model import build, skeleton
from alexnet.network.variants import variant
from alexnet.training.recipes import recipe

SOURCES = Path(alexnet.__file__).parent

# One row a layer with weights: (name, output values, values that each of them reads, kernels or units).
# Sections 3.5 and 3.2: conv2, conv4 and conv5 see one GPU's maps, conv3 and the fully connected layers see everything.
LAYERS = [
    ("conv1", 55 * 55 * 96, 11 * 11 * 3, 96),
    ("conv2", 27 * 27 * 256, 5 * 5 * 48, 256),
    ("conv3", 13 * 13 * 384, 3 * 3 * 256, 384),
    ("conv4", 13 * 13 * 384, 3 * 3 * 192, 384),
    ("conv5", 13 * 13 * 256, 3 * 3 * 192, 256),
    ("fc6", 4096, 6 * 6 * 256, 4096),
    ("fc7", 4096, 4096, 4096),
    ("fc8", 1000, 4096, 1000),
]


def rows(name: str, classes: int | None = None, size: int | None = None) -> dict[str, a.Row]:
    return {row.name: row for row in a.walk(variant(name, classes), size)}


def parameters(name: str, classes: int | None = None) -> int:
    return sum(p.numel() for p in skeleton(variant(name, classes)).parameters())


# ------------------------------------------------------------------------------------------------------------- counting


def test_parameters() -> None:
    """The abstract says 60 million."""
    by_hand = sum(kernels * (reads + 1) for _, _, reads, kernels in LAYERS)
    assert by_hand == 60_965_224
    assert parameters("krizhevsky-2012") == by_hand
    assert sum(row.parameters for row in rows("krizhevsky-2012").values()) == by_hand


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        # Without columns conv2, conv4 and conv5 read twice as many maps.
        ("single-column", 1000, 60_965_224 + 256 * 1200 + 384 * 1728 + 256 * 1728),
        ("single-column", 1000, 62_378_344),
        ("single-column", 2, 62_378_344 - 998 * 4097),
        ("single-column", 2, 58_289_538),
        ("torchvision", 1000, 61_100_840),
        ("lenet-5", 10, 156 + 2_416 + 48_120 + 10_164 + 850),
        ("lenet-5", 10, 61_706),
    ],
)
def test_parameters_of_the_relatives(name: str, classes: int, expected: int) -> None:
    assert parameters(name, classes) == expected
    assert sum(row.parameters for row in rows(name, classes).values()) == expected


@pytest.mark.parametrize(("name", "outputs", "reads", "kernels"), LAYERS)
def test_neurons_and_what_they_read(name: str, outputs: int, reads: int, kernels: int) -> None:
    row = rows("krizhevsky-2012")[name]
    layer = skeleton(variant("krizhevsky-2012")).get_submodule(name)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    assert math.prod(row.output) == outputs
    assert layer.weight[0].numel() == reads
    assert len(layer.weight) == kernels
    assert row.macs == outputs * reads


def test_multiply_adds() -> None:
    by_hand = sum(outputs * reads for _, outputs, reads, _ in LAYERS)
    assert by_hand == 724_406_816  # 724.4 M
    assert sum(row.macs for row in rows("krizhevsky-2012").values()) == by_hand


def test_numbers_of_figure_2() -> None:
    """Its caption: 150,528 inputs, then 253,440–186,624–64,896–64,896–43,264–4096–4096–1000 neurons.

    253,440 is 55·48·96, a slip: 55 x 55 maps, which the figure draws, make 290,400; with them the sum is the
    abstract's "650,000 neurons".
    """
    neurons = [math.prod(rows("krizhevsky-2012")[name].output) for name, *_ in LAYERS]
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
    assert sum(neurons) == 659_272 == pytest.approx(650_000, rel=0.015)
    assert 55 * 48 * 96 == 253_440 and sum(neurons) - 290_400 + 253_440 == 622_312
    assert math.prod(rows("krizhevsky-2012", size=224)["conv1"].input) == 150_528


@pytest.mark.parametrize("size", [224, 227])
def test_map_sizes(size: int) -> None:
    """224 as printed and 227 as everybody reads it give the same maps."""
    found = rows("krizhevsky-2012", size=size)
    names = ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5"]
    assert [found[name].output[1:] for name in names] == [(n, n) for n in (55, 27, 27, 13, 13, 13, 13, 6)]
    assert {n: r.parameters for n, r in found.items()} == {
        n: r.parameters for n, r in rows("krizhevsky-2012", size=227).items()
    }


# -------------------------------------------------------------------------------------------- layers as sections 3 to 5


def test_order_of_the_layers() -> None:
    """Section 3.5: normalisation follows the first and second layer, pooling both of these and the fifth."""
    kinds = [(type(layer).__name__) for _, layer in variant("krizhevsky-2012").layers]
    first = ["Conv", "ReLU", "ResponseNorm", "MaxPool"]
    middle = ["Conv", "ReLU", "Conv", "ReLU", "Conv", "ReLU", "MaxPool"]
    hidden = ["Linear", "ReLU", "Dropout"]
    assert kinds == [*first, *first, *middle, *hidden, *hidden, "Linear"]


def test_constants_of_sections_3_3_and_3_4() -> None:
    layers = dict(variant("krizhevsky-2012").layers)
    for name in ("norm1", "norm2"):
        norm = layers[name]
        assert isinstance(norm, a.ResponseNorm)
        assert (norm.k, norm.size, norm.alpha, norm.beta) == (2.0, 5, 1e-4, 0.75)
    for name in ("pool1", "pool2", "pool5"):
        pool = layers[name]
        assert isinstance(pool, a.MaxPool)
        assert (pool.kernel, pool.stride) == (3, 2)


def test_dropout_of_section_4_2() -> None:
    """The paper zeroes half in training and halves all in use; here training doubles, and use does nothing."""
    network = skeleton(variant("krizhevsky-2012"))
    x = torch.arange(1.0, 4097.0)
    for name in ("drop6", "drop7"):
        drop = network.get_submodule(name)
        assert torch.equal(drop.eval()(x), x)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            dropped = drop.train()(x)
        kept = dropped != 0
        assert torch.equal(dropped[kept], 2 * x[kept])
        assert 0.45 < kept.double().mean().item() < 0.55


def test_published_accuracy_is_table_2() -> None:
    """1 CNN: 40.7 % and 18.2 % errors on the validation pictures of 2012."""
    value = variant("krizhevsky-2012")
    assert value.top1 == pytest.approx(1 - 0.407) and value.top5 == pytest.approx(1 - 0.182)


def test_recipe_of_section_5() -> None:
    paper = recipe("krizhevsky-2012")
    assert (paper.batch_size, paper.momentum, paper.weight_decay) == (128, 0.9, 0.0005)
    assert (paper.learning_rate, paper.drops) == (0.01, 3)
    assert (paper.variant, paper.epochs, paper.mean, paper.label_smoothing) == ("krizhevsky-2012", 90, "picture", 0.0)
    assert all(factor == 1 for _, factor, _ in paper.rates), "equal learning rates for all layers"


# ---------------------------------------------------------------------------------------------- the two halves, in full


@pytest.fixture(scope="module")
def network() -> Iterator[nn.Sequential]:
    yield build("krizhevsky-2012", seed=3).double().eval()  # dropout off


def pictures(size: int) -> Tensor:
    """Pixels less their mean, as the paper feeds them: large enough for the normalisation to matter."""
    return 70 * torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def normalised(x: Tensor) -> Tensor:
    """Section 3.3 over the maps of one half: a window of five, zeros beyond the ends."""
    squares = F.pad(x**2, (0, 0, 0, 0, 2, 2))
    total = sum(squares[:, shift : shift + x.shape[1]] for shift in range(5))
    return x / (2 + 1e-4 * total) ** 0.75


class Half:
    """One GPU of Figure 2: half the kernels of every layer, reading its own maps or, where told, those of both."""

    def __init__(self, network: nn.Sequential, number: int) -> None:
        self.values: dict[str, Tensor] = {}
        for key, parameter in network.named_parameters():
            if not key.startswith("fc8"):
                self.values[key] = parameter.detach().chunk(2)[number].requires_grad_()

    def conv(self, name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, self.values[f"{name}.weight"], self.values[f"{name}.bias"], stride, padding).relu()

    def below_layer_3(self, picture: Tensor) -> Tensor:
        x = F.max_pool2d(normalised(self.conv("conv1", picture, stride=4)), 3, 2)
        return F.max_pool2d(normalised(self.conv("conv2", x, padding=2)), 3, 2)

    def from_layer_3(self, both: Tensor) -> Tensor:
        x = self.conv("conv3", both, padding=1)
        x = self.conv("conv5", self.conv("conv4", x, padding=1), padding=1)
        return F.max_pool2d(x, 3, 2).flatten(1)

    def connected(self, name: str, both: Tensor) -> Tensor:
        return F.linear(both, self.values[f"{name}.weight"], self.values[f"{name}.bias"]).relu()


def both_halves(halves: list[Half], last: tuple[Tensor, Tensor], picture: Tensor) -> Tensor:
    """They meet at conv3, fc6, fc7 and fc8 and nowhere else."""
    x = torch.cat([half.below_layer_3(picture) for half in halves], dim=1)
    x = torch.cat([half.from_layer_3(x) for half in halves], dim=1)
    for name in ("fc6", "fc7"):
        x = torch.cat([half.connected(name, x) for half in halves], dim=1)
    return F.linear(x, *last)


def assert_equal_to_ten_digits(ours: Tensor, theirs: Tensor, name: str) -> None:
    """Of the largest value. Without copies that are not needed: these are 300 MB."""
    assert ours.shape == theirs.shape, name
    largest = torch.linalg.vector_norm(theirs, math.inf).item()
    difference = torch.linalg.vector_norm(ours - theirs, math.inf).item()
    assert largest > 0 and difference <= 1e-10 * largest, (name, largest, difference)


def test_the_network_is_two_halves_that_meet_at_layer_3_and_when_fully_connected(network: nn.Sequential) -> None:
    halves = [Half(network, 0), Half(network, 1)]
    fc8 = network.get_submodule("fc8")
    last = (fc8.weight.detach().requires_grad_(), fc8.bias.detach().requires_grad_())
    x = pictures(227)
    ours, theirs = network(x), both_halves(halves, last, x)
    assert ours.shape == (2, 1000)
    assert_equal_to_ten_digits(ours, theirs, "logits")

    labels = torch.tensor([3, 997])
    F.cross_entropy(ours, labels).backward()
    F.cross_entropy(theirs, labels).backward()
    compared = 0
    for key, parameter in network.named_parameters():
        parts = [last[key == "fc8.bias"]] if key.startswith("fc8") else [half.values[key] for half in halves]
        for mine, other in zip(parameter.grad.chunk(len(parts)), parts, strict=True):
            assert_equal_to_ten_digits(mine, other.grad, key)
            compared += mine.numel()
        parameter.grad = None
    assert compared == 60_965_224


@torch.no_grad()
def test_the_network_as_it_is_used_computes_the_same(network: nn.Sequential) -> None:
    """float32 and channels-last, where another implementation of the normalisation may run."""
    x = pictures(227)
    exact, used = network(x), build("krizhevsky-2012", seed=3).eval()(x.float().to(memory_format=torch.channels_last))
    assert used.dtype == torch.float32
    assert (used.double() - exact).abs().max() < 1e-5 * exact.abs().max()


@torch.no_grad()
def test_the_halves_would_notice_a_window_that_crosses(network: nn.Sequential) -> None:
    """The other reading of section 3.3 gives other logits, so the test above tells them apart."""
    x, crossing = pictures(227), network(pictures(227))
    for name, child in network.named_children():
        norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        x = norm(x) if name in ("norm1", "norm2") else child(x)
    assert (x - crossing).abs().max() > 1e-6 * crossing.abs().max()


@torch.no_grad()
def test_224_gives_what_227_with_a_black_border_gives(network: nn.Sequential) -> None:
    """The source's rule: what lies beyond the right and bottom edge counts as zero."""
    x = pictures(224)
    torch.testing.assert_close(network(x), network(F.pad(x, (0, 3, 0, 3))), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(network(x), network(F.pad(x, (3, 0, 3, 0))), rtol=1e-6)


# ----------------------------------------------------------------------------------------------------------- deviations

TAG = re.compile(r"# PAPER §(\d(?:\.\d)?): (.+)")


def tagged() -> list[tuple[str, str, str]]:
    """Section, comment and the line of code below it, for every tag in the package."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines):
            if match := TAG.search(line):
                end = number + 1
                comment = [match[2]]
                while lines[end].lstrip().startswith("#") and not TAG.search(lines[end]):
                    comment.append(lines[end].strip(" #"))
                    end += 1
                found.append((match[1], " ".join(comment), lines[end].strip()))
    return found


@pytest.mark.parametrize(
    ("section", "word", "code"),
    [
        ("3.5", "224", '("conv1"'),  # the printed size from which the printed maps do not follow
        ("3.3", "column", '("norm1"'),  # windows that end at the edge of their column
        ("3.5", "padding", '("conv2"'),  # not printed
        ("4.2", "0.5", '("drop6"'),  # who scales, and when
        ("5", "validation", 'schedule="stall"'),  # a rule in place of a hand
    ],
)
def test_known_deviations_are_tagged_where_they_happen(section: str, word: str, code: str) -> None:
    assert [c for s, c, line in tagged() if s == section and word in c and line.startswith(code)], tagged()


def test_every_tag_can_be_found_by_the_one_grep() -> None:
    """A tag in another spelling would hide from the audit."""
    loose = re.compile(r"(?<!`)#\s*paper\b", re.IGNORECASE)
    for path in sorted(SOURCES.rglob("*.py")):
        for line in path.read_text("utf-8").splitlines():
            assert not loose.search(line) or TAG.search(line), f"{path.name}: {line.strip()}"
    assert {section for section, *_ in tagged()} <= {"2", "3.1", "3.2", "3.3", "3.4", "3.5", "4.1", "4.2", "5", "6"}
