"""Caffe's layers, whichever of its three generations of messages a file has them in.

Current are `layer`s; before that came `layers` (V1), and before that `layers` that hold a `layer` (V0). Numbers and
defaults of the fields: BVLC/caffe, src/caffe/proto/caffe.proto; how the older are brought to the current ones:
src/caffe/util/upgrade_proto.cpp there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import WeightsError
from alexnet.weights.formats.protobuf import Message

LAYER, V1_LAYER, V0_LAYER = 100, 2, 1  # of a net; the last of a V1 layer
DATA, DOUBLES, SHAPE = 5, 8, 7  # of a blob; the older four sides are fields 1 to 4

CONVOLUTION = {
    "num_output": 1,
    "bias_term": 2,
    "pad": 3,
    "kernel_size": 4,
    "group": 5,
    "stride": 6,
    "axis": 16,
    "dilation": 18,
}
CONVOLUTION |= {"pad_h": 9, "pad_w": 10, "kernel_h": 11, "kernel_w": 12, "stride_h": 13, "stride_w": 14}
POOLING = {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "global_pooling": 12, "round_mode": 13}
POOLING |= {"kernel_h": 5, "kernel_w": 6, "stride_h": 7, "stride_w": 8, "pad_h": 9, "pad_w": 10}
PRODUCT = {"num_output": 1, "bias_term": 2, "axis": 5, "transpose": 6}
NORM = {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5}
DROPOUT, RELU = {"dropout_ratio": 1}, {"negative_slope": 1}
TRANSFORM = {"scale": 1, "crop_size": 3, "mean_file": 4, "mean_value": 5}
V0 = {
    "num_output": 3,
    "bias_term": 4,
    "pad": 7,
    "kernel_size": 8,
    "group": 9,
    "stride": 10,
    "pool": 11,
    "dropout_ratio": 12,
}
V0 |= {"local_size": 13, "alpha": 14, "beta": 15, "scale": 17, "mean_file": 18, "crop_size": 20, "k": 22}

# Kind: field of its parameters in a current layer, their fields, type and field in a V1 layer, type in a V0 layer.
KINDS: dict[str, tuple[int, dict[str, int], int, int, str]] = {
    "Convolution": (106, CONVOLUTION, 4, 10, "conv"),
    "InnerProduct": (117, PRODUCT, 14, 17, "innerproduct"),
    "LRN": (118, NORM, 15, 18, "lrn"),
    "Pooling": (121, POOLING, 17, 19, "pool"),
    "ReLU": (123, RELU, 18, 30, "relu"),
    "TanH": (127, {}, 23, 37, "tanh"),
    "Sigmoid": (124, {}, 19, 38, "sigmoid"),
    "Dropout": (108, DROPOUT, 6, 12, "dropout"),
    "Data": (100, TRANSFORM, 5, 36, "data"),
    "ImageData": (100, TRANSFORM, 12, 36, "images"),
    "WindowData": (100, TRANSFORM, 24, 36, "window_data"),
    "HDF5Data": (100, TRANSFORM, 9, 36, "hdf5_data"),
    "MemoryData": (100, TRANSFORM, 29, 36, "memory_data"),
    "DummyData": (100, TRANSFORM, 32, 36, "dummy_data"),
    "Input": (143, {}, 0, 0, ""),
    "Split": (0, {}, 22, 0, "split"),
    "Flatten": (0, {}, 8, 0, "flatten"),
    "V0 padding": (0, {}, 0, 0, "padding"),
    "Softmax": (0, {}, 20, 0, "softmax"),
    "SoftmaxWithLoss": (0, {}, 21, 0, "softmax_loss"),
    "MultinomialLogisticLoss": (0, {}, 16, 0, "multinomial_logistic_loss"),
    "Accuracy": (0, {}, 1, 0, "accuracy"),
    "ArgMax": (0, {}, 30, 0, "argmax"),
    "Silence": (0, {}, 36, 0, "silence"),
}
COPIES = ("Split", "Flatten", "V0 padding")
SOURCES = ("Data", "ImageData", "WindowData", "HDF5Data", "MemoryData", "DummyData", "Input")
ENDS = ("Softmax", "SoftmaxWithLoss", "MultinomialLogisticLoss", "Accuracy", "ArgMax", "Silence")
BEFORE_TRANSFORM, OLD_TRANSFORM = {"Data": 11, "ImageData": 15}, {"scale": 2, "mean_file": 3, "crop_size": 5}
V1_KINDS = {number: kind for kind, (_, _, number, _, _) in KINDS.items() if number}
V0_KINDS = {name: kind for kind, (_, _, _, _, name) in KINDS.items() if name}


@dataclass(frozen=True)
class Settings:
    """Parameters of a layer: a message, and the numbers of its fields by Caffe's names."""

    message: Message
    numbers: Mapping[str, int]

    def given(self, name: str) -> bool:
        return name in self.numbers and self.numbers[name] in self.message

    def integers(self, name: str) -> list[int]:
        return self.message.integers(self.numbers[name]) if name in self.numbers else []

    def integer(self, name: str, default: int) -> int:
        return (self.integers(name) or [default])[-1]

    def reals(self, name: str) -> list[float]:
        return self.message.reals(self.numbers[name]) if name in self.numbers else []

    def real(self, name: str, default: float) -> float:
        return (self.reals(name) or [default])[-1]


