"""An experiment's table as files: `table.json`, `table.csv` and, for reading, `table.md`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet.environment import environment
from alexnet.experiments.compare import deviation, mean
from alexnet.experiments.experiment import Outcome, Row, Run
from alexnet.storage import write_csv, write_json, write_text

COLUMNS = "arm,quantity,unit,mean,deviation,published,finished_runs,runs,epochs,of_epochs,diverged,finished".split(",")


def write_tables(outcome: Outcome, out: Path, data: Mapping[str, str], quick: bool) -> dict[str, Any]:
    """Write the three files; the answer is what `table.json` holds. `data`: name of each data set → what was given."""
    experiment = outcome.experiment
    rows = [row_document(row) for row in outcome.rows]
    document = {
        "experiment": experiment.name,
        "title": experiment.title,
        "source": experiment.source,
        "published": experiment.published,
        "quick": quick,
        "finished": outcome.finished,
        "marks": list(outcome.marks),
        "data": dict(data),
        "differences": list(experiment.differences),
        "rows": rows,
        "runs": [_run_document(run) for runs in outcome.runs.values() for run in runs],
        "environment": environment(),
    }
    write_json(out / "table.json", document)
    write_csv(out / "table.csv", COLUMNS, ([_cell(row[column]) for column in COLUMNS] for row in rows))
    write_text(out / "table.md", markdown(document, [name for name, _ in experiment.figures]))
    return document


def row_document(row: Row) -> dict[str, Any]:
    """A row as plain JSON values. `epochs`: fewest and most that its runs have done."""
    done = [run.epochs for run in row.runs]
    return {
        "arm": row.arm,
        "quantity": row.quantity,
        "unit": row.unit,
        "values": list(row.values),
        "mean": mean(row.values),
        "deviation": deviation(row.values),
        "published": row.published,
        "finished_runs": sum(run.finished for run in row.runs),
        "runs": len(row.runs),
        "epochs": [min(done), max(done)],
        "of_epochs": max(run.arm.recipe.epochs for run in row.runs),
        "diverged": sum(bool(run.failure) for run in row.runs),
        "finished": row.finished,
    }


def _run_document(run: Run) -> dict[str, Any]:
    return {
        "run": run.name,
        "arm": run.arm.label,
        "seed": run.seed,
        "variant": run.arm.variant.name,
        "recipe": run.arm.recipe.name,
        "epochs": run.epochs,
        "of_epochs": run.arm.recipe.epochs,
        "seconds": run.history[-1]["seconds"] if run.history else 0.0,
        "finished": run.finished,
        "diverged": run.failure,
    }


def _cell(value: Any) -> Any:
    return "-".join(map(str, value)) if isinstance(value, list) else value


def text_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Ours and the published number of a row, for reading: "83.1 ± 0.4 %" and "90.95 %"."""
    published = "" if row["published"] is None else f"{number(row['published'])} {row['unit']}"
    if row["mean"] is None:
        return absent(row["finished"], row["diverged"] > 0), published
    return f"{spread(row['mean'], row['deviation'])} {row['unit']}", published


def absent(finished: bool, diverged: bool) -> str:
    """What stands where no run has a value; `diverged`: some of them came to no end."""
    return "none yet" if not finished else "diverged" if diverged else "never"


def spread(middle: float, deviation: float | None) -> str:
    """Mean and deviation with equally many decimals: "83.1 ± 0.42"."""
    return number(middle) if deviation is None else f"{number(middle)} ± {number(deviation, middle)}"


def number(value: float, like: float | None = None) -> str:
    """As many decimals as are worth reading, in `value` or in another number: 0.012, 1.41, 90.95, 1,234."""
    size = abs(value if like is None else like)
    decimals = 0 if size >= 1000 else 2 if size >= 1 else 3
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def markdown(document: Mapping[str, Any], figures: list[str]) -> str:
    """The table for reading, with everything that must be known about it."""
    command = f"alexnet experiment {document['experiment']}{' --quick' if document['quick'] else ''}"
    lines = [f"# {document['title']}", "", f"`{command}`. {document['source']}.", ""]
    lines += [f"Published: {document['published']}.", ""]
    lines += [f"**{mark}**\n" for mark in document["marks"]]
    lines += [f"- Data: {path}" + ("" if path == name else f", for {name}") for name, path in document["data"].items()]
    lines += [f"- {difference}" for difference in document["differences"]]
    lines += ["", "| arm | quantity | ours | published | runs | epochs |", "|---|---|---|---|---|---|"]
    lines += [_line(row) for row in document["rows"]]
    lines += [
        "",
        "Mean ± deviation of the sample over the runs; a row with open runs counts what they have so far.",
        "",
    ]
    lines += [f"![{name}]({name})\n" for name in figures]
    return "\n".join(lines)


def _line(row: Mapping[str, Any]) -> str:
    ours, published = text_of(row)
    low, high = row["epochs"]
    done = f"{low}" if low == high else f"{low} to {high}"
    state = f"{row['finished_runs']} of {row['runs']}" + (f", {row['diverged']} diverged" if row["diverged"] else "")
    epochs = f"{done} of {row['of_epochs']}" + ("" if row["finished"] else ", unfinished")
    return f"| {row['arm']} | {row['quantity']} | {ours} | {published} | {state} | {epochs} |"
