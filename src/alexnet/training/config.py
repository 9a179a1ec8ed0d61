"""A run as a value: what was asked for and everything that followed from it. What `config.json` holds."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.evaluation.evaluate import default_split, relabelled
from alexnet.network import architecture, documents, variants
from alexnet.network.architecture import LUMA, Input, Variant
from alexnet.pictures import datasets
from alexnet.pictures.checks.glance import glance
from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.prepare import open_store
from alexnet.pictures.skip_list import read_skip_list
from alexnet.pictures.store import Part, Store, class_counts, rule_text
from alexnet.progress import say
from alexnet.training import fine_tuning, memory, recipes, tracking
from alexnet.training.fine_tuning import Initial, Weights
from alexnet.training.parallel import joining
from alexnet.training.parallel.execution import execution
from alexnet.training.parallel.group import Group
from alexnet.training.recipe import EPOCHS, EXECUTION, STEPS, ColourNoise, Recipe, to_json, views_in, with_components
from alexnet.training.recipe import from_json as recipe_from_json
from alexnet.training.statistics import colour_components
from alexnet.training.train import bfloat16
from alexnet.training.train import device as choose_device
from alexnet.weights import files
from alexnet.weights.formats.torchvision import DEVIATION, MEAN

FORMAT = 1

T = TypeVar("T")
Parts = dict[str, Part]


@dataclass(frozen=True)
class Config:
    """A run as it was asked for, and everything that followed from it; what `config.json` holds."""

    data: str
    valid: str | None
    skip_list: tuple[str, ...]
    seed: int
    recipe: Recipe
    variant: Variant
    input: Input
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    digest: str
    valid_digest: str | None
    threads: int
    bfloat16: bool
    weights: Weights | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            "format": FORMAT,
            **plain,
            "recipe": to_json(self.recipe),
            "variant": documents.to_json(self.variant),
            "input": dataclasses.asdict(self.input),
            "weights": dataclasses.asdict(self.weights) if self.weights else None,
        }

    def lasting(self) -> dict[str, Any]:
        """As JSON, what may not change while the run lasts: not where the data lies and what was said of it, nor how
        the run is executed."""
        plain: dict[str, Any] = json.loads(json.dumps(self.to_json()))
        plain["recipe"] = {key: value for key, value in plain["recipe"].items() if key not in EXECUTION}
        return {key: value for key, value in plain.items() if key not in ("data", "valid", "warnings")}


def from_json(document: dict[str, Any]) -> Config:
    """A configuration from what `to_json` made, perhaps before a field was that has its default then. Raises
    ValueError, KeyError or TypeError when the document is not one, and UsageError for a recipe that cannot be."""
    given = dict(document)
    if given.pop("format") != FORMAT:
        raise ValueError("another version's format")
    given["recipe"] = recipe_from_json(given["recipe"])
    given["variant"] = documents.from_json(given["variant"])
    given["input"] = files.input_from_json(given["input"])
    if weights := given.get("weights"):
        lists = {key: tuple(weights[key]) for key in ("taken", "new")}
        given["weights"] = Weights(**{**weights, **lists})
    given["classes"], given["skip_list"] = tuple(given["classes"]), tuple(given["skip_list"])
    given["warnings"] = tuple(given.get("warnings", ()))
    return Config(**given)


def completed(lasting: dict[str, Any]) -> dict[str, Any]:
    """What `lasting` gave in an older version, with the fields that came later; as it is where it cannot be read."""
    try:
        return from_json({"data": "", "valid": None, **lasting}).lasting()
    except (ValueError, KeyError, TypeError, UsageError):
        return lasting


def read_config(run: Path) -> Config:
    """The configuration of a run folder. Raises UsageError."""
    try:
        return from_json(json.loads((run / "config.json").read_text("utf-8")))
    except FileNotFoundError:
        raise UsageError(f"{run}: not a run folder: there is no config.json") from None
    except OSError as error:
        raise UsageError(f"{run}: not a run folder: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{run}/config.json: not a run's configuration: {error}") from None


# ------------------------------------------------------------------------------------------------------------- asked


def recipe_of(given: str | Recipe | None) -> Recipe:
    """A recipe by value, name or JSON file; by default `fast`. Raises UsageError."""
    if isinstance(given, Recipe):
        return given
    if given is None or not given.endswith(".json"):
        return recipes.recipe("fast" if given is None else given)
    return _from_file(Path(given), "recipe", recipe_from_json)


def variant_of(given: str | Variant) -> Variant:
    """A variant by value, name or JSON file. Raises UsageError."""
    if isinstance(given, Variant):
        return given
    if not given.endswith(".json"):
        return variants.variant(given)
    return _from_file(Path(given), "variant", documents.from_json)


def draft_of(given: str | Variant | None, recipe: Recipe, initial: Initial | None) -> Variant:
    """The network to train, for any number of classes: that of the weights it begins with, else the one that is given,
    else the recipe's. Raises UsageError where that of the weights is another than the one given."""
    if initial is None:
        return variant_of(recipe.variant if given is None else given)
    own = initial.description.variant
    if given is not None and not fine_tuning.same(variant_of(given), own):
        raise UsageError(f"--variant {variant_of(given).name}: the weights are those of another network, {own.name}")
    return own


