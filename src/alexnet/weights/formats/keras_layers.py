"""Keras' configuration of a Sequential network and our list of layers, each made from the other.

A configuration is read as JSON values and never handed to Keras: a layer is what its name says or it is refused, and so
is every setting that changes what it computes and has no counterpart here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from alexnet.network.architecture import (
    MOST_SIDE,
    AdaptivePool,
    AveragePool,
    BatchNorm,
    Collapse,
    Conv,
    Dropout,
    Layer,
    Layers,
    Linear,
    MaxPool,
    ReLU,
    Row,
    Shape,
    Sigmoid,
    Tanh,
    Variant,
    ZeroLogit,
    walk,
)
from alexnet.network.documents import checked

Config = dict[str, Any]
Settings = list[tuple[str, Config]]  # class and settings of each layer
ACTIVATIONS: dict[str, Layer] = {"relu": ReLU(), "tanh": Tanh(), "sigmoid": Sigmoid()}
STEMS: dict[type[Layer], str] = {
    Conv: "conv",
    Linear: "fc",
    BatchNorm: "bn",
    ReLU: "relu",
    Tanh: "tanh",
    Sigmoid: "sigmoid",
    MaxPool: "pool",
    AveragePool: "pool",
    Dropout: "drop",
    ZeroLogit: "zero",
}
LAYERS = 200
DIGITS = 12  # to which 1 - momentum is rounded, so that 0.99 becomes 0.01


def document(text: str | bytes) -> Config:
    """A configuration as JSON values. Raises ValueError."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("its configuration is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"its configuration is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("its configuration is not a JSON object")
    return found


# --------------------------------------------------------------------------------------------------- Keras' to ours


def layers_of(model: Config) -> tuple[Layers, Shape]:
    """The layers of a Sequential network, which end in logits, and the shape [channels, side, side] of its input.

    Raises ValueError, KeyError or TypeError for anything that is not known to compute the same here.
    """
    if model.get("class_name") != "Sequential":
        kind = str(model.get("class_name"))[:40]
        raise ValueError(
            f"a model of class {kind}; of Sequential ones alone the configuration is read (weights that are saved "
            "without it, by save_weights, are recognised by their shapes)"
        )
    config = model["config"]
    entries = config if isinstance(config, list) else config["layers"]
    if not 0 < len(entries) <= LAYERS:
        raise ValueError(f"{len(entries)} layers; 1 to {LAYERS} are read")
    settings = [_settings(entry) for entry in entries]
    start = _start(settings[0][1] | (config if isinstance(config, dict) else {}))
    network = Network(start)
    for kind, values in settings:
        READERS[kind](network, values)
    return network.ended(), start


def _settings(entry: Config) -> tuple[str, Config]:
    """Class and settings of a layer, if it is one of Keras' own that are known. Raises ValueError."""
    kind, module = entry["class_name"], entry.get("module") or "keras.layers"
    if kind not in READERS or module != "keras.layers" or entry.get("registered_name"):
        names = ".".join(str(name)[:40] for name in (module, kind))
        raise ValueError(f"a layer {names} is not known; there is {', '.join(READERS)}")
    values: Config = entry["config"]
    if values.get("data_format", "channels_last") not in ("channels_last", None):
        raise ValueError(f"{kind} with channels first")
    return kind, values


def _start(values: Config) -> Shape:
    """Shape of the input: [channels, side, side]. Keras has written it in three places over the years."""
    keys = ("batch_shape", "batch_input_shape", "build_input_shape")
    batch = next((values[key] for key in keys if values.get(key)), None)
    if not isinstance(batch, list) or len(batch) != 4 or batch[1] != batch[2]:
        raise ValueError(f"its input is {str(batch)[:60]}, not [null, side, side, channels]")
    checked(Conv, {"channels": batch[3], "kernel": batch[1]})
    if batch[1] > MOST_SIDE or batch[3] not in (1, 3):
        raise ValueError(f"pictures of {batch[1]} x {batch[1]} in {batch[3]} channels")
    return (batch[3], batch[1], batch[1])


