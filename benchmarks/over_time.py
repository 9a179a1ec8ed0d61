"""Accuracy over the time of training, the default recipe beside article 3's: writes results/over-time.json and
docs/pictures/over-time.png.

    alexnet train cats-and-dogs.tar --out FAST
    alexnet experiment le --data cats-and-dogs.tar --out LE
    python benchmarks/over_time.py FAST LE/as-printed-0

Either run may be unfinished. Ours watches a tenth of the training pictures; the article's, as there, the test part.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from record import RESULTS, record

from alexnet.environment import command
from alexnet.experiments import published
from alexnet.experiments.articles import LE_SECONDS
from alexnet.insight.reports.plots import write
from alexnet.training.recipes import recipe

PICTURE = RESULTS.parent / "docs" / "pictures" / "over-time.png"


def read(run: Path) -> dict[str, Any]:
    """What was asked for, and seconds and accuracy after each epoch that is complete."""
    began, config = (json.loads((run / f"{name}.json").read_text("utf-8")) for name in ("environment", "config"))
    with (run / "history.csv").open(encoding="utf-8") as file:
        rows = [(float(row["seconds"]), float(row["valid_top1"])) for row in csv.DictReader(file)]
    return {
        "recipe": config["recipe"]["name"],
        "variant": config["variant"]["name"],
        "command": command(began["command"]),
        "watched": config["recipe"]["watch"],
        "seconds_and_top1": rows,
    }


def draw(fast: dict[str, Any], le: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(7.6, 4.2), layout="constrained")
    axis = figure.subplots()
    for run, said in ((fast, "ours, a tenth of the training pictures"), (le, "article 3's recipe, test pictures")):
        seconds, top1 = zip(*run["seconds_and_top1"], strict=True)
        axis.plot(seconds, [100 * value for value in top1], marker="o", markersize=3, label=said)
    percent = published.ARTICLES[0].percent or 0.0
    axis.axhline(percent, color="grey", linestyle=":")
    axis.annotate(
        f"article 3: {percent:.2f} % after {recipe('le').epochs * LE_SECONDS['as-printed']:,.0f} s",
        (0.99, percent),
        (0, 4),
        xycoords=axis.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        color="grey",
        fontsize=9,
    )
    axis.set(xlabel="seconds of training on two cores", ylabel="top-1, %", xlim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=9)
    write(figure, path)


def main(fast: str, le: str) -> None:
    ours, articles = (read(Path(run)) for run in (fast, le))
    record("over-time", {"what": "top-1 after seconds of training", "fast": ours, "le": articles})
    draw(ours, articles, PICTURE)


if __name__ == "__main__":
    main(*sys.argv[1:])
