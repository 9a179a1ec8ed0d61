"""What a network is made of: layers as values, the variant that lists them, and the one walk over the list.

Nothing here computes with pictures; `model` turns a variant into a module. Shapes are (channels, height, width) for
maps and (features,) for vectors, without the batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from alexnet.errors import UsageError

Shape = tuple[int, ...]
MOST_SIDE = 4096  # of a picture
LUMA = (0.299, 0.587, 0.114)  # grey of red, green, blue: ITU-R BT.601, which Pillow's conversion to "L" uses too
Initial = float | Literal["he", "gabor", "glorot", "glorot-uniform", "lecun", "torch"]


class Collapse(ValueError):
    """A layer that would have no output."""


class Misfit(ValueError):
    """A layer that cannot take what the one before gives."""


def _side(side: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
    """Windows that fit along one side; `ceil` also counts a last window that overhangs the far edge."""
    room = side + 2 * padding - kernel
    steps = -(-room // stride) if ceil else room // stride
    if steps < 0:
        raise Collapse
    return steps + 1


@dataclass(frozen=True)
class Layer:
    """One entry of a variant. Without weights and without change of shape unless a subclass says otherwise."""

    def output(self, shape: Shape) -> Shape:
        """Shape of the output for an input of `shape`; raises `Collapse` where nothing would be left."""
        return shape

    def parameters(self, shape: Shape) -> int:
        """Number of trained values."""
        return 0

    def statistics(self, shape: Shape) -> int:
        """Number of values that are kept but not trained: the running mean and variance of a normalisation."""
        return 0

    def macs(self, shape: Shape) -> int:
        """Multiply-adds of convolutions and products for one picture, forward."""
        return 0


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution. `std` initial deviation or rule, `bias` initial value or None for no bias.

    `groups`: the paper's columns, each of which sees only its own share of the maps below. `ceil`: a last window may
    overhang the far edge and sees zeros there, the 2012 source's rule, which makes 224 act as 227.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    ceil: bool = False
    std: Initial = 0.01
    bias: float | None = 0.0

    def output(self, shape: Shape) -> Shape:
        _, height, width = shape
        rule = (self.kernel, self.stride, self.padding, self.ceil)
        return (self.channels, _side(height, *rule), _side(width, *rule))

    def parameters(self, shape: Shape) -> int:
        weights = self.channels * (shape[0] // self.groups) * self.kernel**2
        return weights + (0 if self.bias is None else self.channels)

    def macs(self, shape: Shape) -> int:
        return math.prod(self.output(shape)) * (shape[0] // self.groups) * self.kernel**2


@dataclass(frozen=True)
class Local(Layer):
    """Untied convolution: kernels as `Conv`'s, but each place has its own, and its own biases.

    cuda-convnet's `local` layer, for maps that are always cut alike. A network with one fits one picture size.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    std: float = 0.01
    bias: float = 0.0

    def output(self, shape: Shape) -> Shape:
        return self._conv().output(shape)

    def parameters(self, shape: Shape) -> int:
        return self.macs(shape) + math.prod(self.output(shape))

    def macs(self, shape: Shape) -> int:
        return self._conv().macs(shape)

    def _conv(self) -> Conv:
        return Conv(self.channels, self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class Linear(Layer):
    """Fully connected layer; maps are flattened channel by channel, as in Caffe and torch."""

    units: int
    std: Initial = 0.01
    bias: float | None = 0.0

    def output(self, shape: Shape) -> Shape:
        return (self.units,)

    def parameters(self, shape: Shape) -> int:
        return self.macs(shape) + (0 if self.bias is None else self.units)

    def macs(self, shape: Shape) -> int:
        return math.prod(shape) * self.units


@dataclass(frozen=True)
class ReLU(Layer):
    """max(0, x)."""


@dataclass(frozen=True)
class Tanh(Layer):
    """Hyperbolic tangent."""


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + e^-x)."""


@dataclass(frozen=True)
class MaxPool(Layer):
    """Largest value of each window; `ceil` as in `Conv`."""

    kernel: int
    stride: int
    ceil: bool = False

    def output(self, shape: Shape) -> Shape:
        channels, height, width = shape
        return (channels, self._side(height), self._side(width))

    def _side(self, side: int) -> int:
        windows = _side(side, self.kernel, self.stride, 0, self.ceil)
        # An overhanging window must begin inside the map: cuda-convnet, Caffe and torch agree on that.
        return windows - 1 if (windows - 1) * self.stride >= side else windows


@dataclass(frozen=True)
class AveragePool(MaxPool):
    """Mean of each window, over the part of it that lies inside the map."""


@dataclass(frozen=True)
class AdaptivePool(Layer):
    """Mean pooling to `size` x `size` maps, whatever comes in."""

    size: int

    def output(self, shape: Shape) -> Shape:
        return (shape[0], self.size, self.size)


@dataclass(frozen=True)
class ResponseNorm(Layer):
    """Local response normalisation: b = a / (k + alpha * sum of squares)^beta over a neighbourhood.

    `over` maps: the values at the same place in `size` neighbouring maps, never across `columns`. `over` space: the
    `size` x `size` values around it in the same map. Windows are clipped at the ends. `alpha` multiplies the plain
    sum, as the paper prints it; Caffe, torch and the 2012 source write it times the number of values in a window.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    columns: int = 1
    over: Literal["maps", "space"] = "maps"


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation with a trained scale and shift per channel; `momentum` in torch's sense."""

    eps: float = 1e-5
    momentum: float = 0.1

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]

    def statistics(self, shape: Shape) -> int:
        return 2 * shape[0]


