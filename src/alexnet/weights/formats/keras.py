"""Keras' files: `.keras`, `.weights.h5` and the older `.h5`, with a configuration or weights alone, by h5py alone.

Kernels are [height, width, inputs, outputs] there, and a Dense after Flatten takes its values place by place, each with
all its maps, where ours takes them map by map. No such file says how pictures were prepared; what the articles do who
train such networks in Keras is taken for it: both sides scaled to the input's, values in 0..1.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, WeightsError
from alexnet.network import architecture, variants
from alexnet.network.architecture import (
    AdaptivePool,
    BatchNorm,
    Conv,
    Input,
    Layer,
    Layers,
    Linear,
    MaxPool,
    Row,
    Variant,
    ZeroLogit,
    walk,
)
from alexnet.storage import whole
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.formats import hdf5, keras_layers, zips
from alexnet.weights.formats.foreign import CHANNEL_ORDER, MEAN_AND_SCALE, PICTURE_SIZE, RESIZE_RULE, Foreign

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"  # of a .keras file
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
KINDS: dict[type[Layer], str] = {Conv: "conv2d", Linear: "dense", BatchNorm: "batch_normalization"}
KNOWN = ("le-keras", "single-column", "yenigun-batch-norm")  # recognised by shapes; the first stands for the second
GUESSED = (RESIZE_RULE, CHANNEL_ORDER, MEAN_AND_SCALE)

KERAS = "3.0.0"  # the first version that reads what is written here

Values = NDArray[np.float32]
Stored = dict[str, list[tuple[str, dict[str, hdf5.Dataset]]]]
"""The layers with weights of a file: kind → in order, each with its name there and its variables by name."""


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file is HDF5 or a zip that begins as Keras' do."""
    if head.startswith(zips.MAGIC):
        return any(name.encode() in head for name in (CONFIG, METADATA, WEIGHTS))
    return head.startswith(hdf5.MAGIC)


def read(path: Path, wanted: Variant | None = None) -> Foreign:
    """The network in a file of Keras'.

    Raises WeightsError for a file that is damaged, hostile or of another network, UsageError where `wanted`
    contradicts it, and without h5py.
    """
    hdf5.library()
    with path.open("rb") as file:
        zipped = file.read(len(zips.MAGIC)) == zips.MAGIC
    text, content = _archive(path) if zipped else (None, None)
    with hdf5.opened(path, content) as root:
        if not zipped and "model_config" in root.attrs:
            text = hdf5.text(path, root, "model_config").encode()
        size = path.stat().st_size if content is None else len(content)
        return _network(path, root, size, text, wanted)


def _archive(path: Path) -> tuple[bytes, bytes]:
    """The configuration and the file of weights in a `.keras` file."""
    with zips.opened(path) as archive:
        for name in (CONFIG, WEIGHTS):
            if name not in archive.namelist():
                raise WeightsError(f"{path}: a zip file without {name}; a .keras file has one")
        if archive.getinfo(CONFIG).file_size > CONFIGURATION:
            raise WeightsError(f"{path}: its configuration is longer than {CONFIGURATION:,} bytes")
        return archive.read(CONFIG), archive.read(WEIGHTS)


def _network(path: Path, root: hdf5.Group, size: int, text: bytes | None, wanted: Variant | None) -> Foreign:
    stored = _stored(path, root)
    if sum(each.nbytes for _, variables in _all(stored) for each in variables.values()) > size:
        raise WeightsError(f"{path}: its layers claim more values than the file holds")
    if text is None:
        variant, side = _by_shapes(path, stored, wanted)
        guessed: tuple[str, ...] = (PICTURE_SIZE, *GUESSED)
    else:
        variant, side = _by_configuration(path, text, wanted)
        guessed = GUESSED
    tensors = _tensors(path, variant, side, stored)
    order: Literal["RGB", "grey"] = "grey" if variant.channels == 1 else "RGB"
    zeros, units = (0.0,) * variant.channels, (1 / 255,) * variant.channels
    rule = Input(side, side, "squash", order=order, mean=zeros, scale=units)
    return Foreign("Keras", variant, tensors, rule, guessed=guessed)


# ------------------------------------------------------------------------------------------------- which network it is


def _by_configuration(path: Path, text: bytes, wanted: Variant | None) -> tuple[Variant, int]:
    """The variant that a configuration describes, one of ours where there is one, and the side of its pictures."""
    try:
        layers, (channels, side, _) = keras_layers.layers_of(keras_layers.document(text))
        found = _own(layers, channels, side)
        plan = _plan(found, side)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, UsageError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise WeightsError(f"{path}: its configuration cannot be read: {reason[:300]}") from None
    for candidate in _candidates(wanted, found.classes, channels, variants.VARIANTS):
        with suppress(UsageError):
            if _plan(candidate, side) == plan:
                return candidate, side
    if wanted:
        raise UsageError(f"{path}: its configuration says that it is not {wanted.name}; leave --variant out")
    return found, side


