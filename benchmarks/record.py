"""Raw results, what stands behind a number in a document: the figures with machine, versions, command and date.

A benchmark calls `record`; `python benchmarks/record.py RUN results/NAME.json` keeps a run: its configuration, every
epoch, the scores; of several it keeps what `alexnet compare` finds; of the folder of an experiment its table and
every epoch of its runs. Of paths on this machine only the names are kept.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

from alexnet.environment import command, environment
from alexnet.insight.reports import comparison
from alexnet.storage import sha256, write_json

RESULTS = Path(__file__).parent.parent / "results"


def record(name: str, figures: dict[str, Any]) -> None:
    """Write results/NAME.json, and show it."""
    document = {"environment": environment()} | figures
    write_json(RESULTS / f"{name}.json", document)
    print(json.dumps(document, indent=1))


def of_run(run: Path) -> dict[str, Any]:
    """All that a finished run says about itself."""
    config, began, evaluation, result = (
        json.loads((run / f"{name}.json").read_text("utf-8"))
        for name in ("config", "environment", "evaluation", "result")
    )
    places: dict[str, Any] = {key: config[key] and Path(config[key]).name for key in ("data", "valid")}
    if config.get("weights"):
        places["weights"] = config["weights"] | {"model": Path(config["weights"]["model"]).name}
    return {
        "environment": began | {"command": command(began["command"])},
        "config": config | places,
        "history": list(csv.DictReader((run / "history.csv").read_text("utf-8").splitlines())),
        "evaluation": evaluation,
        "result": result | {"run": run.name},
        "best_sha256": sha256(run / "best.safetensors"),
    }


def of_experiment(folder: Path) -> dict[str, Any]:
    """What `alexnet experiment` found, with the rows of each run's history.csv, its heading first."""
    found: dict[str, Any] = json.loads((folder / "table.json").read_text("utf-8"))
    for run in found["runs"]:
        history = folder / run["run"] / "history.csv"
        run["history"] = [*csv.reader(history.read_text("utf-8").splitlines())] if history.exists() else []
    return found


def of(folders: list[Path]) -> dict[str, Any]:
    """What there is to keep of runs, or of an experiment."""
    first, *others = folders
    if others:
        return comparison.comparison(comparison.read(folders))
    return of_experiment(first) if (first / "table.json").exists() else of_run(first)


if __name__ == "__main__":
    *folders, out = map(Path, sys.argv[1:])
    record(out.stem, of(folders))
