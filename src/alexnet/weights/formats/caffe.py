"""Caffe's `.caffemodel`: AlexNet, CaffeNet, what was fine-tuned from them, and other chains of the same layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import WeightsError
from alexnet.network import architecture as a
from alexnet.weights.formats import caffe_layers, chain, protobuf
from alexnet.weights.formats.caffe_input import input_rule
from alexnet.weights.formats.caffe_layers import COPIES, ENDS, SOURCES, Layer, Settings
from alexnet.weights.formats.chain import Link, Net
from alexnet.weights.formats.foreign import Foreign
from alexnet.weights.formats.protobuf import BYTES, VARINT, Message

NET = {1: BYTES, 2: BYTES, 3: BYTES, 4: VARINT, 5: VARINT, 6: BYTES, 7: VARINT, 8: BYTES, 100: BYTES}
NAME = 1  # of a net
MAX, AVERAGE, WITHIN_CHANNEL = 0, 1, 1

Made = tuple[type[a.Layer], dict[str, Any]]


def recognises(path: Path, head: bytes) -> bool:
    """Whether the file begins as a net's message does: a name in letters, then layers."""
    begun = protobuf.begins(head, NET)
    if not {place.number for place in begun} & {caffe_layers.V1_LAYER, caffe_layers.LAYER}:
        return False
    first = begun[0]
    return first.number != NAME or head[first.start : first.end].decode("utf-8", "replace").isprintable()


def read(path: Path, wanted: a.Variant | None = None) -> Foreign:
    """The network in a `.caffemodel`. Raises WeightsError."""
    message = protobuf.opened(path)
    layers = list(caffe_layers.layers(message))
    links = list(_links(path, layers))
    rule, guessed = input_rule(path, message, layers, chain.channels(path, links))
    net = Net(path, "Caffe", message.text(NAME), links, rule.size)
    found, tensors = chain.assemble(net, wanted)
    return Foreign(net.format, found, tensors, rule, guessed=guessed)


def _links(path: Path, layers: list[Layer]) -> Iterator[Link]:
    """The layers that compute, each of which must take what the one before gives."""
    same: dict[str, str] = {}  # the blob that another is a copy of
    last: str | None = None
    padding = 0  # of a layer of its own, as the first files have it
    for layer in layers:
        if layer.kind in SOURCES + ENDS:
            continue
        bottoms = [same.get(bottom, bottom) for bottom in layer.bottoms]
        if len(bottoms) != 1 or last not in (None, bottoms[0]):
            raise _unread(path, layer, f"takes {bottoms!s:.80}, not what the layer before gives")
        if layer.kind in COPIES:
            same |= dict.fromkeys(layer.tops, bottoms[0])
            padding += layer.settings.integer("pad", 0) if layer.kind == "V0 padding" else 0
            continue
        if padding and layer.kind != "Convolution":
            raise _unread(path, layer, "takes maps with a border")
        last = layer.tops[0] if len(layer.tops) == 1 else ""
        yield _link(path, layer, padding)
        padding = 0


def _link(path: Path, layer: Layer, padding: int) -> Link:
    make = MAKERS.get(layer.kind)
    if make is None:
        raise _unread(path, layer, f"is a kind of layer that no AlexNet has: {layer.kind!r:.40}")
    try:
        kind, values = make(layer.settings)
    except ValueError as error:
        raise _unread(path, layer, str(error)) from None
    if padding:
        values["padding"] += padding
    value = chain.layer(path, layer.name, kind, **values)
    if not isinstance(value, a.Conv | a.Linear):
        return Link(layer.name, value)
    ranks = {"weight": 4 if kind is a.Conv else 2} | ({} if value.bias is None else {"bias": 1})
    if len(layer.blobs) != len(ranks):
        raise _unread(path, layer, f"has {len(layer.blobs)} blobs of values, not {len(ranks)}")
    blobs = zip(ranks.items(), layer.blobs, strict=True)
    return Link(layer.name, value, {name: _weights(path, layer, blob, name, rank) for (name, rank), blob in blobs})


