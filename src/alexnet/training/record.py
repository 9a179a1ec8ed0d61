"""What a run begins on, and with which pictures: environment.json and split.csv; what has changed where it goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet import compiled
from alexnet.environment import environment
from alexnet.network.architecture import ResponseNorm
from alexnet.storage import changes, write_csv, write_json
from alexnet.training.config import Config, Parts
from alexnet.training.journal import tell
from alexnet.training.parallel.group import Group
from alexnet.training.train import device


def record(folder: Path, config: Config, parts: Parts, group: Group) -> None:
    """environment.json and split.csv, unless the run began earlier; then say what else it runs on now."""
    now = environment() | {"processes": group.size, "execution": config.recipe.execution}
    now |= {"normalisation": _normalisation(config)}
    if not (before := recorded(folder)):
        write_json(folder / "environment.json", before := now)
    if found := changes(_rounding(before), _rounding(now)):
        tell(folder, f"not as the run began, so that the last bits may come out otherwise: {'; '.join(found)}")
    if not (folder / "split.csv").is_file():
        _write_split(folder / "split.csv", config.classes, parts)


def recorded(folder: Path) -> dict[str, Any]:
    """What a run began on, as its environment.json has it; nothing where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / "environment.json").read_text("utf-8"))
        return found
    except (FileNotFoundError, ValueError):
        return {}


def _rounding(environment: dict[str, Any]) -> dict[str, Any]:
    """What of an environment has a say in how numbers are rounded."""
    keys = ("packages", "processor", "instructions", "normalisation")
    usual = {"processes": 1, "execution": "data"}
    return {key: environment.get(key) for key in keys} | {key: environment.get(key, usual[key]) for key in usual}


def _normalisation(config: Config) -> str | None:
    """What computes response normalisation across maps: the kernel in C, or torch. None where the network has none."""
    if not any(isinstance(layer, ResponseNorm) and layer.over == "maps" for _, layer in config.variant.layers):
        return None
    here = device(config.recipe).type == "cpu" and config.recipe.compile == "none"
    return "C" if here and compiled.loaded(compiled.RESPONSE_NORM) else "torch"


def _write_split(path: Path, classes: Sequence[str], parts: Parts) -> None:
    """split.csv: path, class and split of every picture."""
    rows = (
        (picture, classes[label], name)
        for name, part in parts.items()
        for picture, label in zip(part.paths, part.labels, strict=True)
    )
    write_csv(path, ("path", "class", "split"), rows)
