"""The walk over a variant's layers, against the modules that torch builds and against hand calculations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache
from itertools import takewhile
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from alexnet.errors import UsageError
from alexnet.network import architecture as a
from alexnet.network.layers import CeilConv2d, LocalConv2d
from alexnet.network.model import build, skeleton
from alexnet.network.variants import VARIANTS, variant

# Worked back from the last pooling, which must have 1 window of 3, so 3 below it, so 7, so 15 after the first layer;
# then 4·(15 − 1) + 11 = 67 pixels, 4 less for torchvision's padding, and 3 less where 3 pixels may overhang.
# LeNet-5: 5 ← 10 ← 14 ← 28 ← 32.
# Where pooling rounds up, 2 below the last suffice, so 4, so 8 after the first layer; 4·(8 − 1) + 11 = 39, 3 less where
# pixels may overhang. With windows of 2: 1 ← 3 (conv5 is not padded) ← 5 ← 7 (nor conv2 enough) ← 13 ← 4·12 + 11 − 3.
# Without any padding: 1 ← 3 ← 5 ← 7 ← 9 ← 19 ← 23 ← 47 ← 4·46 + 11.
SMALLEST = {
    **{"krizhevsky-2012": 64, "batch-norm": 64, "single-column": 67, "le-keras": 67, "arham-pytorch": 67},
    **{"source-145": 36, "no-normalisation": 36, "half-width": 36, "one-weird-trick": 36, "no-overlap": 56},
    **{"bvlc-alexnet": 39, "caffenet": 39, "torchvision": 63, "yenigun-batch-norm": 195, "lenet-5": 32},
    **{"cifar-18pct": 8, "cifar-13pct": 4, "cifar-11pct": 4},
    **{"figure-1-relu": 4, "figure-1-tanh": 4, "figure-1-sigmoid": 4},
}
ONE_OUTPUT = "yenigun-batch-norm"  # tells two classes apart, and no other number of them

# (size, classes, channels); None is the variant's own.
SHAPES = [(None, None, None), (131, 2, 1), (260, 7, 4), (67, 1, 2)]


class Seen:
    """What torch itself says about every layer of a network when one batch runs through it."""

    def __init__(self, network: nn.Module, batch: torch.Tensor) -> None:
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        handles = [child.register_forward_hook(self._note(name)) for name, child in network.named_children()]
        self.counter = FlopCounterMode(display=False)
        with self.counter, torch.no_grad():
            network(batch)
        for handle in handles:
            handle.remove()
        self.images = len(batch)
        self.values = {name: sum(p.numel() for p in child.parameters()) for name, child in network.named_children()}
        self.kept = {
            name: sum(b.numel() for n, b in child.named_buffers() if n in ("running_mean", "running_var"))
            for name, child in network.named_children()
        }

    def _note(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            self.inputs[name], self.outputs[name] = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])

        return hook

    def macs(self, name: str) -> float:
        """Multiply-adds of one picture: torch counts a multiply-add as two operations."""
        return sum(self.counter.get_flop_counts().get(f"Sequential.{name}", {}).values()) / 2 / self.images


# ----------------------------------------------------------------------------------------------- the walk against torch


@pytest.mark.parametrize(("size", "classes", "channels"), SHAPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_agrees_with_torch(name: str, size: int | None, classes: int | None, channels: int | None) -> None:
    value = variant(name, 2 if classes and name == ONE_OUTPUT else classes, channels)
    size = max(size, SMALLEST[name]) if size else None
    side = size or value.size
    seen = Seen(skeleton(value, size).eval(), torch.empty(2, value.channels, side, side, device="meta"))
    rows = a.walk(value, size)
    assert [row.name for row in rows] == [child for child in seen.outputs if child != "flatten"]
    for row in rows:
        assert row.output == seen.outputs[row.name], row.name
        assert math.prod(row.input) == math.prod(seen.inputs[row.name]), row.name
        assert row.parameters == seen.values[row.name], row.name
        assert row.statistics == seen.kept[row.name], row.name
        assert row.macs == seen.macs(row.name), row.name
    assert rows[0].input == (value.channels, side, side)
    assert rows[-1].output == (value.classes,)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_walk_agrees_with_a_real_forward_pass(name: str) -> None:
    """The test above runs on torch's shape-only device; this one computes."""
    size = SMALLEST[name] + 5
    network = build(name, classes=2, channels=2, size=size).eval()
    seen = Seen(network, torch.zeros(1, 2, size, size))
    for row in a.walk(variant(name, 2, 2), size):
        assert row.output == seen.outputs[row.name], row.name


