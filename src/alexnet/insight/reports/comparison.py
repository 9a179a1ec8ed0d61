"""Runs side by side: what was set differently, what came of it, and whether the difference is more than chance.

Everything is read from the files of the run folders, so that runs that are unfinished, or whose data is gone, can be
compared too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from alexnet.errors import UsageError
from alexnet.evaluation.certainty import mcnemar, wilson
from alexnet.network import architecture, documents
from alexnet.pictures.layout import VALIDATION
from alexnet.storage import read_csv, read_json

FOLLOWS = ("title", "source", "variant", "size", "resize", "decode")  # of a recipe: said by its name, network or input


@dataclass(frozen=True)
class Run:
    """What a run folder holds of interest. `result` and `evaluation` are empty as long as the run has not ended."""

    name: str
    folder: Path
    config: dict[str, Any]
    history: list[dict[str, float | None]]
    result: dict[str, Any]
    evaluation: dict[str, Any]

    @cached_property
    def parameters(self) -> int:
        variant = documents.from_json(self.config["variant"])
        return sum(row.parameters for row in architecture.walk(variant, self.config["input"]["size"]))

    @cached_property
    def answers(self) -> dict[tuple[str, str], bool] | None:
        """(path, class) of each evaluated picture → whether the answer was right; None where the files do not tell."""
        split = self.evaluation.get("split")
        wrong = {row["path"] for row in read_csv(self.folder / "mistakes.csv")}
        found = {
            (row["path"], row["class"]): row["path"] not in wrong
            for row in read_csv(self.folder / "split.csv")
            if row["split"] == split
        }
        right = sum(row["correct"] for row in self.evaluation.get("per_class", []))
        return found if found and sum(found.values()) == right else None


def read(folders: Sequence[Path]) -> list[Run]:
    """The runs in some folders. Raises UsageError."""
    short = [os.path.basename(os.path.realpath(folder)) for folder in folders]
    names = short if len(set(short)) == len(short) else [str(folder) for folder in folders]
    return [_read(name, folder) for name, folder in zip(names, folders, strict=True)]


def _read(name: str, folder: Path) -> Run:
    config = read_json(folder / "config.json")
    if "recipe" not in config:
        raise UsageError(
            f"{folder}: not a run folder: there is no config.json of a run; give folders of `alexnet train`"
        )
    try:
        rows = read_csv(folder / "history.csv")
        history = [{column: float(value) if value else None for column, value in row.items()} for row in rows]
        run = Run(
            name, folder, config, history, read_json(folder / "result.json"), read_json(folder / "evaluation.json")
        )
        comparison([run])  # so that what is damaged is named before anything is compared
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder}: its files are not as a run leaves them: {type(error).__name__}: {error}") from None
    return run


# ------------------------------------------------------------------------------------------------------------- results


def results(run: Run) -> dict[str, Any]:
    """What came of a run, as JSON values; None for what it does not have yet."""
    last = run.history[-1] if run.history else {}
    best = run.result.get("best", {}) if run.result.get("watched") == VALIDATION else {}
    looked_at = sum(run.config["counts"].get(VALIDATION, {}).values())
    return {
        "run": run.name,
        "finished": bool(run.result),
        "variant": run.config["variant"]["name"],
        "parameters": run.parameters,
        "epochs": int(last.get("epoch") or 0),
        "of_epochs": run.config["recipe"]["epochs"],
        "seconds": run.result.get("seconds", last.get("seconds")),
        "images_per_second": run.result.get("images_per_second"),
        "best_epoch": best.get("epoch"),
        "validation": _share(best.get("top1"), looked_at),
        "evaluated": {"split": run.evaluation["split"], "loss": run.evaluation["loss"]}
        | (_share(run.evaluation["top1"], run.evaluation["images"]) or {})
        if run.evaluation
        else None,
    }


def _share(top1: float | None, images: int) -> dict[str, Any] | None:
    if top1 is None or not images:
        return None
    right = round(top1 * images)
    return {"images": images, "right": right, "top1": top1, "interval": list(wilson(right, images))}


# --------------------------------------------------------------------------------------------------------- differences


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The settings in which runs differ: name → the value in each run, None where a run has no such setting."""
    settings = [_settings(run.config) for run in runs]
    names = dict.fromkeys(chain.from_iterable(settings))
    table = {name: [each.get(name) for each in settings] for name in names}
    found = {name: values for name, values in table.items() if any(value != values[0] for value in values)}
    if "variant" in found:
        found.pop("layers", None)  # another network has other layers
    return found


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was set, or followed, under one name each."""
    counts = {f"{part} pictures": sum(classes.values()) for part, classes in config["counts"].items()}
    layers = hashlib.sha256(json.dumps(config["variant"]["layers"]).encode()).hexdigest()[:12]
    recipe = {"recipe" if key == "name" else key: value for key, value in config["recipe"].items()}
    rule = {key: value for key, value in config["input"].items() if key not in ("mean", "scale")}
    plain = ("data", "valid", "seed", "skip_list", "bfloat16", "weights")
    own = {key: config[key] for key in plain} | {"data": Path(config["data"]).name, "digest": config["digest"][:12]}
    named = {"variant": config["variant"]["name"], "layers": layers}
    return named | own | counts | rule | {key: value for key, value in recipe.items() if key not in FOLLOWS}


# --------------------------------------------------------------------------------------------------------------- pairs


def paired(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Of runs that answered about the same pictures the most accurate one beside each other, picture by picture.

    `p`: by McNemar's exact test, two-sided, how probable a difference of this size would be were both equally good. No
    correction for several comparisons.
    """
    alike: dict[frozenset[tuple[str, str]], list[Run]] = {}
    for run in runs:
        if run.answers is not None:
            alike.setdefault(frozenset(run.answers), []).append(run)
    found = []
    for group in alike.values():
        first = max(group, key=lambda run: float(run.evaluation["top1"]))
        found += [_pair(first, run) for run in group if run is not first]
    return found


def _pair(first: Run, second: Run) -> dict[str, Any]:
    one, other = first.answers or {}, second.answers or {}
    both = sum(one[key] and other[key] for key in one)
    only_first, only_second = sum(one.values()) - both, sum(other.values()) - both
    return {
        "first": first.name,
        "second": second.name,
        "images": len(one),
        "both_right": both,
        "only_first_right": only_first,
        "only_second_right": only_second,
        "p": mcnemar(only_first, only_second),
    }


def comparison(runs: Sequence[Run]) -> dict[str, Any]:
    """All of it, as JSON values."""
    return {"runs": [results(run) for run in runs], "differences": differences(runs), "paired": paired(runs)}