def _unread(path: Path, layer: Layer, reason: str) -> WeightsError:
    return WeightsError(f"{path}: layer {layer.name!r:.60} {reason}")


def _convolution(settings: Settings) -> Made:
    if {*settings.integers("dilation")} - {1} or settings.integer("axis", 1) != 1:
        raise ValueError("is a dilated convolution, or one along another axis")
    values = {"kernel": _side(settings, "kernel", 0), "stride": _side(settings, "stride", 1)}
    values |= {"padding": _side(settings, "pad", 0), "groups": settings.integer("group", 1)}
    return a.Conv, {"channels": settings.integer("num_output", 0), **values, "bias": _bias(settings)}


def _product(settings: Settings) -> Made:
    if settings.integer("axis", 1) != 1 or settings.integer("transpose", 0):
        raise ValueError("is a product along another axis, or one with a transposed matrix")
    return a.Linear, {"units": settings.integer("num_output", 0), "bias": _bias(settings)}


def _norm(settings: Settings) -> Made:
    size = settings.integer("local_size", 5)
    alpha, beta, k = (settings.real(name, default) for name, default in (("alpha", 1.0), ("beta", 0.75), ("k", 1.0)))
    if settings.integer("norm_region", 0) == WITHIN_CHANNEL:
        return a.ResponseNorm, {"size": size, "alpha": alpha / max(1, size**2), "beta": beta, "k": 1.0, "over": "space"}
    return a.ResponseNorm, {"size": size, "alpha": alpha / max(1, size), "beta": beta, "k": k}


def _pooling(settings: Settings) -> Made:
    method = settings.integer("pool", 0)
    if settings.integer("global_pooling", 0):
        if method != AVERAGE:
            raise ValueError("pools whole maps, not by their mean")
        return a.AdaptivePool, {"size": 1}
    kernel, stride = _side(settings, "kernel", 0), _side(settings, "stride", 1)
    if method not in (MAX, AVERAGE) or _side(settings, "pad", 0) or stride > kernel:
        raise ValueError("pools padded maps, by chance, or with gaps")
    values = {"kernel": kernel, "stride": stride, "ceil": settings.integer("round_mode", 0) == 0}
    return a.AveragePool if method == AVERAGE else a.MaxPool, values


def _relu(settings: Settings) -> Made:
    if settings.real("negative_slope", 0.0):
        raise ValueError("is a leaky ReLU")
    return a.ReLU, {}


def _dropout(settings: Settings) -> Made:
    return a.Dropout, {"p": settings.real("dropout_ratio", 0.5)}


def _bias(settings: Settings) -> float | None:
    return 0.0 if settings.integer("bias_term", 1) else None


def _side(settings: Settings, name: str, default: int) -> int:
    """A length that must be the same along both sides."""
    high, wide = (settings.integers(f"{name}_{axis}") for axis in "hw")
    along = (high or [default]) + (wide or [default]) if high or wide else []
    found = {*settings.integers("kernel_size" if name == "kernel" else name), *along} or {default}
    if len(found) > 1:
        raise ValueError(f"is not square: {name} {sorted(found)!s:.40}")
    return found.pop()


MAKERS: dict[str, Callable[[Settings], Made]] = {
    "Convolution": _convolution,
    "InnerProduct": _product,
    "LRN": _norm,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Dropout": _dropout,
    "TanH": lambda _: (a.Tanh, {}),
    "Sigmoid": lambda _: (a.Sigmoid, {}),
}


def _weights(path: Path, layer: Layer, blob: Message, name: str, rank: int) -> NDArray[np.float32]:
    """Values of a blob with as many sides as torch has for them; older files have four of everything."""
    values = caffe_layers.blob(f"{path}: layer {layer.name!r:.60}, its {name},", blob)
    spare = values.ndim - rank
    return values.reshape(values.shape[spare:]) if spare > 0 and {*values.shape[:spare]} == {1} else values
