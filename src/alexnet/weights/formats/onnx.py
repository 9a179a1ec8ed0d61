"""AlexNets in ONNX that other programs wrote: the model zoo's, exports from torch, and other chains of such layers.

Numbers of the fields: onnx/onnx, onnx/onnx.proto; what the operators compute: docs/Operators.md there. Nothing but the
graph's main chain is read: what would have to be looked up elsewhere (values in other files, operators of other
domains, functions, subgraphs) is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, WeightsError
from alexnet.network import architecture as a
from alexnet.weights import files
from alexnet.weights.formats import chain, protobuf, torchvision
from alexnet.weights.formats.caffe_input import imagenet_rule
from alexnet.weights.formats.chain import Link, Net
from alexnet.weights.formats.foreign import MEAN_AND_SCALE, PICTURE_SIZE, RESIZE_RULE, Foreign
from alexnet.weights.formats.onnx_file import (
    ATTRIBUTES,
    DIMS,
    GRAPH,
    GRAPH_NAME,
    INITIALIZERS,
    INPUTS,
    KIND,
    NODE_INPUTS,
    NODE_OUTPUTS,
    NODES,
    OUTPUTS,
    RAW,
    TENSOR,
    TENSOR_NAME,
    TYPE,
    called,
    metadata,
    opened,
)
from alexnet.weights.formats.protobuf import BYTES, VARINT, Message

MODEL = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES}
MODEL |= {25: BYTES, 26: BYTES}
DTYPES = {1: "<f4", 7: "<i8", 10: "<f2", 11: "<f8"}  # by ONNX's numbers; float, int64, float16, double
SIZES = ("Shape", "Constant", "Gather", "Squeeze", "Unsqueeze", "Concat", "Slice", "Cast")  # what reckons with shapes
SIZE = 224  # pixels a side, of a graph for pictures of any size

Values = NDArray[Any]
Made = tuple[type[a.Layer], dict[str, Any], dict[str, Values]]  # a layer's kind, its values, its tensors


def recognises(path: Path, head: bytes) -> bool:
    """Whether the file begins as a model's message does."""
    begun = {place.number for place in protobuf.begins(head, MODEL)}
    return 1 in begun and bool(begun & {GRAPH, 8})  # its version; its graph or its operators' version


def read(path: Path, wanted: a.Variant | None = None) -> Foreign:
    """The network in an ONNX file. Raises WeightsError, and UsageError for a file of our own making."""
    model = opened(path)
    if files.KEY in metadata(model):
        raise UsageError(f"{path}: an ONNX file of ours, which can be used as it is: --model {path}")
    graph = model.message(GRAPH)
    walk, any_size = _walked(path, graph)
    net = Net(path, "ONNX", graph.text(GRAPH_NAME), walk.links, walk.size)
    found, tensors = chain.assemble(net, wanted)
    guessed = (RESIZE_RULE, MEAN_AND_SCALE, *([PICTURE_SIZE] if any_size else []))
    return Foreign(net.format, found, tensors, _rule(found, net), guessed=guessed)


def _rule(variant: a.Variant, net: Net) -> a.Input:
    """Caffe's way for networks with its normalisation, torchvision's for others: a graph does not say."""
    channels = chain.channels(net.path, net.links)
    if any(isinstance(layer, a.ResponseNorm) and layer.k == 1 for _, layer in variant.layers):
        return imagenet_rule(net.size, channels)
    return torchvision.input_rule(net.size, channels)


# ----------------------------------------------------------------------------------------------- along the main chain


@dataclass(frozen=True)
class _Node:
    """One operator: what it is, what it takes, what it gives, its attributes by name."""

    message: Message
    kind: str
    inputs: list[str]
    output: str
    attributes: Mapping[str, Message]

    def integer(self, name: str, default: int) -> int:
        return self.attributes[name].integer(3) if name in self.attributes else default

    def integers(self, name: str, default: list[int]) -> list[int]:
        return self.attributes[name].integers(8) if name in self.attributes else default

    def real(self, name: str, default: float) -> float:
        return self.attributes[name].real(2) if name in self.attributes else default

    def text(self, name: str, default: str) -> str:
        return self.attributes[name].text(4) if name in self.attributes else default