@dataclass
class Network:
    """The layers so far; what Keras keeps in a layer of its own, and we in the next one, waits here."""

    shape: Shape
    layers: list[tuple[str, Layer]] = field(default_factory=list)
    padding: int = 0
    flat: bool = False
    softmax: bool = False

    def add(self, layer: Layer) -> None:
        """Put a layer after the others, named as in Caffe: by kind, and by how many layers with weights there are."""
        if self.softmax or self.padding:
            raise ValueError(f"a {type(layer).__name__} after a {'softmax' if self.softmax else 'ZeroPadding2D'}")
        number = sum(isinstance(each, Conv | Linear) for _, each in self.layers) + isinstance(layer, Conv | Linear)
        stem, taken = f"{STEMS[type(layer)]}{number}", {name for name, _ in self.layers}
        name = next(name for name in (stem, *(f"{stem}_{n}" for n in range(2, LAYERS + 2))) if name not in taken)
        try:
            self.shape = layer.output(self.shape)
        except Collapse:
            raise ValueError(f"its pictures are too small: {name} would have no output") from None
        self.layers.append((name, layer))

    def side(self, kind: str) -> int:
        """Side of the maps that a layer of maps gets."""
        if self.flat or len(self.shape) != 3:
            raise ValueError(f"a {kind} of what is flat")
        return self.shape[1]

    def activate(self, name: object) -> None:
        """Add what stands in Keras as `activation`."""
        if name == "softmax":
            self.softmax = True
        elif name not in ("linear", None):
            if not isinstance(name, str) or name not in ACTIVATIONS:
                raise ValueError(f"an activation {str(name)[:60]!r} is not known; there is {', '.join(ACTIVATIONS)}")
            self.add(ACTIVATIONS[name])

    def ended(self) -> Layers:
        """The layers of the whole network."""
        if len(self.shape) != 1 or not self.layers:
            raise ValueError("it does not end in a Dense")
        if isinstance(self.layers[-1][1], Sigmoid) and self.shape == (1,):
            del self.layers[-1]
            self.add(ZeroLogit())
        elif isinstance(self.layers[-1][1], Sigmoid) or self.shape == (1,):
            raise ValueError("it ends neither in one sigmoid nor in a softmax or logits of several classes")
        return tuple(self.layers)


def _square(value: object) -> object:
    """One of two equal numbers, which Keras also lets stand alone."""
    if isinstance(value, list):
        if len(value) != 2 or value[0] != value[1]:
            raise ValueError(f"height and width differ: {str(value)[:40]}")
        return value[0]
    return value