@dataclass(frozen=True)
class Dropout(Layer):
    """Zero each value with probability `p` in training.

    `inverted`: scale the rest by 1 / (1 - p), so that use needs nothing. Otherwise, as in 2012, training only zeroes
    and use multiplies by 1 - p: the same network in use, but the next layer's weights learn at another scale.
    """

    p: float = 0.5
    inverted: bool = True


@dataclass(frozen=True)
class ZeroLogit(Layer):
    """[z] to [0, z]: the softmax of the two is 1 - sigmoid(z) and sigmoid(z), so one output tells two classes apart."""

    def output(self, shape: Shape) -> Shape:
        return (2,)


Weighted = Conv | Local | Linear
Windowed = Conv | Local | MaxPool
Nonlinearity = ReLU | Tanh | Sigmoid
Layers = tuple[tuple[str, Layer], ...]


@dataclass(frozen=True)
class Variant:
    """A network as a value: its layers in order, named as in Caffe, and where each number comes from.

    `size` is the side of the picture that the network sees, `stored` the side of the picture it is cut from. `top1`
    and `top5` are published accuracies in 0..1, or None where nobody published any; `measured` says on what and how.
    """

    name: str
    title: str
    source: str
    layers: Layers
    classes: int = 1000
    channels: int = 3
    size: int = 227
    stored: int = 256
    top1: float | None = None
    top5: float | None = None
    measured: str = ""


@dataclass(frozen=True)
class Input:
    """How a decoded picture becomes the network's input; travels in every model file.

    A JPEG is decoded in full, or (`decode` "scaled") at a part of its size that still leaves twice `stored`.
    The picture is brought to `stored` x `stored` by the `resize` rule, a `size` x `size` view is cut from it, channels
    are put in `order`, `mean` is subtracted (0..255, one value per channel, in that order; `mean_picture` says that a
    mean picture stands beside the weights instead) and the result multiplied by `scale`.
    """

    size: int
    stored: int
    resize: Literal["crop", "squash", "pad"] = "crop"
    order: Literal["RGB", "BGR", "grey"] = "RGB"
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    mean_picture: bool = False
    decode: Literal["full", "scaled"] = "full"


@dataclass(frozen=True)
class Row:
    """One layer at its place in the network."""

    name: str
    layer: Layer
    input: Shape
    output: Shape
    parameters: int
    statistics: int
    macs: int