@dataclass
class _Chain:
    """A walk from the input: the value that has been reached, its shape, and the layers so far."""

    path: Path
    constants: dict[str, Message]
    value: str
    shape: a.Shape
    size: int  # of the pictures
    links: list[Link] = field(default_factory=list)
    sizes: set[str] = field(default_factory=set)  # values that are computed from a shape, for a Reshape
    ended: bool = False

    def step(self, node: _Node) -> None:
        """Over one operator. Raises ValueError with the reason where it is no layer of ours."""
        if node.kind == "Constant" and "value" in node.attributes:
            self.constants[node.output] = node.attributes["value"].message(TENSOR)
        elif node.kind in SIZES and {*node.inputs} <= self.constants.keys() | self.sizes | self._measured(node):
            self.sizes.add(node.output)
        elif self.value not in node.inputs:
            raise ValueError("does not take what the operator before gives")
        elif self.ended or node.kind not in LAYERS:
            raise ValueError("is none that an AlexNet has" if not self.ended else "comes behind the softmax")
        else:
            self._over(node, LAYERS[node.kind](self, node))
            self.value = node.output

    def _measured(self, node: _Node) -> set[str]:
        return {self.value} if node.kind == "Shape" else set()

    def _over(self, node: _Node, made: Made | None) -> None:
        if made is None:
            return
        kind, values, arrays = made
        layer = chain.layer(self.path, node.output, kind, **values)
        self.links.append(Link("", layer, arrays))  # names in ONNX are those of values
        if isinstance(layer, a.Windowed | a.AdaptivePool | a.ResponseNorm) and len(self.shape) != 3:
            raise ValueError("takes maps, not a vector")
        self.shape = layer.output(self.shape)

    def array(self, name: str) -> Values:
        """A constant's values, where they lie."""
        if name not in self.constants:
            raise ValueError(f"takes {name!r:.60}, which is no constant")
        tensor = self.constants[name]
        number, sides = tensor.integer(TYPE), tensor.integers(DIMS)
        if number not in DTYPES:
            raise ValueError(f"takes {name!r:.60}, of ONNX's type {number}, which is not read")
        dtype = np.dtype(DTYPES[number])
        raw = tensor.octets(RAW)
        values = np.frombuffer(raw, dtype) if len(raw) and len(raw) % dtype.itemsize == 0 else _typed(tensor, number)
        if len(sides) > 8 or min(sides, default=1) < 0 or math.prod(sides) != len(values):
            raise ValueError(f"takes {name!r:.60}, {len(values):,} values for a shape of {sides!s:.80}")
        return values.reshape(sides)

    def weights(self, name: str) -> Values:
        """A constant as float32."""
        values = self.array(name)
        if values.dtype.kind != "f":
            raise ValueError(f"takes {name!r:.60}, of whole numbers")
        with np.errstate(over="ignore"):  # beyond float32 is not finite, and refused as such
            return values.astype(np.float32, copy=False)


def _typed(tensor: Message, number: int) -> Values:
    """The values of a tensor that are not raw."""
    match number:
        case 1:
            return tensor.floats(4)
        case 11:
            return tensor.doubles(10)
        case 7:
            return np.array(tensor.integers(7), np.int64)
    return np.empty(0, np.float32)


def _walked(path: Path, graph: Message) -> tuple[_Chain, bool]:
    """The chain of a graph from its one input to its output, and whether it is for pictures of any size."""
    constants = {tensor.text(TENSOR_NAME): tensor for tensor in graph.messages(INITIALIZERS)}
    inputs = [value for value in graph.messages(INPUTS) if value.text(1) not in constants]
    if len(inputs) != 1:
        raise WeightsError(f"{path}: a graph with {len(inputs)} inputs; one, of pictures, is read")
    shape = _input_shape(path, inputs[0])
    any_size = shape[1:] == (0, 0)
    size = SIZE if any_size else shape[1]
    walk = _Chain(path, constants, inputs[0].text(1), (shape[0], size, size), size)
    for message in graph.messages(NODES):
        attributes = {attribute.text(1): attribute for attribute in message.messages(ATTRIBUTES)}
        outputs = message.texts(NODE_OUTPUTS) or [""]
        node = _Node(message, message.text(KIND), message.texts(NODE_INPUTS), outputs[0], attributes)
        try:
            walk.step(node)
        except a.Collapse:
            raise WeightsError(f"{path}: {called(message)} would have no output") from None
        except ValueError as error:
            raise WeightsError(f"{path}: {called(message)} {error}") from None
    if [value.text(1) for value in graph.messages(OUTPUTS)] != [walk.value]:
        raise WeightsError(f"{path}: its output is not what the last of its operators gives")
    return walk, any_size


def _input_shape(path: Path, value: Message) -> a.Shape:
    """(channels, side, side) of the pictures; sides of 0 where the file leaves them open."""
    tensor = value.message(2).message(1)
    sides = [dim.integer(1) for dim in tensor.message(2).messages(1)]
    if tensor.integer(1) != 1 or len(sides) != 4 or sides[1] not in (1, 3):
        raise WeightsError(f"{path}: its input is not float [N, 3, size, size]: {sides!s:.60}")
    if sides[2] != sides[3] or not 0 <= sides[2] <= a.MOST_SIDE:
        raise WeightsError(f"{path}: takes pictures of {sides[2]} x {sides[3]} pixels")
    return tuple(sides[1:])