def test_a_row_by_hand() -> None:
    rows = {row.name: row for row in a.walk(variant("krizhevsky-2012"))}
    assert rows["conv1"] == a.Row(
        "conv1",
        a.Conv(96, 11, stride=4, ceil=True),
        input=(3, 227, 227),
        output=(96, 55, 55),
        parameters=96 * 3 * 11 * 11 + 96,
        statistics=0,
        macs=55 * 55 * 96 * 3 * 11 * 11,
    )
    # Two columns of 128 kernels that see 48 maps each.
    assert rows["conv2"].parameters == 2 * (128 * 48 * 5 * 5) + 256
    assert rows["conv2"].macs == 27 * 27 * 256 * 48 * 5 * 5
    assert rows["fc6"].parameters == 256 * 6 * 6 * 4096 + 4096
    assert rows["fc6"].macs == 256 * 6 * 6 * 4096
    assert rows["norm1"].macs == rows["pool1"].macs == rows["relu1"].macs == rows["drop6"].macs == 0


def test_batch_normalisation_counts_scale_and_shift_and_keeps_mean_and_variance() -> None:
    rows = {row.name: row for row in a.walk(variant("batch-norm"))}
    for name, features in (("bn1", 96), ("bn2", 256), ("bn5", 256), ("bn6", 4096)):
        assert (rows[name].parameters, rows[name].statistics) == (2 * features, 2 * features)
    assert rows["conv1"].parameters == 96 * 363  # no bias before it


# ------------------------------------------------------------------------------------------------------- sizes that fit


@cache
def trunk(name: str) -> nn.Sequential:
    """The layers before the vector, or before untied ones that are built for one size: they decide which sizes fit."""
    value = variant(name, channels=1)
    layers = takewhile(lambda child: not isinstance(child, nn.Flatten | LocalConv2d), skeleton(value))
    maps = nn.Sequential(*layers).to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in (*maps.parameters(), *maps.buffers()):
            tensor.zero_()
    return maps


@pytest.mark.parametrize("name", VARIANTS)
def test_smallest_size_by_hand(name: str) -> None:
    assert a.smallest_size(variant(name)) == SMALLEST[name]
    a.walk(variant(name), SMALLEST[name])
    with pytest.raises(UsageError):
        a.walk(variant(name), SMALLEST[name] - 1)


