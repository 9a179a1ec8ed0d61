"""Runs side by side, for reading: as a page with their curves over each other, and as text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from alexnet.insight.reports import charts
from alexnet.insight.reports.comparison import Run
from alexnet.insight.reports.page import duration, probability, render
from alexnet.storage import write_text

PANELS = (
    ("valid_top1", "validation top-1", "%", 100),
    ("train_top1", "training top-1", "%", 100),
    ("valid_loss", "validation loss", "nats", 1),
    ("train_loss", "training loss", "nats", 1),
)
WORD = 40  # letters of a value in a table


def write(runs: Sequence[Run], found: dict[str, Any], path: Path) -> None:
    """One self-contained file: the table, the differences, the curves."""
    settings = {name: [setting(value) for value in values] for name, values in found["differences"].items()}
    write_text(path, render("compare.html", found=found, settings=settings, curves=curves(runs)))


def curves(runs: Sequence[Run]) -> list[tuple[str, Markup]]:
    """A chart for each column of the histories that any of the runs has."""
    shown = []
    for column, name, unit, factor in PANELS:
        lines = []
        for style, run in enumerate(runs):
            rows = [(row["epoch"], row[column]) for row in run.history]
            points = [(x, factor * y) for x, y in rows if x is not None and y is not None]
            lines += [charts.Line(points, style)] if points else []
        if lines:
            said = f"{name} over the epochs of {', '.join(run.name for run in runs)}"
            shown.append((name, charts.curves(lines, name, unit, said)))
    return shown


def setting(value: Any) -> str:
    """A value of a configuration in few letters."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WORD else f"{text[: WORD - 1]}…"


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """The results as lines of a table, headings first."""
    head = ("run", "variant", "parameters", "epochs", "time", "pictures/s", "validation", "evaluated")
    return [head, *map(_row, found["runs"])]


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    epochs = f"{run['epochs']}" if run["finished"] else f"{run['epochs']} of {run['of_epochs']}, unfinished"
    time = "" if run["seconds"] is None else duration(run["seconds"])
    speed = "" if run["images_per_second"] is None else f"{run['images_per_second']:,.0f}"
    split = f"{run['evaluated']['split']} " if run["evaluated"] else ""
    checked, tested = accuracy(run["validation"]), accuracy(run["evaluated"])
    return (run["run"], run["variant"], f"{run['parameters']:,}", epochs, time, speed, checked, split + tested)


def accuracy(share: dict[str, Any] | None) -> str:
    """92.85 % (91.6 to 93.9)."""
    if share is None:
        return ""
    low, high = share["interval"]
    return f"{100 * share['top1']:.2f} % ({100 * low:.1f} to {100 * high:.1f})"


def pair(found: dict[str, Any]) -> str:
    """What a paired comparison found, in a sentence."""
    return (
        f"of {found['images']:,} pictures {found['only_first_right']:,} were right in {found['first']} alone, "
        f"{found['only_second_right']:,} in {found['second']} alone: p = {probability(found['p'])}"
    )