# ------------------------------------------------------------------------------------------- operators, as our layers


def _conv(walk: _Chain, node: _Node) -> Made:
    weight = walk.weights(_input(node, 1))
    bias = {"bias": walk.weights(node.inputs[2])} if len(node.inputs) > 2 and node.inputs[2] else {}
    if weight.ndim != 4 or len({*weight.shape[2:], *node.integers("kernel_shape", [])}) != 1 or not weight.size:
        raise ValueError(f"has kernels of shape {weight.shape}, which are not square")
    kernel, side = weight.shape[2], _square(walk)
    stride, begin, end = _placed(node, kernel, side)
    windows = (side + begin + end - kernel) // stride + 1
    values = {"channels": weight.shape[0], "kernel": kernel, "stride": stride, "padding": begin}
    values |= {"groups": node.integer("group", 1), "bias": 0.0 if bias else None}
    return (
        a.Conv,
        values | {"ceil": _rounded(walk, node, a.Conv, values, windows, end > begin)},
        {"weight": weight} | bias,
    )


def _max_pool(walk: _Chain, node: _Node) -> Made:
    return _pool(walk, node, a.MaxPool)


def _average_pool(walk: _Chain, node: _Node) -> Made:
    kind, values, arrays = _pool(walk, node, a.AveragePool)
    windows, side = a.AveragePool(**values).output(walk.shape)[1], walk.shape[1]
    if node.integer("count_include_pad", 0) and (windows - 1) * values["stride"] + values["kernel"] > side:
        raise ValueError("counts what lies beyond the edge")
    return kind, values, arrays