def _overlap(side: int, kernel: int, stride: int, mode: object) -> int:
    """Zeros that Keras adds along one side: for "same" as many as let the windows begin all over it."""
    if mode not in ("valid", "same"):
        raise ValueError(f"a padding {str(mode)[:40]!r}")
    return max((-(-side // stride) - 1) * stride + kernel - side, 0) if mode == "same" else 0


def _conv(network: Network, values: Config) -> None:
    side = network.side("Conv2D") + 2 * network.padding
    window = {"kernel": _square(values["kernel_size"]), "stride": _square(values.get("strides", 1))}
    groups = values.get("groups", 1)
    layer = Conv(**checked(Conv, {"channels": values["filters"], "groups": groups, **window}))
    added = _overlap(side, layer.kernel, layer.stride, values.get("padding", "valid"))
    if _square(values.get("dilation_rate", 1)) != 1 or added % 2:
        raise ValueError("a Conv2D with dilation, or with more padding on one side than on the other")
    if network.shape[0] % layer.groups or layer.channels % layer.groups:
        raise ValueError(f"a Conv2D whose maps do not divide into {layer.groups} groups")
    padding, network.padding = network.padding + added // 2, 0
    bias = 0.0 if values.get("use_bias", True) else None
    network.add(Conv(layer.channels, layer.kernel, layer.stride, padding, layer.groups, False, "glorot-uniform", bias))
    network.activate(values.get("activation"))


def _dense(network: Network, values: Config) -> None:
    if len(network.shape) == 3 and not network.flat:
        raise ValueError("a Dense of maps that are not flattened")
    units = checked(Linear, {"units": values["units"]})["units"]
    network.add(Linear(units, "glorot-uniform", 0.0 if values.get("use_bias", True) else None))
    network.activate(values.get("activation"))


def _pool(network: Network, values: Config) -> None:
    _pooling(network, MaxPool, values)


def _average(network: Network, values: Config) -> None:
    _pooling(network, AveragePool, values)


def _pooling(network: Network, kind: type[MaxPool], values: Config) -> None:
    side = network.side("pooling")
    kernel = _square(values.get("pool_size", 2))
    stride = kernel if values.get("strides") is None else _square(values["strides"])
    given = checked(kind, {"kernel": kernel, "stride": stride})
    added = _overlap(side, given["kernel"], given["stride"], values.get("padding", "valid"))
    # One more place at the far edge is what a last window that overhangs sees; a mean would count it.
    if added > (kind is MaxPool):
        raise ValueError("a pooling layer that pads")
    network.add(kind(**given, ceil=bool(added)))


def _norm(network: Network, values: Config) -> None:
    axis = values.get("axis", -1)
    last = 1 if network.flat or len(network.shape) == 1 else 3
    if axis not in (-1, [-1], last, [last]) or not (values.get("center", True) and values.get("scale", True)):
        raise ValueError("a BatchNormalization of another axis, or without scale or shift")
    if values.get("renorm") or (network.flat and len(network.shape) == 3 and network.shape[1:] != (1, 1)):
        raise ValueError("a BatchNormalization with renorm, or of flattened maps")
    momentum = values.get("momentum", 0.99)
    given = checked(BatchNorm, {"eps": values.get("epsilon", 1e-3), "momentum": momentum})
    # What Keras keeps of the old mean; torch counts what it takes of the new one.
    network.add(BatchNorm(given["eps"], round(1 - given["momentum"], DIGITS)))


def _activation(network: Network, values: Config) -> None:
    network.activate(values["activation"])


def _relu(network: Network, values: Config) -> None:
    if values.get("max_value") is not None or values.get("negative_slope") or values.get("threshold"):
        raise ValueError("a ReLU with a slope, a threshold or a largest value")
    network.add(ReLU())


def _softmax(network: Network, values: Config) -> None:
    network.softmax = True


def _flatten(network: Network, values: Config) -> None:
    network.flat = True


def _dropout(network: Network, values: Config) -> None:
    if values.get("noise_shape") is not None:
        raise ValueError("a Dropout with a noise_shape")
    network.add(Dropout(**checked(Dropout, {"p": values["rate"]})))


def _zeros(network: Network, values: Config) -> None:
    network.side("ZeroPadding2D")
    sides = values["padding"]
    if isinstance(sides, list) and len(sides) == 2 and sides[0] == sides[1]:
        network.padding += checked(Conv, {"padding": _square(sides[0])})["padding"]
    else:
        raise ValueError(f"a ZeroPadding2D by {str(sides)[:40]}")


def _nothing(network: Network, values: Config) -> None:
    """The input, which `_start` has read."""


READERS: dict[str, Callable[[Network, Config], None]] = {
    "InputLayer": _nothing,
    "Conv2D": _conv,
    "Dense": _dense,
    "BatchNormalization": _norm,
    "Activation": _activation,
    "ReLU": _relu,
    "Softmax": _softmax,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _average,
    "ZeroPadding2D": _zeros,
    "Flatten": _flatten,
    "Dropout": _dropout,
}


# --------------------------------------------------------------------------------------------------- ours to Keras'


def settings_of(variant: Variant, size: int) -> Settings:
    """Class and settings of each of Keras' layers that together compute the variant for pictures of `size`, and its
    softmax or sigmoid. Raises ValueError, naming the layer, where Keras has none."""
    found: Settings = [("InputLayer", {"batch_shape": [None, size, size, variant.channels], "name": "pictures"})]
    for row in walk(variant, size):
        found += _theirs(row, found[-1])
    last = found[-1][1]
    if found[-1][0] != "Dense" or last["activation"] != "linear":
        raise ValueError(f"{variant.layers[-1][0]}: it does not end in a Dense")
    last["activation"] = "sigmoid" if isinstance(variant.layers[-1][1], ZeroLogit) else "softmax"
    return found


def _theirs(row: Row, before: tuple[str, Config]) -> Settings:
    """Keras' layers for one of ours; none for what `before`, the one before it, holds with it."""
    layer, name = row.layer, {"name": row.name}
    match layer:
        case Conv() | MaxPool():
            return _windowed(row)
        case Linear(units=units, bias=bias):
            flatten: Settings = [("Flatten", {"name": "flatten"})] if len(row.input) == 3 else []
            settings = {"units": units, "use_bias": bias is not None, "activation": "linear"}
            return [*flatten, ("Dense", settings | name)]
        case ReLU() | Tanh() | Sigmoid():
            activation = {"activation": type(layer).__name__.lower()}
            if before[1].get("activation") == "linear":
                before[1].update(activation)
                return []
            return [("Activation", activation | name)]
        case BatchNorm(eps=eps, momentum=momentum):
            settings = {"axis": -1, "epsilon": eps, "momentum": round(1 - momentum, DIGITS)}
            return [("BatchNormalization", settings | name)]
        case Dropout(p=p, inverted=True):
            return [("Dropout", {"rate": p} | name)]
        case ZeroLogit():
            return []
        case AdaptivePool(size=size) if row.input[1:] == (size, size):
            return []
    raise ValueError(f"{row.name}: Keras has no {type(layer).__name__} like it")


def _windowed(row: Row) -> Settings:
    layer, side = row.layer, row.input[1]
    assert isinstance(layer, Conv | MaxPool)
    window = {"strides": [layer.stride] * 2, "name": row.name}
    overhangs = (row.output[1] - 1) * layer.stride + layer.kernel > side + 2 * getattr(layer, "padding", 0)
    if isinstance(layer, MaxPool):
        mode = "same" if overhangs else "valid"
        mean = isinstance(layer, AveragePool)
        if _overlap(side, layer.kernel, layer.stride, mode) > (not mean):
            raise ValueError(f"{row.name}: in Keras its last window cannot overhang like this")
        pool = {"pool_size": [layer.kernel] * 2, "padding": mode, **window}
        return [("AveragePooling2D" if mean else "MaxPooling2D", pool)]
    if overhangs:
        raise ValueError(f"{row.name}: in Keras its last window cannot overhang; another picture size may do")
    same = layer.stride == 1 and 2 * layer.padding == layer.kernel - 1
    around = layer.padding and not same
    zeros: Settings = [("ZeroPadding2D", {"padding": [[layer.padding] * 2] * 2, "name": f"pad_{row.name}"})]
    settings = {
        "filters": layer.channels,
        "kernel_size": [layer.kernel] * 2,
        "padding": "same" if same else "valid",
        "groups": layer.groups,
        "use_bias": layer.bias is not None,
        "activation": "linear",
        **window,
    }
    return [*(zeros if around else []), ("Conv2D", settings)]


def model_of(settings: Settings, legacy: bool) -> Config:
    """The configuration of a Sequential network, as Keras 3 writes it into `.keras`, or as all do into `.h5`."""
    more = {} if legacy else {"module": "keras.layers", "registered_name": None}
    layers = [{"class_name": kind, "config": values, **more} for kind, values in settings]
    model: Config = {"class_name": "Sequential", "config": {"name": "alexnet", "layers": layers}}
    return model if legacy else {"module": "keras", "registered_name": None, **model}
