"""Carry an experiment out: an ordinary run for each arm and seed, then its table and figures.

OUT holds `experiment.json` (what is being carried out), a run folder `<arm>-<seed>/` each, `table.json`, `table.csv`,
`table.md` and the figures. The same command again goes on: finished runs stay, one that was stopped is resumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from alexnet.errors import DivergedError, Interrupted, UsageError
from alexnet.evaluation.evaluate import evaluate
from alexnet.experiments.experiment import Arm, Experiment, Outcome, Quick, Run
from alexnet.experiments.table import write_tables
from alexnet.network import documents
from alexnet.pictures import datasets, patterns
from alexnet.pictures.layout import TEST, TRAIN
from alexnet.pictures.prepare import open_store, source_of
from alexnet.progress import say
from alexnet.run import train
from alexnet.storage import changes, read_csv, read_json, write_json, write_text
from alexnet.training.folder import LOCK, own
from alexnet.training.recipe import to_json

PLAN = "experiment.json"
DIVERGED = "diverged.txt"  # in a run's folder: what DivergedError said; the run is not tried again
TEN_VIEWS = "evaluation-10.json"


def rerun(
    experiment: Experiment, out: Path, data: Sequence[str] = (), quick: bool = False, report: bool = False
) -> dict[str, Any]:
    """Carry out what is not done yet and write table and figures; the answer is `table.json` and the files written.

    `data`: DATA for each of the experiment's data sets, by default their names. `quick`: a reduced form, in minutes.
    `report`: run nothing, write table and figures of what there is. Raises the errors of `alexnet.train`, but for a run
    that diverged, which is a finding; where it is stopped, table and figures are written first.
    """
    given = _written(out / PLAN) if report else _given(experiment, data, quick)
    marks = _marks(experiment.quick, given) if quick else ()
    arms = tuple(map(experiment.quick.reduced, experiment.arms)) if quick else experiment.arms
    experiment = replace(experiment, arms=arms)
    if not (out / PLAN).is_file() and out.is_dir() and any(entry.name != LOCK for entry in out.iterdir()):
        raise UsageError(f"{out} holds something else; choose another --out")
    with own(out, force=False, existing=True):
        _claim(out / PLAN, experiment, given, quick)
        if not report:
            sources = _reduced(experiment, given, out) if quick else given
            try:
                for arm in arms:
                    for seed in arm.seeds:
                        _run(arm, seed, sources[arm.data], out, experiment.ten_views)
            except (Interrupted, KeyboardInterrupt, SystemExit):
                _report(experiment, out, given, marks, quick)
                say(f"stopped; the same command goes on; so far: {out / 'table.md'}")
                raise
        return _report(experiment, out, given, marks, quick)


def _given(experiment: Experiment, data: Sequence[str], quick: bool) -> dict[str, str]:
    """Name of each data set → DATA. The embedded patterns stand in for what is missing, in a quick form alone."""
    names = experiment.data
    if data and len(data) != len(names):
        raise UsageError(f"{experiment.name} takes --data {len(names)} times, for {' and '.join(names)} in this order")
    if data:
        for path in data:
            source_of(path).samples()  # what is no data set is refused before a folder is claimed
        return {name: datasets.located(path) for name, path in zip(names, data, strict=True)}
    missing = {name for name in names if not datasets.NAMED[name].find()} if quick else set()
    return {name: patterns_for(name) if name in missing else datasets.located(name) for name in names}


def patterns_for(name: str) -> str:
    """What stands for as many of the embedded patterns as a data set has classes."""
    return f"{datasets.PATTERNS}, the first {len(datasets.NAMED[name].classes)} classes"


def _written(path: Path) -> dict[str, str]:
    """DATA as `_claim` wrote it down. Raises UsageError."""
    found = read_json(path)
    if not isinstance(found.get("data"), dict):
        raise UsageError(f"{path.parent}: no experiment was begun there, so there is nothing to report")
    return dict(found["data"])


def _claim(path: Path, experiment: Experiment, given: Mapping[str, str], quick: bool) -> None:
    """Write down what is carried out in this folder. Raises UsageError where that is something else already."""
    arms = {
        arm.label: {"recipe": to_json(arm.recipe), "variant": documents.to_json(arm.variant), "seeds": arm.seeds}
        for arm in experiment.arms
    }
    plan = json.loads(json.dumps({"experiment": experiment.name, "quick": quick, "data": given, "arms": arms}))
    if not path.is_file():
        write_json(path, plan)
        return
    found = changes(read_json(path), plan)
    if found:
        raise UsageError(f"{path.parent} holds another experiment: {found[0]}; choose another --out")


# --------------------------------------------------------------------------------------------------------------- runs


def _run(arm: Arm, seed: int, data: str, out: Path, ten_views: bool) -> None:
    """Have the run of one arm and seed finished: begun, resumed, or left as it is."""
    run = read_run(out, arm, seed)
    folder = out / run.name
    if not run.finished:
        say(
            f"{run.name}: {arm.variant.name}, recipe {arm.recipe.name}, {run.epochs} of {arm.recipe.epochs} epochs done"
        )
        try:
            if (folder / "config.json").is_file():
                train(resume=folder)
            else:
                train(data, recipe=arm.recipe, variant=arm.variant, seed=seed, out=folder)
        except DivergedError as error:
            say(f"{run.name}: {error}")
            said = str(error).removeprefix(f"{folder}: ")  # results name no place on somebody's disk
            write_text(folder / DIVERGED, f"{said}\n")
            return
    if ten_views and not run.failure and not (folder / TEN_VIEWS).is_file():
        write_json(folder / TEN_VIEWS, evaluate(folder, data, views=10).scores)


def read_run(out: Path, arm: Arm, seed: int) -> Run:
    """What a run has left in its folder."""
    run = Run(arm, seed)
    folder = out / run.name
    diverged = folder / DIVERGED
    return replace(
        run,
        history=_history(folder / "history.csv"),
        evaluation=read_json(folder / "evaluation.json") or None,
        ten_views=read_json(folder / TEN_VIEWS) or None,
        result=read_json(folder / "result.json") or None,
        failure=diverged.read_text("utf-8").strip() if diverged.is_file() else "",
    )


def _history(path: Path) -> tuple[dict[str, float | None], ...]:
    """The rows of history.csv. Raises UsageError."""
    try:
        return tuple({k: float(v) if v else None for k, v in row.items()} for row in read_csv(path))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: not as a run leaves it: {error}") from None


def _report(
    experiment: Experiment, out: Path, given: Mapping[str, str], marks: tuple[str, ...], quick: bool
) -> dict[str, Any]:
    """Write table and figures of what there is."""
    runs = {arm.label: [read_run(out, arm, seed) for seed in arm.seeds] for arm in experiment.arms}
    outcome = Outcome(experiment, runs, (*marks, *_unfinished(run for found in runs.values() for run in found)))
    data = {name: Path(path).name for name, path in given.items()}
    files = [out / name for name, _ in experiment.figures]
    for path, (_, draw) in zip(files, experiment.figures, strict=True):
        draw(outcome, path)
    document = write_tables(outcome, out, data, quick)
    return document | {"out": str(out), "files": [str(path) for path in (*files, *sorted(out.glob("table.*")))]}


def _unfinished(runs: Iterable[Run]) -> list[str]:
    """One mark for all runs that are not finished."""
    open_runs = [f"{run.name} {run.epochs} of {run.arm.recipe.epochs} epochs" for run in runs if not run.finished]
    more = f" and {len(open_runs) - 3} more" if len(open_runs) > 3 else ""
    return [f"UNFINISHED: {'; '.join(open_runs[:3])}{more}"] if open_runs else []


# -------------------------------------------------------------------------------------------------------------- quick


def _marks(quick: Quick, given: Mapping[str, str]) -> tuple[str, ...]:
    pictures = f"{quick.train} training and {quick.test} test pictures a class{', small ones' if quick.size else ''}"
    drawn = [f"{name} is not here; in its place {path}" for name, path in given.items() if path == patterns_for(name)]
    return (f"QUICK: {pictures}, at most {quick.epochs} epochs; shows the way, not the result", *drawn)


def _reduced(experiment: Experiment, given: Mapping[str, str], out: Path) -> dict[str, str]:
    """DATA with a few pictures of each class, by the name of the data set."""
    sources = {}
    for name, path in given.items():
        arms = [arm for arm in experiment.arms if arm.data == name]
        size = max(arm.stored for arm in arms)
        if path == patterns_for(name):
            sources[name] = str(_drawn(out / name, len(datasets.NAMED[name].classes), experiment.quick))
        else:
            sources[name] = str(_few(path, size, arms[0], experiment.quick))
    return sources


def _few(data: str, size: int, arm: Arm, quick: Quick) -> Path:
    """A store with the first pictures of each class in each part."""
    rest = []
    for part, entries in source_of(data).samples().parts.items():
        most = quick.test if part == TEST else quick.train
        met: dict[int, int] = {}
        for path, label in entries:
            met[label] = met.get(label, 0) + 1
            if met[label] > most:
                rest.append(path)
    return open_store(data, size, arm.recipe.resize, arm.recipe.decode, leave_out=rest).folder


def _drawn(folder: Path, classes: int, quick: Quick) -> Path:
    """Class folders of the embedded patterns."""
    every = len(patterns.CLASSES)
    for part, count, first in ((TRAIN, quick.train, 0), (TEST, quick.test, patterns.COUNTS[TRAIN])):
        for number in range(count * every):
            index = first + number
            label = patterns.label(index)
            path = folder / part / patterns.CLASSES[label] / f"{index:05d}.png"
            if label < classes and not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(patterns.draw(index)[0]).save(path)
    return folder