def _pool(walk: _Chain, node: _Node, kind: type[a.MaxPool]) -> Made:
    kernels, side = node.integers("kernel_shape", []), _square(walk)
    if len(kernels) != 2 or kernels[0] != kernels[1]:
        raise ValueError(f"has windows that are not square: {kernels!s:.40}")
    kernel = kernels[0]
    stride, begin, end = _placed(node, kernel, side)
    if begin or stride > kernel:
        raise ValueError("pools padded maps, or with gaps")
    ceil = bool(node.integer("ceil_mode", 0))
    windows = (-(-(side + end - kernel) // stride) if ceil else (side + end - kernel) // stride) + 1
    values = {"kernel": kernel, "stride": stride}
    return kind, values | {"ceil": _rounded(walk, node, kind, values, windows, ceil or end > 0)}, {}


def _square(walk: _Chain) -> int:
    if len(walk.shape) != 3:
        raise ValueError("takes maps, not a vector")
    return walk.shape[1]


def _mean(walk: _Chain, node: _Node) -> Made:
    """Of whole maps, as torch exports its adaptive pooling to one place."""
    axes = walk.array(node.inputs[1]).reshape(-1).tolist() if node.inputs[1:2] else node.integers("axes", [])
    if sorted(axis % 4 for axis in axes) != [2, 3] or not node.integer("keepdims", 1) or len(walk.shape) != 3:
        raise ValueError("is not the mean of whole maps")
    return a.AdaptivePool, {"size": 1}, {}


def _placed(node: _Node, kernel: int, side: int) -> tuple[int, int, int]:
    """Stride, and the padding before and behind, which must be the same along both sides."""
    strides, pads = node.integers("strides", [1, 1]), node.integers("pads", [0] * 4)
    if {*node.integers("dilations", [1])} != {1} or len({*strides}) != 1 or strides[0] < 1 or kernel < 1:
        raise ValueError("is dilated, or not placed alike along both sides")
    how = node.text("auto_pad", "NOTSET")
    if how in ("SAME_UPPER", "SAME_LOWER"):
        total = max(0, (-(-side // strides[0]) - 1) * strides[0] + kernel - side)
        less, more = total // 2, total - total // 2
        return (strides[0], less, more) if how == "SAME_UPPER" else (strides[0], more, less)
    if len(pads) != 4 or pads[:1] * 2 + pads[2:3] * 2 != pads or min(pads) < 0:
        raise ValueError(f"is padded otherwise along one side than along the other: {pads!s:.60}")
    return strides[0], pads[0], pads[2]


def _rounded(walk: _Chain, node: _Node, kind: Any, values: dict[str, Any], windows: int, ceil: bool) -> bool:
    """Whether our layer must round up to have as many windows; as many are the same ones, since all begin alike."""
    for choice in (ceil, not ceil):
        layer = chain.layer(walk.path, node.output, kind, **values, ceil=choice)
        if layer.output(walk.shape)[1] == windows:
            return choice
    raise ValueError(f"has {windows} windows along a side of {walk.shape[1]}; none of our layers has")


def _gemm(walk: _Chain, node: _Node) -> Made:
    if node.real("alpha", 1.0) != 1 or node.real("beta", 1.0) != 1 or node.integer("transA", 0):
        raise ValueError("scales or transposes what it takes")
    weight = walk.weights(_input(node, 1))
    bias = {"bias": walk.weights(node.inputs[2]).reshape(-1)} if len(node.inputs) > 2 and node.inputs[2] else {}
    return _linear(walk, weight if node.integer("transB", 0) else weight.T, bias)


def _matmul(walk: _Chain, node: _Node) -> Made:
    return _linear(walk, walk.weights(_input(node, 1)).T, {})


def _linear(walk: _Chain, weight: Values, bias: dict[str, Values]) -> Made:
    if weight.ndim != 2 or len(walk.shape) != 1:
        raise ValueError(f"multiplies {len(walk.shape)} sides by a matrix of shape {weight.shape}")
    return a.Linear, {"units": weight.shape[0], "bias": 0.0 if bias else None}, {"weight": weight, **bias}


def _add(walk: _Chain, node: _Node) -> None:
    """The bias of a product."""
    last = walk.links[-1] if walk.links else None
    others = [name for name in node.inputs if name != walk.value]
    if last is None or not isinstance(last.layer, a.Linear) or last.layer.bias is not None or len(others) != 1:
        raise ValueError("is no bias of the product before it")
    layer = a.Linear(last.layer.units, bias=0.0)
    walk.links[-1] = Link(last.name, layer, {**last.tensors, "bias": walk.weights(others[0]).reshape(-1)})


def _norm(walk: _Chain, node: _Node) -> Made:
    size = node.integer("size", 0)
    values = {"size": size, "alpha": node.real("alpha", 1e-4) / max(1, size), "beta": node.real("beta", 0.75)}
    return a.ResponseNorm, {**values, "k": node.real("bias", 1.0)}, {}


def _dropout(walk: _Chain, node: _Node) -> Made:
    given = node.inputs[1] if len(node.inputs) > 1 else ""
    ratio = walk.weights(given).reshape(-1) if given else np.array([node.real("ratio", 0.5)])
    return a.Dropout, {"p": float(ratio[0]) if len(ratio) else 0.5}, {}


def _flatten(walk: _Chain, node: _Node) -> None:
    """To one vector a picture, whichever operator says so."""
    length = math.prod(walk.shape)
    if node.kind == "Reshape" and node.inputs[1:2] and node.inputs[1] in walk.sizes:
        sides = [0, -1]  # computed from the shape: what else but the batch by the rest
    elif node.kind == "Reshape":
        sides = walk.array(node.inputs[1]).tolist() if node.inputs[1:2] else node.integers("shape", [])
    else:
        sides = [0, -1] if node.integer("axis", 1) == 1 else []
    if not isinstance(sides, list) or len(sides) != 2 or sides[1] not in (-1, length) or sides[0] not in (-1, 0, 1):
        raise ValueError(f"reshapes to {sides!s:.60}, not to one vector a picture")
    walk.shape = (length,)


def _softmax(walk: _Chain, node: _Node) -> None:
    if len(walk.shape) != 1 or node.integer("axis", 1) not in (1, -1):
        raise ValueError("is not over the classes")
    walk.ended = True


def _input(node: _Node, number: int) -> str:
    if len(node.inputs) <= number:
        raise ValueError(f"has {len(node.inputs)} inputs")
    return node.inputs[number]


LAYERS: dict[str, Callable[[_Chain, _Node], Made | None]] = {
    **{"Conv": _conv, "MaxPool": _max_pool, "AveragePool": _average_pool, "Gemm": _gemm, "MatMul": _matmul},
    **{"Add": _add, "LRN": _norm, "Dropout": _dropout, "Flatten": _flatten, "Reshape": _flatten},
    **{"Softmax": _softmax, "LogSoftmax": _softmax, "ReduceMean": _mean},
    "Relu": lambda *_: (a.ReLU, {}, {}),
    "Tanh": lambda *_: (a.Tanh, {}, {}),
    "Sigmoid": lambda *_: (a.Sigmoid, {}, {}),
    "GlobalAveragePool": lambda *_: (a.AdaptivePool, {"size": 1}, {}),
    "Identity": lambda *_: None,
}