def _rows(variant: Variant, size: int) -> Iterator[Row]:
    shape: Shape = (variant.channels, size, size)
    for name, layer in variant.layers:
        _fits(name, layer, shape)
        try:
            output = layer.output(shape)
        except Collapse:
            raise Collapse(name, shape) from None
        yield Row(name, layer, shape, output, layer.parameters(shape), layer.statistics(shape), layer.macs(shape))
        shape = output


def _fits(name: str, layer: Layer, shape: Shape) -> None:
    """Raise Misfit for a layer of maps that gets a vector, or for maps that do not divide into its groups."""
    if isinstance(layer, Windowed | AdaptivePool | ResponseNorm) and len(shape) != 3:
        raise Misfit(f"{name} takes maps, not {shape[0]} values")
    if isinstance(layer, ZeroLogit) and shape != (1,):
        raise Misfit(f"{name} takes one value, not {' x '.join(map(str, shape))}")
    if isinstance(layer, ResponseNorm) and layer.size % 2 == 0:
        raise Misfit(f"{name}: a window of {layer.size} has no middle")
    groups = getattr(layer, "groups", getattr(layer, "columns", 1))
    if shape[0] % groups or (isinstance(layer, Conv) and layer.channels % groups):
        raise Misfit(f"{name}: {shape[0]} maps do not divide into {groups}")


def walk(variant: Variant, size: int | None = None) -> tuple[Row, ...]:
    """Every layer with its shapes and costs for pictures of `size` (default: the variant's own).

    Raises UsageError, naming the layer and the smallest size that fits, when the pictures are too small.
    """
    size = size or variant.size
    try:
        return tuple(_rows(variant, size))
    except Misfit as misfit:
        raise UsageError(f"{variant.name}: {misfit}") from None
    except Collapse as collapse:
        name, shape = collapse.args
        raise UsageError(
            f"{variant.name}: pictures of {size} x {size} are too small: {name} would get {shape[1]} x {shape[2]} and "
            f"have no output; the smallest size that fits is {smallest_size(variant)}"
        ) from None


def smallest_size(variant: Variant) -> int:
    """Side of the smallest picture that leaves every layer an output, up to MOST_SIDE."""
    for size in range(1, MOST_SIDE):
        with contextlib.suppress(Collapse):
            list(_rows(variant, size))
            return size
    return MOST_SIDE


def with_classes(variant: Variant, classes: int) -> Variant:
    """The variant with one score per class. Raises UsageError for a single output where there are not two classes."""
    if scores(variant) == classes:
        return dataclasses.replace(variant, classes=classes)
    if any(isinstance(layer, ZeroLogit) for _, layer in variant.layers):
        raise UsageError(f"{variant.name}: its one output tells two classes apart, not {classes}; take another variant")
    last = max(i for i, (_, layer) in enumerate(variant.layers) if isinstance(layer, Linear))
    name, layer = variant.layers[last]
    assert isinstance(layer, Linear)
    layers = (*variant.layers[:last], (name, dataclasses.replace(layer, units=classes)), *variant.layers[last + 1 :])
    return dataclasses.replace(variant, layers=layers, classes=classes)


def scores(variant: Variant) -> int | None:
    """How many values come out: two of a ZeroLogit, else the units of the last fully connected layer."""
    ends = [layer for _, layer in variant.layers if isinstance(layer, Linear | ZeroLogit)][-1:]
    return next((end.units if isinstance(end, Linear) else 2 for end in ends), None)


def uninitialised(layer: Layer) -> Layer:
    """The layer with the same initial values whatever it began with."""
    match layer:
        case Local():
            return dataclasses.replace(layer, std=0.0, bias=0.0)
        case Conv() | Linear():
            return dataclasses.replace(layer, std=0.0, bias=None if layer.bias is None else 0.0)
        case _:
            return layer


def with_dropout(variant: Variant, p: float) -> Variant:
    """The variant with every dropout probability replaced by `p`."""
    layers = tuple((n, dataclasses.replace(x, p=p) if isinstance(x, Dropout) else x) for n, x in variant.layers)
    return dataclasses.replace(variant, layers=layers)
