"""Whole networks against the same written with nothing but torch's own layers."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.network.model import build


def pictures(size: int, dtype: torch.dtype) -> Tensor:
    """Pixels less their mean: large enough for normalisation to matter."""
    return 70 * torch.randn(2, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(1))


# ----------------------------------------------------------------------------------------- the source, column by column


class Column:
    """One of the two columns of layers-145.cfg: half the kernels of each layer. torch too divides alpha by the size."""

    across = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)

    def __init__(self, network: nn.Sequential, number: int) -> None:
        self.values = {key: value.chunk(2)[number] for key, value in network.state_dict().items()}

    def conv(self, name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, self.values[f"{name}.weight"], self.values[f"{name}.bias"], stride, padding)

    def to_pool2(self, picture: Tensor) -> Tensor:
        overhanging = F.pad(picture, (0, 3, 0, 3))
        x = F.max_pool2d(self.across(self.conv("conv1", overhanging, stride=4)), 3, 2).relu()
        x = self.across(self.conv("conv2", x, padding=2).relu())
        mean = F.avg_pool2d(F.pad(x.square(), (2, 2, 2, 2)), 5, stride=1)
        return F.max_pool2d(x / (1 + 1e-3 * mean) ** 0.75, 3, 2)

    def from_conv3(self, both: Tensor) -> Tensor:
        x = self.conv("conv3", both, padding=1).relu()
        x = self.conv("conv4", x, padding=1).relu()
        return F.max_pool2d(self.conv("conv5", x, padding=1), 3, 2).relu().flatten(1)

    def connected(self, name: str, both: Tensor) -> Tensor:
        """With the outputs halved, as the source does in use."""
        return 0.5 * F.linear(both, self.values[f"{name}.weight"], self.values[f"{name}.bias"]).relu()


@torch.no_grad()
def test_source_145_is_two_columns_that_meet_at_conv3_and_when_fully_connected() -> None:
    network = build("source-145", seed=3).double().eval()
    columns, x = [Column(network, 0), Column(network, 1)], pictures(224, torch.float64)
    values = torch.cat([column.to_pool2(x) for column in columns], dim=1)
    values = torch.cat([column.from_conv3(values) for column in columns], dim=1)
    for name in ("fc6", "fc7"):
        values = torch.cat([column.connected(name, values) for column in columns], dim=1)
    expected = F.linear(values, *network.get_submodule("fc8").parameters())
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------------------------------------ frameworks, articles


def relu_then(number: int, conv: nn.Conv2d, *after: nn.Module) -> OrderedDict[str, nn.Module]:
    """A block under names that differ; only the convolution's counts."""
    rest = {f"after{number}_{place}": layer for place, layer in enumerate(after)}
    return OrderedDict({f"conv{number}": conv, f"relu{number}": nn.ReLU(), **rest})


def maps(groups: int, first: list[nn.Module], last: list[nn.Module]) -> OrderedDict[str, nn.Module]:
    """Five blocks at the paper's widths; `first` follows the first two ReLUs, `last` the fifth."""
    blocks = [
        relu_then(1, nn.Conv2d(3, 96, 11, 4), *first),
        relu_then(2, nn.Conv2d(96, 256, 5, padding=2, groups=groups), *first),
        relu_then(3, nn.Conv2d(256, 384, 3, padding=1)),
        relu_then(4, nn.Conv2d(384, 384, 3, padding=1, groups=groups)),
        relu_then(5, nn.Conv2d(384, 256, 3, padding=1, groups=groups), *last),
    ]
    return OrderedDict(item for block in blocks for item in block.items())


def head(between: type[nn.Module]) -> OrderedDict[str, nn.Module]:
    """Three fully connected layers; dropout does nothing in use."""
    layers = {"fc6": nn.Linear(9216, 4096), "between6": between(), "fc7": nn.Linear(4096, 4096), "between7": between()}
    return OrderedDict({"flat": nn.Flatten(), **layers, "fc8": nn.Linear(4096, 10)})


def reference(name: str) -> nn.Sequential:
    pool = nn.MaxPool2d(3, 2)
    if name == "arham-pytorch":
        block = [nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2), pool]
        return nn.Sequential(OrderedDict({**maps(1, block, block), **head(nn.Identity)}))
    norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
    first = {"bvlc-alexnet": [norm, pool], "caffenet": [pool, norm]}[name]
    return nn.Sequential(OrderedDict({**maps(2, first, [pool]), **head(nn.ReLU)}))


@pytest.mark.parametrize("name", ["bvlc-alexnet", "caffenet", "arham-pytorch"])
@torch.no_grad()
def test_networks_with_torchs_own_normalisation(name: str) -> None:
    network = build(name, classes=10, seed=3).eval()
    with torch.device("meta"):
        theirs = reference(name).eval()
    theirs.load_state_dict(network.state_dict(), assign=True)
    x = pictures(227, torch.float32)
    torch.testing.assert_close(network(x), theirs(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_without_its_relus_the_head_of_the_article_is_one_linear_map() -> None:
    """Of a sum the sum, less the answer to nothing; a head with ReLUs does not do that."""
    x, y = torch.randn(2, 4, 256, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for name, linear in (("arham-pytorch", True), ("le-keras", False)):
        network = build(name, classes=2).double().eval()
        start = [child for child, _ in network.named_children()].index("flatten")
        part = network[start:]
        apart = part(x) + part(y) - part(torch.zeros_like(x))
        assert torch.allclose(part(x + y), apart, rtol=1e-9, atol=1e-9) == linear
