"""The commands that re-run published experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alexnet.cli.door import columns, command, emit

if TYPE_CHECKING:
    from alexnet.experiments.experiment import Experiment


@command("alexnet experiments")
def experiments_command(as_json: bool) -> None:
    """The paper's and the articles' experiments."""
    from alexnet.experiments.known import EXPERIMENTS

    document = [
        {
            "name": name,
            "title": value.title,
            "source": value.source,
            "published": value.published,
            "data": list(value.data),
            "arms": [arm.label for arm in value.arms],
            "runs": _runs(value),
            "differences": list(value.differences),
        }
        for name, value in EXPERIMENTS.items()
    ]
    head = ("name", "data", "runs", "what is compared")
    rows = [(name, ", ".join(value.data), _runs(value), value.title) for name, value in EXPERIMENTS.items()]
    emit(document, as_json, columns([head, *rows]))


def _runs(experiment: Experiment) -> int:
    return sum(len(arm.seeds) for arm in experiment.arms)


@command("alexnet experiment dropout --quick")
@click.argument("name")
@click.option("--quick", is_flag=True, help="A reduced form that shows the whole thing in minutes, and says so.")
@click.option(
    "--data", multiple=True, help="DATA; once for each data set of the experiment.  [default: found by their names]"
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: runs/experiment-NAME, or …-quick]")
@click.option("--report", is_flag=True, help="Run nothing: table and figures of what there is.")
def experiment_command(
    name: str, quick: bool, data: tuple[str, ...], out: Path | None, report: bool, as_json: bool
) -> None:
    """Re-run a published experiment, the published number beside ours.

    What was stopped goes on when the same command is given again; finished runs stay as they are.
    """
    from alexnet.experiments.known import experiment
    from alexnet.experiments.rerun import rerun
    from alexnet.experiments.table import text_of

    value = experiment(name)
    out = out or Path("runs") / f"experiment-{name}{'-quick' if quick else ''}"
    found = rerun(value, out, data, quick, report)
    rows = [_row(row, *text_of(row)) for row in found["rows"]]
    table = columns([("arm", "quantity", "ours", "published", "runs"), *rows])
    emit(found, as_json, "\n".join([value.title, *found["marks"], "", table, "", *found["files"]]))


def _row(row: dict[str, Any], ours: str, published: str) -> tuple[str, ...]:
    return (row["arm"], row["quantity"], ours, published, f"{row['finished_runs']} of {row['runs']}")