@dataclass(frozen=True)
class Layer:
    """A layer of any generation."""

    name: str
    kind: str
    bottoms: list[str]
    tops: list[str]
    settings: Settings
    blobs: list[Message]


def layers(message: Message) -> Iterator[Layer]:
    """The layers of a net, in order."""
    yield from map(_current, message.messages(LAYER))
    for layer in message.messages(V1_LAYER):
        yield _v0(layer) if V0_LAYER in layer else _v1(layer)


def _current(layer: Message) -> Layer:
    kind = layer.text(2)
    field, numbers, *_ = KINDS.get(kind, (0, {}))
    settings = Settings(layer.message(field) if field else layer, numbers)
    return Layer(layer.text(1), kind, layer.texts(3), layer.texts(4), settings, layer.messages(7))


def _v1(layer: Message) -> Layer:
    number = layer.integer(5)
    kind = V1_KINDS.get(number, f"of V1 type {number}")
    _, numbers, _, field, _ = KINDS.get(kind, (0, {}, 0, 0, ""))
    if kind in BEFORE_TRANSFORM and field not in layer:
        field, numbers = BEFORE_TRANSFORM[kind], OLD_TRANSFORM
    settings = Settings(layer.message(field) if field else layer, numbers)
    return Layer(layer.text(4), kind, layer.texts(2), layer.texts(3), settings, layer.messages(6))


def _v0(layer: Message) -> Layer:
    inner = layer.message(V0_LAYER)
    kind = V0_KINDS.get(inner.text(2), inner.text(2))
    return Layer(inner.text(1), kind, layer.texts(2), layer.texts(3), Settings(inner, V0), inner.messages(50))


def blob(what: str, message: Message) -> NDArray[np.float32]:
    """The values of a blob, where they lie if they are float32. Raises WeightsError, naming `what`."""
    sides = message.message(SHAPE).integers(1) if SHAPE in message else [message.integer(side) for side in (1, 2, 3, 4)]
    doubles = message.doubles(DOUBLES)
    with np.errstate(over="ignore"):  # beyond float32 is not finite, and refused as such
        values = doubles.astype(np.float32) if len(doubles) else message.floats(DATA)
    if len(sides) > 8 or min(sides, default=1) < 1 or math.prod(sides) != len(values):
        raise WeightsError(f"{what} has {len(values):,} values for a shape of {sides!s:.80}")
    return values.reshape(sides)
