"""Recipes: everything about a training run that is not the architecture, as values.

Fields carry torch's names where torch has one; `--set field=value` replaces scalars. Views are what happens to a
training picture, in order; they are carried out by `augment`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from alexnet.errors import UsageError, unknown


@dataclass(frozen=True)
class RandomCrop:
    """A view of the network's size from anywhere in the stored picture."""

    purposes = ("left", "top")


@dataclass(frozen=True)
class RandomResizedCrop:
    """A rectangle of `area` (share of the picture) and of an aspect within e^±`aspect`, scaled to the view."""

    area: tuple[float, float] = (0.45, 1.0)
    aspect: float = 0.22
    purposes = ("area", "aspect", "left", "top")


@dataclass(frozen=True)
class Flip:
    """Mirrored left to right, every other time."""

    purposes = ("flip",)


@dataclass(frozen=True)
class Colour:
    """All channels times 1 ± `brightness`; then each channel plus ± `tint`, in units of 255."""

    brightness: float = 0.2
    tint: float = 0.05
    purposes = ("brightness", "red", "green", "blue")


View = RandomCrop | RandomResizedCrop | Flip | Colour
VIEWS: dict[str, type[View]] = {kind.__name__: kind for kind in (RandomCrop, RandomResizedCrop, Flip, Colour)}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    name: str
    title: str
    source: str

    variant: str = "batch-norm"
    size: int = 0  # side of the view; 0: the variant's own; the stored picture is scaled along
    resize: Literal["crop", "squash", "pad"] = "crop"
    mean: Literal["channels", "picture"] = "channels"  # of the training pictures, subtracted from every picture
    scale: float = 1 / 64  # what 0..255 is multiplied by after that; 1/64 gives photographs unit variance
    views: tuple[View, ...] = (RandomCrop(), Flip())

    epochs: int = 24
    batch_size: int = 64  # of one step, over all processes
    update: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 6e-4
    momentum: float = 0.9  # AdamW's first beta
    weight_decay: float = 0.05
    rates: tuple[tuple[str, float, float], ...] = ()  # (name pattern, learning-rate factor, decay factor), first wins
    schedule: Literal["one-cycle", "stall", "constant"] = "one-cycle"
    warm_up: float = 0.3  # one-cycle: share of the steps in which the rate rises
    drops: int = 3  # stall: how often the rate falls to a tenth
    stall: int = 5  # stall: epochs without a better validation top-1 before it falls
    label_smoothing: float = 0.0
    dropout: float | None = None  # None: the variant's own
    class_weights: Literal["none", "balanced"] = "none"

    validation: float = 0.1  # share of the training part set aside where there is no validation part
    stop_on: str = ""  # a column of history.csv: stop when it has not improved for `patience` epochs
    patience: int = 5

    unreadable: Literal["refuse", "skip"] = "refuse"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["none", "default", "reduce-overhead"] = "none"  # mode of torch.compile; the last uses CUDA graphs
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: int = 1  # threads that read ahead
    checkpoint_minutes: float = 0.0  # between two
    checkpoint_steps: int = 0  # between two; where both are 0: as often as costs 2 % of the time


EXECUTION = frozenset({"device", "workers", "checkpoint_minutes", "checkpoint_steps"})
"""Fields that may differ on resume: they change where and when, not what."""

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="fast",
            title="the practical default: strong augmentation, one cycle of AdamW",
            source="this project; results in results/",
            views=(RandomResizedCrop(), Flip(), Colour()),
            rates=(("*.bias", 1.0, 0.0), ("bn*", 1.0, 0.0)),
            label_smoothing=0.1,
        ),
        Recipe(
            name="krizhevsky-2012",
            title="the paper's rule, rates, decay, batch, crops and flips",
            # PAPER §4.1: the colour noise on principal components is not part of this recipe yet.
            source="Krizhevsky, Sutskever, Hinton, NIPS 2012, sections 2, 4 and 5",
            variant="krizhevsky-2012",
            mean="picture",
            scale=1.0,
            views=(RandomCrop(), Flip()),
            epochs=90,
            batch_size=128,
            update="sgd",
            learning_rate=0.01,
            weight_decay=5e-4,
            # PAPER §5: "when the validation error rate stopped improving", judged by hand; here after 5 epochs.
            schedule="stall",
        ),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UsageError."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


def with_settings(base: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with `field=value` texts applied. Raises UsageError that lists the fields or the values allowed."""
    changes: dict[str, Any] = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set takes field=value, not {setting!r}")
        changes[field] = parse(field, text)
    return checked(dataclasses.replace(base, **changes))


HINTS = typing.get_type_hints(Recipe)
SETTABLE = [f.name for f in dataclasses.fields(Recipe) if f.name not in ("name", "title", "source", "views", "rates")]


def parse(field: str, text: str) -> Any:
    """The value that `text` means for a field."""
    if field not in SETTABLE:
        raise unknown("field of a recipe", field, SETTABLE)
    hint = HINTS[field]
    if typing.get_origin(hint) is Literal:
        return text
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in kinds and text.lower() in ("none", ""):
        return None
    try:
        return kinds[0](text)
    except ValueError:
        raise UsageError(f"--set {field}: {text!r} is not of type {kinds[0].__name__}") from None


RANGES: dict[str, tuple[float, float]] = {
    "size": (0, 4096),
    "scale": (1e-6, 1e3),
    "epochs": (1, 1e6),
    "batch_size": (1, 1e6),
    "learning_rate": (0, 1e3),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 1e3),
    "warm_up": (0, 1),
    "drops": (0, 100),
    "stall": (1, 1e6),
    "label_smoothing": (0, 0.999),
    "dropout": (0, 0.999),
    "validation": (0, 0.9),
    "patience": (1, 1e6),
    "workers": (1, 256),
    "checkpoint_minutes": (0, 1e6),
    "checkpoint_steps": (0, 1e9),
}


WATCHED = ("train_loss", "train_top1", "valid_loss", "valid_top1", "valid_top5")


def checked(recipe: Recipe) -> Recipe:
    """The recipe itself, if every number lies in its range and every word is known. Raises UsageError."""
    for field, hint in HINTS.items():
        value = getattr(recipe, field)
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            raise UsageError(f"--set {field}: {value!r} is not one of {', '.join(typing.get_args(hint))}")
    for field, (low, high) in RANGES.items():
        value = getattr(recipe, field)
        if value is not None and not low <= value <= high:
            raise UsageError(f"--set {field}: {value:g} is outside {low:g} to {high:g}")
    if recipe.stop_on not in ("", *WATCHED):
        raise unknown("column for stop_on", recipe.stop_on, WATCHED)
    return recipe


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values; `from_json` is its inverse."""
    document = dataclasses.asdict(recipe)
    document["views"] = [{"type": type(view).__name__, **dataclasses.asdict(view)} for view in recipe.views]
    return document


def from_json(document: dict[str, Any]) -> Recipe:
    """A recipe from what `to_json` made. Raises ValueError, KeyError or TypeError when the document is not one."""
    views: list[View] = []
    for entry in document["views"]:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        views.append(VIEWS[values.pop("type")](**values))
    rates = tuple((str(pattern), float(rate), float(decay)) for pattern, rate, decay in document.get("rates", ()))
    return checked(Recipe(**{**document, "views": tuple(views), "rates": rates}))
