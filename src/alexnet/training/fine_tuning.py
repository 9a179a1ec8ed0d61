"""Training that does not begin from nothing: what comes from another model's weights, and what of it stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, nn

from alexnet.errors import UsageError, WeightsError, unknown
from alexnet.network.architecture import (
    BatchNorm,
    Layer,
    Variant,
    Weighted,
    uninitialised,
    with_classes,
    with_dropout,
)
from alexnet.storage import link, sha256
from alexnet.training.recipe import Recipe
from alexnet.weights import files, torch_engine
from alexnet.weights.files import Description

INITIAL = "initial.safetensors"  # the model file that a run began with, in its folder
LAYER_DECAY = 0.7  # where a recipe names none: results/fine-tuning.json

SETTLED = ("variant", "size", "resize", "decode", "margin", "mean", "scale")
"""Fields of a recipe that do not apply: network and input rule are the weights' own."""


@dataclass(frozen=True)
class Weights:
    """What a run took from another model, as `config.json` records it."""

    model: str  # where it lay: a run folder or a model file
    sha256: str  # of its file
    taken: tuple[str, ...]  # layers
    new: tuple[str, ...]  # layers that were drawn instead

    @property
    def name(self) -> str:
        return Path(self.model).name

    def trained(self) -> dict[str, str]:
        """What a model file says of it: nothing of where it lay."""
        return {"name": self.name, "sha256": self.sha256}


@dataclass(frozen=True)
class Initial:
    """A model that training begins with; its tensors are mapped from the file."""

    model: str
    path: Path
    sha256: str
    description: Description
    tensors: dict[str, Tensor]
    mean_picture: Tensor | None

    def weights(self, classes: Sequence[str]) -> Weights:
        """What a network for these classes takes: all, but for the last layer if they are others or in another order.

        A row of the last layer belongs to a class at its place, so that rows for other classes are worth nothing.
        """
        layers = weighted(self.description.variant)
        new = [] if tuple(classes) == self.description.classes else [last(self.description.variant)]
        return Weights(self.model, self.sha256, tuple(name for name in layers if name not in new), tuple(new))


def read(model: str | os.PathLike[str]) -> Initial:
    """The model that MODEL names, everything about it checked. Raises UsageError and WeightsError."""
    path = files.locate(model).resolve()
    if path.suffix.lower() == ".onnx":
        raise UsageError(f"{model}: an ONNX file cannot be trained on; give the model that it was exported from")
    description = files.describe(path)
    network, mean_picture = torch_engine.assemble(path, description)
    place = Path(model).resolve() if Path(model).exists() else model  # or a name, which means the same everywhere
    return Initial(str(place), path, sha256(path), description, network.state_dict(), mean_picture)


def recall(folder: Path, weights: Weights) -> Initial:
    """The same from the folder of a run. Raises WeightsError if it is not what the run began with."""
    path = folder / INITIAL
    if not path.is_file():  # the run was killed before it had its own
        link(files.locate(weights.model).resolve(), path)
    found = read(path)
    if found.sha256 != weights.sha256:
        raise WeightsError(f"{path}: not the file that the run began with, whose SHA-256 is {weights.sha256}")
    return found


def check_settings(settings: Iterable[str]) -> None:
    """Raise UsageError for a setting that cannot apply, since the weights bring their own."""
    for field in (setting.partition("=")[0] for setting in settings):
        if field in SETTLED:
            raise UsageError(
                f"--set {field}: with --weights, network and input rule are the weights' own; leave it out"
            )


# ------------------------------------------------------------------------------------------------------------ layers


def weighted(variant: Variant) -> list[str]:
    """Names of the layers that have weights."""
    return [name for name, layer in variant.layers if isinstance(layer, Weighted | BatchNorm)]


def last(variant: Variant) -> str:
    """Name of the layer whose outputs are the classes."""
    return [name for name, layer in variant.layers if isinstance(layer, Weighted)][-1]


def same(variant: Variant, other: Variant) -> bool:
    """Whether two networks are one but for the number of their classes, their dropout and their initial values, none of
    which the weights below the last layer know of."""

    def plain(value: Variant) -> list[tuple[str, Layer]]:
        return [(name, uninitialised(layer)) for name, layer in with_dropout(value, 0.0).layers]

    return (plain(with_classes(variant, other.classes)), variant.channels) == (plain(other), other.channels)


def frozen(variant: Variant, patterns: str) -> tuple[str, ...]:
    """Names of the layers that the patterns of `freeze` mean, bottom up. Raises UsageError for one that fits none."""
    names, wanted = weighted(variant), [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise unknown("layer to freeze", pattern, names)
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in wanted))


def check_frozen(names: Sequence[str], weights: Weights | None) -> None:
    """Raise UsageError where a layer would stay as it was drawn at random, or where nothing would learn."""
    taken = weights.taken if weights else ()
    drawn = [name for name in names if name not in taken]
    if drawn and weights is None:
        raise UsageError(f"--set freeze: {drawn[0]} would stay as it was drawn; layers are frozen with --weights alone")
    if drawn:
        raise UsageError(f"--set freeze: {drawn[0]} is new, for other classes, and would stay as it was drawn")
    if weights and not {*weights.taken, *weights.new} - {*names}:
        raise UsageError("--set freeze: every layer would be frozen; leave one out")


# ------------------------------------------------------------------------------------------------------- the network


def described(weights: Weights, variant: Variant, recipe: Recipe) -> str:
    """What was taken from other weights, what is new, what is frozen and how fast the rest learns."""
    still = frozen(variant, recipe.freeze)
    new = f"{', '.join(weights.new)} new (other classes), drawn" if weights.new else "nothing new (the same classes)"
    return (
        f"weights of {weights.name} ({weights.sha256[:12]}…): {', '.join(weights.taken)} taken, {new}; "
        f"frozen: {', '.join(still) or 'nothing'}; each layer at {recipe.layer_decay:g} of the rate above it"
    )


def take(network: nn.Sequential, initial: Initial, layers: Iterable[str]) -> None:
    """Copy the weights of these layers, and the statistics of normalisations, into the network."""
    wanted = set(layers)
    taken = {name: tensor for name, tensor in initial.tensors.items() if name.split(".")[0] in wanted}
    network.load_state_dict(network.state_dict() | taken)


def freeze(network: nn.Sequential, layers: Iterable[str]) -> None:
    """Let these layers stay as they are: no gradients, and for `training_mode` no new statistics."""
    for name in layers:
        network.get_submodule(name).requires_grad_(False)


def training_mode(network: nn.Sequential) -> None:
    """Have the network learn; its frozen layers stay in use, so that normalisations keep to their statistics."""
    network.train()
    for child in network.children():
        child.train(all(parameter.requires_grad for parameter in child.parameters()))