def _from_file(path: Path, key: str, parse: Callable[[dict[str, Any]], T]) -> T:
    """A value from a JSON file, or from its place in a run's config.json."""
    try:
        document = json.loads(path.read_text("utf-8"))
        return parse(document[key] if isinstance(document.get(key), dict) else document)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not a {key}: {type(error).__name__}: {error}") from None


def skip_lines(path: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """The paths in a skip list; none where there is no list."""
    return () if path is None else read_skip_list(path)


# ---------------------------------------------------------------------------------------------------------- resolved


def resolve(
    data: str | os.PathLike[str],
    valid: str | os.PathLike[str] | None,
    skip_list: tuple[str, ...],
    seed: int,
    recipe: Recipe,
    draft: Variant,
    initial: Initial | None = None,
    processes: int = 1,
) -> tuple[Config, Parts]:
    """Open the pictures and settle everything that depends on them; `draft` may have any number of classes."""
    frame = initial.description.input if initial else _frame(recipe, draft)
    size, stored = frame.size, frame.stored
    device = choose_device(recipe)
    architecture.walk(draft, size)  # refuse what cannot work before pictures are prepared
    execution(recipe, draft, size, Group(size=processes))
    joining.check(processes, recipe.batch_size, device)
    frozen = fine_tuning.frozen(draft, recipe.freeze)
    memory.check(draft, size, stored, recipe, device, processes)
    tracking.check(recipe)
    store, parts = open_parts(data, valid, frame, recipe, skip_list, seed)
    if initial and store.rule != (wanted := rule_text(frame.resize, frame.decode)):
        raise UsageError(f"{data}: prepared with {store.rule}, but the weights want {wanted}")
    recipe = _with_colours(_for_parts(recipe, draft, parts, processes), parts[TRAIN])
    execution(recipe, draft, size, Group(size=processes))  # both again, for the batch that there is
    joining.check(processes, recipe.batch_size, device)
    if initial and recipe.layer_decay is None:
        recipe = replace(recipe, layer_decay=fine_tuning.LAYER_DECAY)
    variant = _for_classes(draft, store.classes, recipe)
    weights = initial.weights(store.classes) if initial else None
    fine_tuning.check_frozen(frozen, weights)
    config = Config(
        data=datasets.located(data),
        valid=None if valid is None else datasets.located(valid),
        skip_list=skip_list,
        seed=seed,
        recipe=recipe,
        variant=variant,
        input=frame if initial else input_rule(variant, recipe, size, stored, store, parts[TRAIN]),
        classes=store.classes,
        counts={name: class_counts(store.classes, part.labels) for name, part in parts.items()},
        digest=store.digest,
        valid_digest=None if valid is None else parts[VALIDATION].digest,
        threads=torch.get_num_threads(),
        bfloat16=bfloat16(recipe, device),
        weights=weights,
        warnings=glance(store),
    )
    return config, parts


def open_parts(
    data: str | os.PathLike[str],
    valid: str | os.PathLike[str] | None,
    frame: Input,
    recipe: Recipe,
    skip_list: tuple[str, ...],
    seed: int,
) -> tuple[Store, Parts]:
    """The store of DATA, and the parts of a run: those of the store, or with VALID's as the validation part."""
    kept: dict[str, Any] = {"leave_out": skip_list, "unreadable": recipe.unreadable, "limits": recipe.limits}
    store = open_store(data, frame.stored, frame.resize, frame.decode, **kept)
    parts = split_parts(store, recipe.validation if valid is None else 0.0, seed)
    if valid is not None:
        other = open_store(valid, frame.stored, store.resize, store.decode, **kept)
        if other.rule != store.rule:
            raise UsageError(f"--valid {valid} was prepared with {other.rule}, the training pictures with {store.rule}")
        chosen = other.parts.get(VALIDATION) or other[default_split(other, {})]
        parts[VALIDATION] = relabelled(chosen, other.classes, store.classes, str(valid))
    return store, parts


def reopened(config: Config) -> Parts:
    """The parts of a run that another process has resolved. Raises UsageError where they are not the same here."""
    asked = (config.data, config.valid, config.input, config.recipe, config.skip_list, config.seed)
    store, parts = open_parts(*asked)
    valid_digest = None if config.valid is None else parts[VALIDATION].digest
    if (store.digest, valid_digest) != (config.digest, config.valid_digest):
        raise UsageError(f"{config.data}: not the same pictures on every machine")
    return parts


def _frame(recipe: Recipe, draft: Variant) -> Input:
    """Side of the view and of the stored picture, and the resize rule; what is subtracted comes later."""
    size = recipe.size or draft.size
    stored = size if recipe.margin == "none" else round(draft.stored * size / draft.size)
    return Input(size, stored, recipe.resize, decode=recipe.decode)


def difference(old: Config, new: Config) -> str | None:
    """What of the data is no longer as it was, in words; None if nothing is."""
    if old.classes != new.classes:
        return f"its classes were {', '.join(old.classes)} and are {', '.join(new.classes)}"
    for part in old.counts.keys() | new.counts.keys():
        before, now = (sum(config.counts.get(part, {}).values()) for config in (old, new))
        if before != now:
            return f"its {part} part held {before:,} pictures and holds {now:,}"
    same = (old.digest, old.valid_digest) == (new.digest, new.valid_digest)
    return None if same else "some of its pictures or labels differ"


def _for_parts(recipe: Recipe, draft: Variant, parts: Parts, processes: int) -> Recipe:
    """The recipe for as many pictures as there are. Raises UsageError for what cannot work with them."""
    if recipe.batch_size > len(parts[TRAIN]):
        say(f"batch_size={len(parts[TRAIN])} instead of {recipe.batch_size}: there are no more training pictures")
        recipe = replace(recipe, batch_size=len(parts[TRAIN]))
    if recipe.epochs == 0:
        recipe = replace(recipe, epochs=max(EPOCHS, STEPS * recipe.batch_size // len(parts[TRAIN])))
    together = recipe.batch_statistics == "global" or recipe.execution == "towers"
    normal = recipe.batch_size if together else recipe.batch_size // processes
    if normal == 1 and any(isinstance(layer, architecture.BatchNorm) for _, layer in draft.layers):
        raise UsageError(f"{draft.name}: batch normalisation needs two pictures in a process's batch or more")
    if VALIDATION not in parts and recipe.stop_on.startswith("valid"):
        raise UsageError(f"--set stop_on={recipe.stop_on} needs a validation part, and there is none")
    if TEST not in parts and recipe.watch == TEST:
        remedy = "--set watch=validation --set validation=0.1 sets a part of the training pictures aside"
        raise UsageError(f"recipe {recipe.name} watches the test part, and there is none; {remedy}")
    return recipe


def _with_colours(recipe: Recipe, part: Part) -> Recipe:
    """The recipe with the colours of the training pictures in its noise, where it has any."""
    views = [view for phase in range(len(recipe.phases)) for view in views_in(recipe, phase)]
    noisy = any(isinstance(view, ColourNoise) for view in views)
    return with_components(recipe, colour_components(part)) if noisy else recipe


def _for_classes(draft: Variant, classes: Sequence[str], recipe: Recipe) -> Variant:
    """The variant with one score per class of the data."""
    variant = architecture.with_classes(draft, len(classes))
    return variant if recipe.dropout is None else architecture.with_dropout(variant, recipe.dropout)


def split_parts(store: Store, fraction: float, seed: int) -> Parts:
    """Train, validation and test parts; without a validation part a stratified `fraction` of the train part is one.

    Raises UsageError where there is nothing to train on.
    """
    if TRAIN not in store.parts or not len(store[TRAIN]):
        raise UsageError(f"{store.name}: no training part; there is {', '.join(store.parts)}")
    parts = dict(store.parts)
    missing = sorted(set(range(len(store.classes))) - set(parts[TRAIN].labels.tolist()))
    if missing:
        raise UsageError(f"{store.name}: no training pictures of the class {store.classes[missing[0]]!r}")
    if VALIDATION not in parts and fraction > 0:
        stay, aside = datasets.split(parts[TRAIN].labels, fraction, seed)
        if len(aside):
            parts |= {VALIDATION: parts[TRAIN].take(aside), TRAIN: parts[TRAIN].take(stay)}
    return {name: parts[name] for name in (TRAIN, VALIDATION, TEST) if name in parts}


def input_rule(variant: Variant, recipe: Recipe, size: int, stored: int, store: Store, part: Part) -> Input:
    """How pictures become input, with the mean of the training pictures."""
    if variant.channels not in (1, 3):
        raise UsageError(f"{variant.name} takes {variant.channels} channels; pictures have 1 (grey) or 3 (colour)")
    grey = variant.channels == 1
    mean, deviation = _centre_and_unit(recipe, part)
    means = (float(mean @ LUMA),) if grey else tuple(map(float, mean))
    units = (float(deviation @ LUMA),) if grey else tuple(map(float, deviation))
    return Input(
        size=size,
        stored=stored,
        resize=store.resize,
        decode=store.decode,
        order="grey" if grey else "RGB",
        mean=tuple(round(value, 4) for value in means),
        scale=tuple(recipe.scale / unit for unit in units),
        mean_picture=recipe.mean == "picture" and not grey,
    )


def _centre_and_unit(recipe: Recipe, part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is subtracted from red, green and blue in 0..255, and what the rest is divided by before it is scaled."""
    match recipe.mean:
        case "none":
            return np.zeros(3), np.ones(3)
        case "imagenet":
            return np.round(255 * np.array(MEAN), 3), np.round(255 * np.array(DEVIATION), 3)
        case "channels" | "picture":
            return part.mean.mean(axis=(0, 1)), np.ones(3)
