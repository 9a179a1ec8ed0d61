"""Where Keras' files keep the values of their layers: in a `.keras` archive, numbered, or under the layers' names."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import WeightsError
from alexnet.weights.formats import hdf5, keras_layers, zips

MEMBERS = CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"  # of a .keras file
CONFIGURATION = 2**20  # bytes of the first
VARIABLES = {  # of a layer, in Keras' order, with our names for them
    "conv2d": {"kernel": "weight", "bias": "bias"},
    "dense": {"kernel": "weight", "bias": "bias"},
    "batch_normalization": {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
}
KERAS = "3.0.0"  # the first version that reads what is written here

Values = NDArray[np.float32]
Stored = dict[str, list[tuple[str, dict[str, hdf5.Dataset]]]]
"""The layers with weights of a file: kind → in order, each with its name there and its variables by name."""
Written = Iterator[tuple[str, str, dict[str, Values]]]
"""Kind, name, and variables by name in Keras' order, of each layer with weights."""


def archive(path: Path) -> tuple[bytes, bytes]:
    """The configuration and the file of weights in a `.keras` file."""
    with zips.opened(path) as members:
        for name in (CONFIG, WEIGHTS):
            if name not in members.namelist():
                raise WeightsError(f"{path}: a zip file without {name}; a .keras file has one")
        if members.getinfo(CONFIG).file_size > CONFIGURATION:
            raise WeightsError(f"{path}: its configuration is longer than {CONFIGURATION:,} bytes")
        return members.read(CONFIG), members.read(WEIGHTS)


def stored(path: Path, root: hdf5.Group) -> Stored:
    """Every layer with weights of a file, in any of its forms; of the values only what the file says about them."""
    names = hdf5.names(path, root)
    layers = next((name for name in ("layers", "_layer_checkpoint_dependencies") if name in names), None)
    if layers:
        found = _numbered(path, hdf5.member(path, root, layers))
    elif "model_weights" in names or "layer_names" in root.attrs:
        found = _named(path, hdf5.member(path, root, "model_weights") if "model_weights" in names else root)
    else:
        raise WeightsError(f"{path}: an HDF5 file, but not one of Keras': neither layers nor layer_names in it")
    kinds: Stored = {kind: [] for kind in VARIABLES}
    for kind, name, variables in found:
        for variable in variables.values():
            hdf5.shape(path, variable)
        kinds[kind].append((name, variables))
    return kinds


def _numbered(path: Path, layers: hdf5.Group) -> Iterator[tuple[str, str, dict[str, hdf5.Dataset]]]:
    """Keras 3: layers/conv2d_1/vars/0, where layers of a class are counted and variables are numbered."""
    names = set(hdf5.names(path, layers))
    for kind, variables in VARIABLES.items():
        counted = (name for count in range(len(names)) if (name := f"{kind}_{count}" if count else kind) in names)
        for name in counted:
            group = hdf5.member(path, layers, f"{name}/vars")
            order = dict(enumerate(variables))
            values = {
                order.get(int(key), key) if key.isdecimal() else key: hdf5.member(path, group, key)
                for key in hdf5.names(path, group)
            }
            yield kind, name, values


def _named(path: Path, layers: hdf5.Group) -> Iterator[tuple[str, str, dict[str, hdf5.Dataset]]]:
    """The older form: layer_names in order, weight_names for each, such as conv2d/kernel:0."""
    for name in hdf5.texts(path, layers, "layer_names"):
        group = hdf5.member(path, layers, name)
        places = hdf5.texts(path, group, "weight_names")
        if places:
            values = {each.split("/")[-1].split(":")[0]: hdf5.member(path, group, each) for each in places}
            kind = next((kind for kind, variables in VARIABLES.items() if {*values} <= {*variables}), None)
            if kind is None or len(values) < len(places):
                raise WeightsError(f"{path}: layer {name[:60]} has variables {', '.join(places)[:120]}, unknown here")
            if kind == "conv2d" and len(hdf5.shape(path, values.get("kernel"))) == 2:
                kind = "dense"
            yield kind, name, values


def layers_in(stored: Stored) -> list[tuple[str, dict[str, hdf5.Dataset]]]:
    """Its layers without their kinds."""
    return [layer for layers in stored.values() for layer in layers]


def write_numbered(file: BinaryIO, settings: keras_layers.Settings, layers: Written) -> None:
    """Keras 3's `.weights.h5`: variables by number, without a configuration."""
    counts = dict.fromkeys(VARIABLES, 0)
    with hdf5.library().File(file, "w") as root:
        for kind, _, variables in layers:
            group = root.create_group(f"layers/{kind}_{counts[kind]}" if counts[kind] else f"layers/{kind}")
            counts[kind] += 1
            for number, values in enumerate(variables.values()):
                group.create_dataset(f"vars/{number}", data=values)


def write_archive(file: BinaryIO, settings: keras_layers.Settings, layers: Written) -> None:
    """A `.keras` file: the configuration, and the numbered form beside it."""
    weights = io.BytesIO()
    write_numbered(weights, settings, layers)
    members: dict[str, str | bytes] = {
        METADATA: json.dumps({"keras_version": KERAS}),
        CONFIG: json.dumps(keras_layers.model_of(settings, legacy=False)),
        WEIGHTS: weights.getvalue(),
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # without the time


def write_named(file: BinaryIO, settings: keras_layers.Settings, layers: Written) -> None:
    """The older `.h5`: the configuration, and variables under the names of their layers."""
    with hdf5.library().File(file, "w") as root:
        root.attrs["model_config"] = json.dumps(keras_layers.model_of(settings, legacy=True))
        weights = root.create_group("model_weights")
        for group in (root, weights):
            group.attrs["keras_version"], group.attrs["backend"] = KERAS, "torch"
        weights.attrs["layer_names"] = [values["name"] for _, values in settings]
        for _, values in settings:
            weights.create_group(values["name"]).attrs["weight_names"] = np.zeros(0)
        for _, name, variables in layers:
            for variable, content in variables.items():
                weights.create_dataset(f"{name}/{name}/{variable}:0", data=content)
            weights[name].attrs["weight_names"] = [f"{name}/{variable}:0" for variable in variables]
