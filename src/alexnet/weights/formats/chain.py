"""From the chain of layers that a file lists to a network of ours: which one it is, and its weights under our names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, WeightsError
from alexnet.network import architecture as a
from alexnet.network import documents
from alexnet.network.variants import VARIANTS
from alexnet.weights import files

if TYPE_CHECKING:
    from torch import Tensor

MOST_LAYERS = 128
LEARNT = {"std": 0.01, "bias": 0.0, "momentum": 0.1}  # what matters in training alone, as values to compare with
STEMS: dict[type[a.Layer], str] = {
    **{a.Conv: "conv", a.Linear: "fc", a.ReLU: "relu", a.Tanh: "tanh", a.Sigmoid: "sigmoid", a.MaxPool: "pool"},
    **{a.AveragePool: "pool", a.AdaptivePool: "avgpool", a.ResponseNorm: "norm", a.Dropout: "drop"},
}


@dataclass(frozen=True)
class Link:
    """A layer as a file has it: its name there (or none), what it is, its values by our names, shaped as torch's."""

    name: str
    layer: a.Layer
    tensors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Net:
    """What a file says of a network as a whole."""

    path: Path
    format: str
    name: str
    links: Sequence[Link]
    size: int


def channels(path: Path, links: Sequence[Link]) -> int:
    """Of the pictures: as many as the first convolution takes. Raises WeightsError where there is none."""
    for link in links:
        if isinstance(link.layer, a.Conv):
            shape = link.tensors["weight"].shape
            return int(shape[1]) * link.layer.groups if len(shape) == 4 else 0
        if isinstance(link.layer, a.Linear):
            break
    raise WeightsError(f"{path}: no convolution before the first fully connected layer")


def layer(path: Path, name: str, kind: type[a.Layer], **values: Any) -> a.Layer:
    """A layer with the values that a file gives. Raises WeightsError for values that no layer has."""
    try:
        return kind(**documents.checked(kind, values))
    except ValueError as error:
        raise WeightsError(f"{path}: layer {name!r:.60}: {error}") from None


def assemble(net: Net, wanted: a.Variant | None) -> tuple[a.Variant, dict[str, Tensor]]:
    """The variant that a net is, and its weights by that variant's names.

    The first of ours that computes the same from pictures of that size, or `wanted` and no other; a new one made of
    the file's layers where there is none. Raises WeightsError.
    """
    variant = _same(net, wanted)
    weighted = [name for name, layer in variant.layers if isinstance(layer, a.Weighted)]
    values = [link.tensors for link in net.links if link.tensors]
    arrays = {
        f"{name}.{kind}": array for name, own in zip(weighted, values, strict=True) for kind, array in own.items()
    }
    return variant, _loadable(net, variant, arrays)


def _same(net: Net, wanted: a.Variant | None) -> a.Variant:
    built = _built(net)
    try:
        used = _used(built, net.size)
    except UsageError as error:
        raise WeightsError(f"{net.path}: {error}") from None
    for variant in [wanted] if wanted else _candidates(built.classes, built.channels):
        try:
            if _used(variant, net.size) == used:
                return variant
        except UsageError:  # of pictures that are too small for it
            continue
    if wanted:
        raise WeightsError(f"{net.path}: its layers are not those of {wanted.name} with {built.classes} classes")
    return built


def _candidates(classes: int, channels: int) -> Iterator[a.Variant]:
    for make in VARIANTS.values():
        try:
            yield make(classes=classes, channels=channels)
        except UsageError:  # a network that is for two classes
            continue


def _used(variant: a.Variant, size: int) -> list[tuple[a.Layer, a.Shape]]:
    """What a network computes in use: its layers with what they make of pictures of a size."""
    return [(_plain(row.layer), row.output) for row in a.walk(variant, size) if not _idle(row)]


def _idle(row: a.Row) -> bool:
    """Whether a layer gives what it takes."""
    match row.layer:
        case a.Dropout(inverted=inverted):
            return inverted
        case a.AdaptivePool():
            return row.input == row.output
        case a.MaxPool(kernel=kernel, stride=stride):
            return kernel == stride == 1
    return False


def _plain(layer: a.Layer) -> a.Layer:
    """Without what the output's shape tells (`ceil`) and what only learning needs; constants to six digits."""
    values = {name: value for name, value in LEARNT.items() if getattr(layer, name, None) is not None}
    values |= {name: float(f"{getattr(layer, name):.6g}") for name in ("alpha", "beta", "k") if hasattr(layer, name)}
    return dataclasses.replace(layer, **values, **({"ceil": False} if hasattr(layer, "ceil") else {}))


def _built(net: Net) -> a.Variant:
    """A variant of the file's own layers."""
    if not net.links or len(net.links) > MOST_LAYERS:
        raise WeightsError(f"{net.path}: a network of {len(net.links)} layers; 1 to {MOST_LAYERS} are read")
    last = net.links[-1].layer
    classes = last.units if isinstance(last, a.Linear) else 0
    if classes < 2:
        raise WeightsError(f"{net.path}: ends in {last}, not in a fully connected layer of 2 classes or more")
    slug = re.sub(r"[^a-z0-9]+", "-", net.name.lower()).strip("-")[:40]
    variant = a.Variant(
        name=slug if slug and slug not in VARIANTS else f"{net.format.lower()}-{slug or 'network'}",
        title=f"a network of {net.format}'s",
        source=f"read from {net.format}'s format",
        layers=tuple(zip(_names(net.links), (link.layer for link in net.links), strict=True)),
        classes=classes,
        channels=channels(net.path, net.links),
        size=net.size,
        stored=max(256, net.size),
    )
    try:
        return documents.from_json(documents.to_json(variant))
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{net.path}: {error}") from None


def _names(links: Sequence[Link]) -> list[str]:
    """The file's names if they can be ours too, else Caffe's: each layer has the number of the weights before it."""
    from torch import nn

    names = [link.name for link in links]
    free = all(re.fullmatch(r"[\w-]{1,60}", name) and not hasattr(nn.Sequential, name) for name in names)
    if free and "flatten" not in names and len(set(names)) == len(names):
        return names
    found: list[str] = []
    number = 0
    for link in links:
        number += isinstance(link.layer, a.Weighted)
        name = f"{STEMS[type(link.layer)]}{number}"
        found.append(name + "b" * sum(bool(re.fullmatch(f"{name}b*", other)) for other in found))
    return found


def _loadable(net: Net, variant: a.Variant, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """The values as the variant's tensors, with nothing missing, misshaped or not finite."""
    import torch

    from alexnet.network.model import skeleton

    try:
        expected = skeleton(variant, net.size).state_dict()
    except (UsageError, RuntimeError) as error:  # torch's own for sizes beyond all measure
        raise WeightsError(f"{net.path}: {error}") from None
    shapes = {name: torch.empty(array.shape, device="meta") for name, array in arrays.items()}
    files.compare(net.path, expected, shapes, variant.name)
    tensors = {name: torch.from_numpy(np.array(array, np.float32, order="C")) for name, array in arrays.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(torch.stack(tensor.aminmax())).all():
            raise WeightsError(f"{net.path}: {name} holds values that are not finite")
    return tensors