@pytest.mark.parametrize("name", VARIANTS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_size_fits_exactly_when_torch_accepts_it(name: str, data: st.DataObject) -> None:
    near = st.integers(max(1, SMALLEST[name] - 6), SMALLEST[name] + 6)
    size = data.draw(st.one_of(near, st.integers(1, 150)))
    value = variant(name, channels=1)
    try:
        with torch.no_grad():
            output = trunk(name)(torch.zeros(1, 1, size, size))
    except RuntimeError:
        with pytest.raises(UsageError, match=f"smallest size that fits is {SMALLEST[name]}$"):
            a.walk(value, size)
    else:
        following = next(row for row in a.walk(value, size) if isinstance(row.layer, a.Linear | a.Local))
        assert following.input == tuple(output.shape[1:])


@pytest.mark.parametrize(
    ("name", "size", "layer", "side"),
    [
        ("krizhevsky-2012", 63, "pool5", 2),  # 63 → 14 → 6 → 2
        ("krizhevsky-2012", 30, "pool2", 2),  # 30 → ⌈19/4⌉ + 1 = 6 → 2
        ("krizhevsky-2012", 9, "pool1", 1),  # 9 → one window, two pixels of it overhanging
        ("krizhevsky-2012", 7, "conv1", 7),  # the next window would have to begin before the picture
        ("single-column", 66, "pool5", 2),  # 66 → ⌊55/4⌋ + 1 = 14 → 6 → 2
        ("single-column", 10, "conv1", 10),
        ("torchvision", 62, "pool5", 2),
        ("batch-norm", 63, "pool5", 2),
        ("lenet-5", 31, "conv3", 4),  # 31 → 27 → 13 → 9 → 4
    ],
)
def test_too_small_names_the_layer_and_the_smallest_size(name: str, size: int, layer: str, side: int) -> None:
    with pytest.raises(UsageError) as caught:
        a.walk(variant(name), size)
    message = str(caught.value)
    assert f"{name}: pictures of {size} x {size} are too small: {layer} would get {side} x {side} " in message
    assert message.endswith(f"the smallest size that fits is {SMALLEST[name]}")
    assert "\n" not in message


def test_too_small_says_so_of_the_variants_own_size_too() -> None:
    """A variant from a file may itself be too small for its layers."""
    value = dataclasses.replace(variant("krizhevsky-2012"), size=40)
    with pytest.raises(UsageError, match=r"pictures of 40 x 40 are too small.*smallest size that fits is 64$"):
        a.walk(value)


@settings(deadline=None, max_examples=60)
@given(size=st.integers(64, 500))
def test_maps_never_shrink_when_pictures_grow(size: int) -> None:
    value = variant("krizhevsky-2012")
    smaller, larger = a.walk(value, size), a.walk(value, size + 1)
    assert all(math.prod(s.output) <= math.prod(m.output) for s, m in zip(smaller, larger, strict=True))
    assert sum(row.macs for row in smaller) <= sum(row.macs for row in larger)


# -------------------------------------------------------------------------------------------------- one layer at a time

sides = st.integers(1, 24)
windows = {"kernel": st.integers(1, 7), "stride": st.integers(1, 7)}


def shape_or_none(work: Callable[[], Any]) -> tuple[int, ...] | None:
    try:
        result = work()
    except (RuntimeError, a.Collapse):
        return None
    return tuple(result if isinstance(result, tuple) else result.shape[1:])


@settings(deadline=None, max_examples=300)
@given(height=sides, width=sides, ceil=st.booleans(), **windows)
@example(height=224, width=55, ceil=True, kernel=3, stride=2)
@example(height=2, width=8, ceil=True, kernel=1, stride=3)  # the last window would begin beyond the edge
@example(height=8, width=7, ceil=True, kernel=11, stride=4)
def test_pooling_rounds_as_torch_does(height: int, width: int, ceil: bool, kernel: int, stride: int) -> None:
    x = torch.zeros(1, 2, height, width)
    for value, theirs in (
        (a.MaxPool(kernel, stride, ceil), nn.MaxPool2d(kernel, stride, ceil_mode=ceil)),
        (a.AveragePool(kernel, stride, ceil), nn.AvgPool2d(kernel, stride, ceil_mode=ceil)),
    ):
        expected = shape_or_none(lambda theirs=theirs: theirs(x))
        assert shape_or_none(lambda value=value: value.output((2, height, width))) == expected


@settings(deadline=None, max_examples=200)
@given(height=sides, width=sides, padding=st.integers(0, 3), **windows)
def test_convolution_rounds_down_as_torch_does(height: int, width: int, padding: int, kernel: int, stride: int) -> None:
    theirs = nn.Conv2d(2, 3, kernel, stride, padding)
    expected = shape_or_none(lambda: theirs(torch.zeros(1, 2, height, width)))
    value = a.Conv(3, kernel, stride, padding)
    assert shape_or_none(lambda: value.output((2, height, width))) == expected


@settings(deadline=None, max_examples=300)
@given(height=sides, width=sides, padding=st.integers(0, 3), **windows)
@example(height=224, width=227, padding=0, kernel=11, stride=4)
@example(height=8, width=8, padding=0, kernel=11, stride=4)
def test_convolution_that_rounds_up_has_the_shape_that_the_walk_says(
    height: int, width: int, padding: int, kernel: int, stride: int
) -> None:
    value = a.Conv(3, kernel, stride, padding, ceil=True)
    ours = CeilConv2d(2, 3, kernel, stride, padding)
    assert shape_or_none(lambda: value.output((2, height, width))) == shape_or_none(
        lambda: ours(torch.zeros(1, 2, height, width))
    )


def test_average_pooling_divides_by_what_lies_inside() -> None:
    """cuda-convnet's rule for windows that overhang the edge; 4 x 4 maps, windows of 3, step 2."""
    x = torch.arange(16, dtype=torch.float64).reshape(1, 1, 4, 4)
    layers = (("pool", a.AveragePool(3, 2, ceil=True)),)
    pooled = skeleton(a.Variant("pooling", "", "", layers, channels=1, size=4))(x)
    rows = x[0, 0]
    by_hand = [[rows[0:3, 0:3].mean(), rows[0:3, 2:4].mean()], [rows[2:4, 0:3].mean(), rows[2:4, 2:4].mean()]]
    torch.testing.assert_close(pooled[0, 0], torch.tensor(by_hand, dtype=torch.float64))


# -------------------------------------------------------------------------------------------------- classes and dropout


@pytest.mark.parametrize("name", VARIANTS)
def test_with_classes_changes_the_last_layer_as_the_variant_itself_would(name: str) -> None:
    value = variant(name)
    assert a.with_classes(value, value.classes) == value
    if name == ONE_OUTPUT:
        for wrong in (1, 3, 1000):
            with pytest.raises(UsageError, match=f"one output tells two classes apart, not {wrong}; take another"):
                a.with_classes(value, wrong)
            with pytest.raises(UsageError, match=f"not {wrong}"):
                variant(name, classes=wrong)
    else:
        assert a.with_classes(value, 7) == variant(name, classes=7)


@pytest.mark.parametrize("name", VARIANTS)
def test_with_dropout_changes_probabilities_and_nothing_else(name: str) -> None:
    before = variant(name)
    after = a.with_dropout(before, 0.25)
    assert [n for n, _ in after.layers] == [n for n, _ in before.layers]
    dropouts = [layer for _, layer in after.layers if isinstance(layer, a.Dropout)]
    assert len(dropouts) == (0 if name.startswith(("lenet", "cifar", "figure")) else 2)
    assert all(layer.p == 0.25 for layer in dropouts)
    assert [x.inverted for x in dropouts] == [x.inverted for _, x in before.layers if isinstance(x, a.Dropout)]
    others = [(n, x) for n, x in after.layers if not isinstance(x, a.Dropout)]
    assert others == [(n, x) for n, x in before.layers if not isinstance(x, a.Dropout)]
    assert before == variant(name)
    assert a.with_dropout(after, 0.5) == before
    modules = [child for child in skeleton(after) if isinstance(child, nn.Dropout)]
    assert [child.p for child in modules] == [0.25] * len(dropouts)