def _own(layers: Layers, channels: int, side: int) -> Variant:
    """A variant of the file's own."""
    shape: architecture.Shape = (channels, side, side)
    for _, layer in layers:
        shape = layer.output(shape)
    return Variant(
        name="keras-sequential",
        title="a network from Keras",
        source="the configuration in a file of Keras'",
        layers=layers,
        classes=shape[0],
        channels=channels,
        size=side,
        stored=side,
    )


def _plan(variant: Variant, side: int) -> list[Layer]:
    """What a variant computes for pictures of one side, whatever its layers are called and begin with."""
    return [_plain(row) for row in walk(variant, side) if not _idle(row)]


def _idle(row: Row) -> bool:
    return isinstance(row.layer, AdaptivePool) and row.input == row.output


def _plain(row: Row) -> Layer:
    layer = row.layer
    if isinstance(layer, Conv | MaxPool) and layer.ceil:
        down = dataclasses.replace(layer, ceil=False)
        with suppress(architecture.Collapse):
            layer = down if down.output(row.input) == row.output else layer
    if isinstance(layer, Conv | Linear):
        layer = dataclasses.replace(layer, std=0.0, bias=None if layer.bias is None else 0.0)
    return layer


def _by_shapes(path: Path, stored: Stored, wanted: Variant | None) -> tuple[Variant, int]:
    """The variant that the user names, or the first of the known ones that the shapes of the weights fit."""
    heads, starts = (
        [variables["kernel"].shape for _, variables in stored[kind] if "kernel" in variables]
        for kind in ("dense", "conv2d")
    )
    classes = heads[-1][-1] if heads and heads[-1] else 2
    channels = 1 if starts and starts[0][2:3] == (1,) else 3
    for candidate in _candidates(wanted, classes, channels, KNOWN):
        expected, found = _sides(_weighted(candidate, candidate.size), stored)
        if wanted or expected == {name: each.shape for name, each in found.items()}:
            return candidate, candidate.size
    raise WeightsError(
        f"{path}: without a configuration, and its weights fit none of {', '.join(KNOWN)}; with --variant it is said "
        "where they differ"
    )


def _candidates(wanted: Variant | None, classes: int, channels: int, names: Iterable[str]) -> Iterator[Variant]:
    """The variants that it may be, for so many classes and channels; the articles' first."""
    given = [wanted] if wanted else [variants.variant(name) for name in dict.fromkeys((*KNOWN, *names))]
    for value in given:
        with suppress(UsageError):
            single = any(isinstance(layer, ZeroLogit) for _, layer in value.layers)
            count = 2 if single and classes == 1 else max(1, classes)
            yield dataclasses.replace(architecture.with_classes(value, count), channels=channels)


# --------------------------------------------------------------------------------------------------- what a file holds


def _stored(path: Path, root: hdf5.Group) -> Stored:
    """Every layer with weights of a file, in any of its forms; of the values only what the file says about them."""
    names = hdf5.names(path, root)
    layers = next((name for name in ("layers", "_layer_checkpoint_dependencies") if name in names), None)
    if layers:
        found = _numbered(path, hdf5.member(path, root, layers))
    elif "model_weights" in names or "layer_names" in root.attrs:
        found = _named(path, hdf5.member(path, root, "model_weights") if "model_weights" in names else root)
    else:
        raise WeightsError(f"{path}: an HDF5 file, but not one of Keras': neither layers nor layer_names in it")
    stored: Stored = {kind: [] for kind in VARIABLES}
    for kind, name, variables in found:
        for variable in variables.values():
            hdf5.shape(path, variable)
        stored[kind].append((name, variables))
    return stored


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


def _all(stored: Stored) -> list[tuple[str, dict[str, hdf5.Dataset]]]:
    return [layer for layers in stored.values() for layer in layers]


# ----------------------------------------------------------------------------------------------- their values and ours


def _weighted(variant: Variant, side: int) -> list[Row]:
    """The layers that have variables. Raises UsageError for one that Keras has not."""
    rows = [row for row in walk(variant, side) if row.parameters]
    for row in rows:
        if type(row.layer) not in KINDS:
            raise UsageError(f"{variant.name}: {row.name}: Keras has no {type(row.layer).__name__} like it")
    return rows


