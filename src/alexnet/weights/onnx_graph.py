"""Our network as one ONNX file that computes from decoded pictures, for whatever reads the format.

One walk over the variant's layers; every node is named after its layer, the first stage is `pixels`. Standard operators
alone, no external data; the description is in the metadata, so the file suffices to predict. The same model gives the
same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.network import architecture as a
from alexnet.network.inference import fold
from alexnet.weights.files import KEY, MEAN_PICTURE, Description
from alexnet.weights.onnx_engine import INPUT, OUTPUT

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto
    from torch import Tensor

OPSET, IR = 13, 7  # of 2020: the oldest with all that is needed here, so that old readers take the file too
MOST_BYTES = 2**31  # that protobuf allows a message
LEVELS = 127  # of an int8 weight on each side of zero, and of what it is multiplied with
MOST_TERMS = 2**31 // LEVELS**2  # of such a product, that 32 bits surely hold

Array = NDArray[Any]
Numbers = Array | np.floating[Any]
Weights = dict[str, Array]


@dataclass
class Graph:
    """What is written so far. The value that a node gives has the node's name."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, values: Numbers) -> str:
        from onnx.numpy_helper import from_array

        self.constants.append(from_array(np.asarray(values, order="C"), name))
        return name

    def node(self, operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        from onnx.helper import make_node

        self.nodes.append(make_node(operator, inputs, [name], name, **attributes))
        return name


def write(path: Path, description: Description, tensors: Mapping[str, Tensor], int8: bool = False) -> None:
    """Write `model` to a file. Raises UsageError where ONNX cannot hold the network or the library is missing."""
    path.write_bytes(model(description, tensors, int8).SerializeToString(deterministic=True))


def model(description: Description, tensors: Mapping[str, Tensor], int8: bool = False) -> ModelProto:
    """The network of a model file's tensors: `pictures` uint8 [N, size, size, 3], RGB → `logits` float32 [N, classes].

    Batch normalisation is folded away where it follows a product. `int8`: weights of fully connected layers as int8,
    in units of their own for each output, times activations in seven bits, in units of their own for each picture.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError:
        raise UsageError("writing ONNX needs the onnx library: pip install 'alexnet[onnx]'") from None
    variant, rule = description.variant, description.input
    if sum(4 * row.parameters for row in a.walk(variant, rule.size)) >= MOST_BYTES:
        raise UsageError(f"{variant.name}: its weights are more than the 2 GiB that one ONNX file can hold")
    graph = Graph()
    x = _first_stage(graph, rule, tensors.get(MEAN_PICTURE))
    for row, weights in _folded(a.walk(variant, rule.size), tensors):
        x = _layer(graph, x, row, weights, int8)
    graph.nodes[-1].output[0] = OUTPUT
    pictures = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", rule.size, rule.size, 3])
    logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", variant.classes])
    made = helper.make_graph(graph.nodes, variant.name, [pictures], [logits], graph.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    document: ModelProto = helper.make_model(made, opset_imports=opsets, ir_version=IR, producer_name=KEY)
    helper.set_model_props(document, {KEY: json.dumps(description.to_json(), sort_keys=True)})
    return document


def _folded(rows: tuple[a.Row, ...], tensors: Mapping[str, Tensor]) -> Iterator[tuple[a.Row, Weights]]:
    """Each layer with its weights, by their names in the layer; without normalisations that follow a product."""
    places = iter(range(len(rows)))
    for place in places:
        row, following = rows[place], rows[place + 1] if place + 1 < len(rows) else None
        weights = _weights(row.name, tensors)
        if isinstance(row.layer, a.Conv | a.Linear) and following and isinstance(following.layer, a.BatchNorm):
            weights = _fold(weights, _tensors(following.name, tensors), following.layer.eps)
            next(places)
        yield row, weights


def _weights(name: str, tensors: Mapping[str, Tensor]) -> Weights:
    return {key: tensor.numpy() for key, tensor in _tensors(name, tensors).items()}


def _tensors(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{name}."
    return {key.removeprefix(start): t.detach().cpu() for key, t in tensors.items() if key.startswith(start)}


def _fold(product: Weights, norm: dict[str, Tensor], eps: float) -> Weights:
    """In double precision, since here it is the weights that are rounded."""
    import torch

    bias = torch.from_numpy(product["bias"]) if "bias" in product else None
    factor, shift = fold(bias, norm | {"running_var": norm["running_var"].double()}, eps)
    weight = product["weight"] * factor.numpy().reshape(-1, *[1] * (product["weight"].ndim - 1))
    return {"weight": weight.astype(np.float32), "bias": shift.numpy().astype(np.float32)}


def _first_stage(graph: Graph, rule: a.Input, mean_picture: Tensor | None) -> str:
    """As `network.layers.Pixels`."""
    x = graph.node("Transpose", "pixels/transpose", INPUT, perm=[0, 3, 1, 2])
    if rule.order == "BGR":
        x = graph.node("Gather", "pixels/order", x, graph.constant("pixels.order", np.array([2, 1, 0])), axis=1)
    x = graph.node("Cast", "pixels/float", x, to=1)
    if rule.order == "grey":
        luma = np.array(a.LUMA, np.float32).reshape(1, 3, 1, 1)
        x = graph.node("Conv", "pixels/grey", x, graph.constant("pixels.luma", luma))
    mean = _channels(rule.mean) if mean_picture is None else mean_picture.float().numpy().transpose(2, 0, 1)
    x = graph.node("Sub", "pixels/centre", x, graph.constant("pixels.mean", mean))
    return graph.node("Mul", "pixels", x, graph.constant("pixels.scale", _channels(rule.scale)))


def _channels(values: tuple[float, ...]) -> Array:
    return np.array(values, np.float32).reshape(-1, 1, 1)


def _layer(graph: Graph, x: str, row: a.Row, weights: Weights, int8: bool) -> str:
    """Write one layer that takes the value `x`; the name of what it gives."""
    name = row.name
    match row.layer:
        case a.Conv():
            return _conv(graph, x, row, row.layer, weights)
        case a.Local():
            return _local(graph, x, row, row.layer, weights)
        case a.Linear():
            if len(row.input) == 3:
                x = graph.node("Flatten", f"{name}/flatten", x)
            few = weights["weight"].shape[1] <= MOST_TERMS
            return (_int8 if int8 and few else _linear)(graph, x, name, weights)
        case a.ReLU() | a.Tanh() | a.Sigmoid():
            operator = {a.ReLU: "Relu", a.Tanh: "Tanh", a.Sigmoid: "Sigmoid"}[type(row.layer)]
            return graph.node(operator, name, x)
        case a.MaxPool():
            operator = "AveragePool" if isinstance(row.layer, a.AveragePool) else "MaxPool"
            return graph.node(operator, name, x, **_window(row, row.layer))
        case a.AdaptivePool():
            return _adaptive(graph, x, row)
        case a.ResponseNorm():
            return _response_norm(graph, x, row, row.layer)
        case a.BatchNorm():
            order = ("weight", "bias", "running_mean", "running_var")
            values = [graph.constant(f"{name}.{key}", weights[key]) for key in order]
            return graph.node("BatchNormalization", name, x, *values, epsilon=row.layer.eps)
        case a.Dropout():
            if row.layer.inverted:
                return x
            return graph.node("Mul", name, x, graph.constant(f"{name}.kept", np.float32(1 - row.layer.p)))
        case a.ZeroLogit():
            ends = graph.constant(f"{name}.ends", np.array([0, 1, 0, 0]))
            return graph.node("Pad", name, x, ends)
    raise TypeError(f"no node for {type(row.layer).__name__}")


def _window(row: a.Row, layer: a.Conv | a.MaxPool) -> dict[str, list[int]]:
    """Sides, steps and margins of the windows. Those that overhang get a margin: readers differ in their own rules."""
    padding = layer.padding if isinstance(layer, a.Conv) else 0
    overhang = [
        max(0, (out - 1) * layer.stride + layer.kernel - side - padding)
        for side, out in zip(row.input[1:], row.output[1:], strict=True)
    ]
    ends = overhang if layer.ceil else [padding] * 2
    return {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [padding] * 2 + ends}


def _conv(graph: Graph, x: str, row: a.Row, layer: a.Conv, weights: Weights) -> str:
    values = [graph.constant(f"{row.name}.{key}", weights[key]) for key in ("weight", "bias") if key in weights]
    return graph.node("Conv", row.name, x, *values, group=layer.groups, **_window(row, layer))


def _local(graph: Graph, x: str, row: a.Row, layer: a.Local, weights: Weights) -> str:
    """Windows as columns, by a convolution that copies one value for each kernel, and a product at each place."""
    name, maps, area = row.name, row.input[0], layer.kernel**2
    _, height, width = row.output
    one_each = np.tile(np.eye(area, dtype=np.float32), (maps, 1)).reshape(-1, 1, layer.kernel, layer.kernel)
    window = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
    x = graph.node("Conv", f"{name}/windows", x, graph.constant(f"{name}.one_each", one_each), group=maps, **window)
    columns = graph.constant(f"{name}.columns", np.array([0, maps * area, height * width]))
    x = graph.node("Reshape", f"{name}/columns", x, columns)
    x = graph.node("Transpose", f"{name}/places", x, perm=[2, 1, 0])
    x = graph.node("MatMul", f"{name}/product", graph.constant(f"{name}.weight", weights["weight"]), x)
    x = graph.node("Transpose", f"{name}/pictures", x, perm=[2, 1, 0])
    x = graph.node("Reshape", f"{name}/maps", x, graph.constant(f"{name}.maps", np.array([0, *row.output])))
    return graph.node("Add", name, x, graph.constant(f"{name}.bias", weights["bias"]))


def _linear(graph: Graph, x: str, name: str, weights: Weights) -> str:
    values = [graph.constant(f"{name}.{key}", weights[key]) for key in ("weight", "bias") if key in weights]
    return graph.node("Gemm", name, x, *values, transB=1)


def _int8(graph: Graph, x: str, name: str, weights: Weights) -> str:
    """x ≈ low + unit · q for each picture and w ≈ scale · v for each output, so x·w ≈ scale · (unit · q·v + low · Σv).

    Seven bits for q: processors without VNNI add two of its products to int8 weights in 16 bits. Units of its own for
    each picture, unlike DynamicQuantizeLinear: no answer depends on the pictures beside it.
    """
    from onnx import TensorProto

    weight = weights["weight"]
    scale = np.maximum(np.abs(weight).max(1), np.finfo(np.float32).tiny) / LEVELS
    rounded = np.rint(weight / scale[:, None]).astype(np.int8)

    def constant(part: str, values: Numbers) -> str:
        return graph.constant(f"{name}.{part}", values)

    def node(operator: str, part: str, *inputs: str, **attributes: Any) -> str:
        return graph.node(operator, f"{name}/{part}", *inputs, **attributes)

    low = node("ReduceMin", "low", x, axes=[1], keepdims=1)
    room = node("Sub", "room", node("ReduceMax", "high", x, axes=[1], keepdims=1), low)
    least = constant("least", np.float32(np.finfo(np.float32).tiny * LEVELS))
    unit = node("Div", "unit", node("Max", "range", room, least), constant("levels", np.float32(LEVELS)))
    levels = node("Round", "levels", node("Div", "units", node("Sub", "above", x, low), unit))
    q = node("Cast", "uint8", levels, to=TensorProto.UINT8)
    product = node("MatMulInteger", "product", q, constant("weight", rounded.T))
    high = node("Mul", "scaled", node("Cast", "float", product, to=TensorProto.FLOAT), unit)
    rest = node("Mul", "rest", low, constant("sums", rounded.sum(1, dtype=np.int32).astype(np.float32)))
    total = node("Mul", "total", node("Add", "sum", high, rest), constant("scale", scale))
    return graph.node("Add", name, total, constant("bias", weights.get("bias", np.zeros_like(scale))))


def _adaptive(graph: Graph, x: str, row: a.Row) -> str:
    """Means over bins are a product from each side. Equal bins of one place are the maps themselves."""
    if row.input == row.output:
        return x
    (_, height, width), (_, rows, columns) = row.input, row.output
    left = graph.constant(f"{row.name}.rows", _bins(height, rows))
    right = graph.constant(f"{row.name}.columns", _bins(width, columns).T)
    return graph.node("MatMul", row.name, graph.node("MatMul", f"{row.name}/rows", left, x), right)


def _bins(side: int, count: int) -> Array:
    """float32 [count, side]: row i takes the mean from floor(i·side/count) to ceil((i+1)·side/count), torch's bins."""
    places, bins = np.arange(side), np.arange(count)[:, None]
    inside = (places >= bins * side // count) & (places < -(-(bins + 1) * side // count))
    means: Array = (inside / inside.sum(1, keepdims=True)).astype(np.float32)
    return means


def _response_norm(graph: Graph, x: str, row: a.Row, layer: a.ResponseNorm) -> str:
    """x · exp(-beta · log d), where a convolution of the squares gives d = k + alpha · S.

    Ten times as fast in ONNX Runtime as its own LRN, which knows no columns and no neighbours within a map either.
    """
    name, maps = row.name, row.input[0]
    weight = graph.constant(f"{name}.alpha", np.float32(layer.alpha) * _neighbours(maps, layer))
    k = graph.constant(f"{name}.k", np.full(maps, layer.k, np.float32))
    square = graph.node("Mul", f"{name}/square", x, x)
    over_maps = layer.over == "maps"
    group, half = (layer.columns, 0) if over_maps else (maps, layer.size // 2)
    d = graph.node("Conv", f"{name}/denominator", square, weight, k, group=group, pads=[half] * 4)
    beta = graph.constant(f"{name}.beta", np.float32(-layer.beta))
    log = graph.node("Mul", f"{name}/power", graph.node("Log", f"{name}/log", d), beta)
    return graph.node("Mul", name, x, graph.node("Exp", f"{name}/factor", log))


def _neighbours(maps: int, layer: a.ResponseNorm) -> Array:
    """Kernels of ones that sum over the window: from map to map of a column, or within each map."""
    if layer.over == "space":
        return np.ones((maps, 1, layer.size, layer.size), np.float32)
    places = np.arange(maps // layer.columns)
    near = (np.abs(places[:, None] - places) <= layer.size // 2).astype(np.float32)
    kernels: Array = np.tile(near, (layer.columns, 1))[:, :, None, None]
    return kernels
