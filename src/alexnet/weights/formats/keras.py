"""Keras' files: `.keras`, `.weights.h5` and the older `.h5`, with a configuration or weights alone, by h5py alone.

Kernels are [height, width, inputs, outputs] there, and a Dense after Flatten takes its values place by place, each with
all its maps, where ours takes them map by map. No such file says how pictures were prepared; what the articles do who
train such networks in Keras is taken for it: both sides scaled to the input's, values in 0..1.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

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
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.formats import hdf5, keras_file, keras_layers, zips
from alexnet.weights.formats.foreign import CHANNEL_ORDER, MEAN_AND_SCALE, PICTURE_SIZE, RESIZE_RULE, Foreign
from alexnet.weights.formats.keras_file import VARIABLES, Stored, Values, Written

if TYPE_CHECKING:
    from torch import Tensor

KINDS: dict[type[Layer], str] = {Conv: "conv2d", Linear: "dense", BatchNorm: "batch_normalization"}
KNOWN = ("le-keras", "single-column", "yenigun-batch-norm")  # recognised by shapes; the first stands for the second
GUESSED = (RESIZE_RULE, CHANNEL_ORDER, MEAN_AND_SCALE)


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file is HDF5 or a zip that begins as Keras' do."""
    if head.startswith(zips.MAGIC):
        return any(name.encode() in head for name in keras_file.MEMBERS)
    return head.startswith(hdf5.MAGIC)


def read(path: Path, wanted: Variant | None = None) -> Foreign:
    """The network in a file of Keras'.

    Raises WeightsError for a file that is damaged, hostile or of another network, UsageError where `wanted`
    contradicts it, and without h5py.
    """
    hdf5.library()
    with path.open("rb") as file:
        zipped = file.read(len(zips.MAGIC)) == zips.MAGIC
    text, content = keras_file.archive(path) if zipped else (None, None)
    with hdf5.opened(path, content) as root:
        if not zipped and "model_config" in root.attrs:
            text = hdf5.text(path, root, "model_config").encode()
        size = path.stat().st_size if content is None else len(content)
        return _network(path, root, size, text, wanted)


def _network(path: Path, root: hdf5.Group, size: int, text: bytes | None, wanted: Variant | None) -> Foreign:
    stored = keras_file.stored(path, root)
    if sum(each.nbytes for _, variables in keras_file.layers_in(stored) for each in variables.values()) > size:
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

    Raises UsageError for a network with layers that Keras lacks and for other endings, OSError.
    """
    variant, side = description.variant, description.input.size
    forms = {
        ".weights.h5": keras_file.write_numbered,
        ".keras": keras_file.write_archive,
        ".h5": keras_file.write_named,
        ".hdf5": keras_file.write_named,
    }
    form = next((form for ending, form in forms.items() if path.name.endswith(ending)), None)
    if form is None:
        raise UsageError(f"{path}: Keras' weights are written as {', '.join(forms)}, not {path.suffix!r}")
    hdf5.library()
    try:
        settings = keras_layers.settings_of(variant, side)
    except ValueError as error:
        raise UsageError(f"{path}: Keras cannot hold {variant.name}: {error}") from None
    file = io.BytesIO()  # on a full disk h5py names the partial file, or fails as it closes it
    form(file, settings, _layers(variant, side, tensors))
    path.write_bytes(file.getbuffer())


def _layers(variant: Variant, side: int, tensors: Mapping[str, Tensor]) -> Written:
    for row in _weighted(variant, side):
        kind = KINDS[type(row.layer)]
        ours = {name: tensors[f"{row.name}.{VARIABLES[kind][name]}"].detach().cpu().float() for name in _shapes(row)}
        yield kind, row.name, {name: _theirs(row, tensor.numpy()) for name, tensor in ours.items()}
