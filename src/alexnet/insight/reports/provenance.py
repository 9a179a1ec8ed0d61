"""Where a model and its numbers come from, for a report: data, recipe, time, machine, and how to do it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from alexnet.environment import command, processor
from alexnet.evaluation.certainty import wilson
from alexnet.evaluation.evaluate import Evaluation
from alexnet.insight.reports import contents, notes
from alexnet.insight.reports.page import duration
from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.store import store_of
from alexnet.weights.files import Description

Facts = list[tuple[str, str]]


def of_run(
    folder: Path,
    found: Evaluation,
    history: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    result: Mapping[str, Any],
) -> dict[str, Any]:
    """What is known of a run that has just ended, its report and result not yet written."""
    watched, split = config["recipe"]["watch"], found.scores["split"]
    chosen = result["watched"] == VALIDATION
    looked = split == watched and (chosen or split == TEST)
    environment = json.loads((folder / "environment.json").read_text("utf-8"))
    return {
        "kind": "training run",
        "title": f"{config['variant']['name']} on {Path(config['data']).name}",
        "summary": _summary(config, result),
        "training": _recipe(config["recipe"], config["seed"]) + _began(config) + _counts(config),
        "trained_on": config["counts"][TRAIN],
        "notes": _notes(found, looked),
        "history": history,
        "watched": watched,
        "best": result["best"]["epoch"] if chosen else None,
        "curves": contents.curves(history, watched, result["best"]["epoch"] if chosen else None),
        "kernels": contents.kernels_of_run(folder, found.model),
        "timing": _time(found, history, result) + _machine(environment),
        "again": _again(config, environment),
        "configuration": json.dumps(config, indent=1, ensure_ascii=False),
        "log": (folder / "log.txt").read_text("utf-8", errors="surrogateescape"),
    }


def of_models(found: Evaluation, models: Sequence[str], data: str) -> dict[str, Any]:
    """What is known of models that were evaluated on DATA."""
    description, scores = found.model.description, found.scores
    names = [Path(name).name or name for name in models]
    options = ["--split", scores["split"], "--views", str(scores["views"])]
    trained = description.trained
    averaged = [("averaged", f"{len(names)} models: {', '.join(names)}; shown is the first")] if names[1:] else []
    return {
        "kind": "evaluation",
        "title": f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} on {Path(data).name}",
        "summary": "",
        "training": [*averaged, *_trained(description)],
        "trained_on": description.data.get("counts", {}).get(TRAIN, {}),
        "notes": _notes(found, looked=False),
        "history": [],
        "watched": VALIDATION,
        "best": None,
        "curves": [],
        "kernels": contents.kernels_of(found.model),
        "timing": [_evaluated(found), ("processor", processor())],
        "again": [("the same evaluation", shlex.join(command(["alexnet", "evaluate", *models, data, *options])))],
        "configuration": json.dumps(trained, indent=1, ensure_ascii=False) if trained else None,
        "log": None,
        "samples": [],
    }


def _notes(found: Evaluation, looked: bool) -> list[str]:
    scores = found.scores
    counts = {row["class"]: row["images"] for row in scores["per_class"]}
    right = sum(row["correct"] for row in scores["per_class"])
    interval = wilson(right, scores["images"])
    return [*notes.of_pictures(store_of(found.part)), *notes.of_evaluation(scores["split"], counts, interval, looked)]


# ------------------------------------------------------------------------------------------------------------ training


def _summary(config: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    pictures = sum(config["counts"][TRAIN].values())
    many = f"{result['epochs']:,} epoch{'' if result['epochs'] == 1 else 's'}"
    learnt = f"{pictures:,} pictures of {len(config['classes']):,} classes"
    return f"Recipe {config['recipe']['name']}, {many} of {learnt}, in {duration(result['seconds'])}."


def _recipe(recipe: Mapping[str, Any], seed: int) -> Facts:
    rule = (
        f"{recipe['update']}, rate {recipe['learning_rate']:g} ({recipe['schedule']}), decay {recipe['weight_decay']:g}"
    )
    return [
        ("recipe", f"{recipe['name']}: {recipe['title']}"),
        ("learning", f"{rule}, batches of {recipe['batch_size']:,}, up to {recipe['epochs']:,} epochs, seed {seed}"),
    ]


def _began(config: Mapping[str, Any]) -> Facts:
    weights = config["weights"]
    if not weights:
        return []
    new, frozen = ", ".join(weights["new"]) or "nothing", config["recipe"]["freeze"] or "nothing"
    name = Path(weights["model"]).name
    return [("began with", f"weights of {name} (SHA-256 {weights['sha256']}); new: {new}; frozen: {frozen}")]


def _counts(config: Mapping[str, Any]) -> Facts:
    parts = (f"{part} {sum(counts.values()):,}" for part, counts in config["counts"].items())
    data = [("data", f"{Path(config['data']).name}, {len(config['classes']):,} classes; pictures: {', '.join(parts)}")]
    return [*data, ("validated on", Path(config["valid"]).name)] if config["valid"] else data


def _trained(description: Description) -> Facts:
    """What a model file says it was trained on; nothing where it does not say that in our way."""
    trained = description.trained
    data, recipe = description.data, trained.get("recipe")
    found: Facts = []
    if "name" in data:
        pictures = sum(data.get("counts", {}).get(TRAIN, {}).values())
        found.append(("trained on", f"{data['name']}, {pictures:,} pictures of {len(description.classes):,} classes"))
    if isinstance(recipe, dict) and "name" in recipe:
        found.append(("recipe", f"{recipe['name']}: {recipe.get('title', '')}"))
    if "format" in trained:
        guessed = ", ".join(trained.get("guessed", [])) or "nothing"
        found.append(("came from", f"{trained['format']}; guessed: {guessed}"))
    return found


# ---------------------------------------------------------------------------------------------------------------- time


def _time(found: Evaluation, history: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> Facts:
    ends = [0.0, *(float(row["seconds"]) for row in history)]
    each = median(after - before for before, after in pairwise(ends))
    speed = result["images_per_second"]
    return [
        ("training", f"{duration(result['seconds'])} for {result['epochs']:,} epochs, {duration(each)} each (median)"),
        ("speed", f"{speed:,.0f} pictures/s in training steps" if speed >= 10 else f"{speed:.1f} pictures/s"),
        _evaluated(found),
    ]


def _evaluated(found: Evaluation) -> tuple[str, str]:
    seconds, images, views = (found.scores[key] for key in ("seconds", "images", "views"))
    each = f"{views} views each, " if views > 1 else ""
    return (
        "evaluation",
        f"{duration(seconds)} for {images:,} pictures, {each}{images / max(seconds, 1e-3):,.0f} a second",
    )


def _machine(environment: Mapping[str, Any]) -> Facts:
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return [
        ("processor", f"{environment['processor']}; {environment['threads']} threads of {environment['cores']} cores"),
        ("versions", f"alexnet {environment['alexnet']}, Python {environment['python']}, {packages}"),
        ("system", environment["system"]),
        ("began", environment["started"]),
    ]


# --------------------------------------------------------------------------------------------------------------- again


def _again(config: Mapping[str, Any], environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Commands, each with what it is."""
    words = ["alexnet", "train", Path(config["data"]).name, "--recipe", "config.json", "--variant", "config.json"]
    words += ["--seed", str(config["seed"])]
    words += ["--valid", Path(config["valid"]).name] if config["valid"] else []
    words += ["--weights", "initial.safetensors"] if config["weights"] else []
    words += ["--skip-list", "skipped.txt"] if config["skip_list"] else []
    skipped = ", with the paths of its skip_list in skipped.txt" if config["skip_list"] else ""
    typed = environment["command"]
    as_typed = [("as it was typed", shlex.join(typed))] if typed[:1] == ["alexnet"] else []
    return [*as_typed, (f"from config.json, in the run folder{skipped}", shlex.join(words))]