def _shapes(row: Row) -> dict[str, tuple[int, ...]]:
    """Keras' name of each variable of a layer → its shape there."""
    layer, outputs = row.layer, row.output[0]
    if isinstance(layer, BatchNorm):
        return dict.fromkeys(VARIABLES["batch_normalization"], (outputs,))
    assert isinstance(layer, Conv | Linear)
    if isinstance(layer, Conv):
        kernel: tuple[int, ...] = (layer.kernel, layer.kernel, row.input[0] // layer.groups, outputs)
    else:
        kernel = (math.prod(row.input), outputs)
    return {"kernel": kernel} if layer.bias is None else {"kernel": kernel, "bias": (outputs,)}


def _sides(rows: list[Row], stored: Stored) -> tuple[dict[str, tuple[int, ...]], dict[str, hdf5.Dataset]]:
    """Shapes that the network wants and what the file has, by our names, or by the file's where nothing is wanted."""
    expected: dict[str, tuple[int, ...]] = {}
    found: dict[str, hdf5.Dataset] = {}
    left = {kind: list(layers) for kind, layers in stored.items()}
    for row in rows:
        kind = KINDS[type(row.layer)]
        ours = {name: f"{row.name}.{ours}" for name, ours in VARIABLES[kind].items()}
        expected |= {ours[name]: shape for name, shape in _shapes(row).items()}
        if left[kind]:
            label, variables = left[kind].pop(0)
            found |= {ours.get(name, f"{label}/{name}"): each for name, each in variables.items()}
    for layers in left.values():
        found |= {f"{label}/{name}": each for label, variables in layers for name, each in variables.items()}
    return expected, found


def _tensors(path: Path, variant: Variant, side: int, stored: Stored) -> dict[str, Tensor]:
    """The values in our order and under our names. Raises WeightsError, with a table, unless all fit."""
    import torch

    rows = _weighted(variant, side)
    expected, found = _sides(rows, stored)
    sides = (expected, {name: each.shape for name, each in found.items()})
    wanted, there = ({n: torch.empty(shape, device="meta") for n, shape in some.items()} for some in sides)
    files.compare(path, wanted, there, f"{variant.name} (kernels as Keras orders them)")
    tensors: dict[str, Tensor] = {}
    for row in rows:
        for name in _shapes(row):
            ours = f"{row.name}.{VARIABLES[KINDS[type(row.layer)]][name]}"
            tensors[ours] = torch.from_numpy(np.ascontiguousarray(_ours(row, hdf5.values(path, found[ours]))))
        if isinstance(row.layer, BatchNorm):
            if tensors[f"{row.name}.running_var"].min() < 0:
                raise WeightsError(f"{path}: {row.name} has a negative variance")
            tensors[f"{row.name}.num_batches_tracked"] = torch.tensor(0)
    return tensors


def _ours(row: Row, values: Values) -> Values:
    """A variable as we order it."""
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1)
    if values.ndim == 2 and len(row.input) == 3:
        maps, height, width = row.input
        return values.reshape(height, width, maps, -1).transpose(3, 2, 0, 1).reshape(row.output[0], -1)
    return values.T


def _theirs(row: Row, values: Values) -> Values:
    """A variable as Keras orders it: the inverse of `_ours`."""
    if values.ndim == 4:
        return values.transpose(2, 3, 1, 0)
    if values.ndim == 2 and len(row.input) == 3:
        return values.reshape(-1, *row.input).transpose(2, 3, 1, 0).reshape(-1, row.output[0])
    return values.T


# ------------------------------------------------------------------------------------------------------------- writing


def write(path: Path, description: Description, tensors: Mapping[str, Tensor]) -> None:
    """Write for Keras 3, by the ending: `.keras` and `.h5` with a configuration, for `load_model`, and `.weights.h5`;
    the last two for `load_weights` of the same network too. Class names and input rule have no place in them.

    Raises UsageError for a network with layers that Keras lacks and for other endings, StorageError.
    """
    variant, side = description.variant, description.input.size
    forms = {".weights.h5": _write_numbered, ".keras": _write_archive, ".h5": _write_named, ".hdf5": _write_named}
    form = next((form for ending, form in forms.items() if path.name.endswith(ending)), None)
    if form is None:
        raise UsageError(f"{path}: Keras' weights are written as {', '.join(forms)}, not {path.suffix!r}")
    hdf5.library()
    try:
        settings = keras_layers.settings_of(variant, side)
    except ValueError as error:
        raise UsageError(f"{path}: Keras cannot hold {variant.name}: {error}") from None
    with whole(path) as partial:
        form(partial, settings, _layers(variant, side, tensors))


Written = Iterator[tuple[str, str, dict[str, Values]]]
"""Kind, name, and variables by name in Keras' order, of each layer with weights."""


def _layers(variant: Variant, side: int, tensors: Mapping[str, Tensor]) -> Written:
    for row in _weighted(variant, side):
        kind = KINDS[type(row.layer)]
        ours = {name: tensors[f"{row.name}.{VARIABLES[kind][name]}"].detach().cpu().float() for name in _shapes(row)}
        yield kind, row.name, {name: _theirs(row, tensor.numpy()) for name, tensor in ours.items()}


def _write_numbered(file: Path | BinaryIO, settings: keras_layers.Settings, layers: Written) -> None:
    counts = dict.fromkeys(VARIABLES, 0)
    with hdf5.library().File(file, "w") as root:
        for kind, _, variables in layers:
            group = root.create_group(f"layers/{kind}_{counts[kind]}" if counts[kind] else f"layers/{kind}")
            counts[kind] += 1
            for number, values in enumerate(variables.values()):
                group.create_dataset(f"vars/{number}", data=values)


def _write_archive(file: Path, settings: keras_layers.Settings, layers: Written) -> None:
    weights = io.BytesIO()
    _write_numbered(weights, settings, layers)
    members: dict[str, str | bytes] = {
        METADATA: json.dumps({"keras_version": KERAS}),
        CONFIG: json.dumps(keras_layers.model_of(settings, legacy=False)),
        WEIGHTS: weights.getvalue(),
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # without the time


def _write_named(file: Path, settings: keras_layers.Settings, layers: Written) -> None:
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
