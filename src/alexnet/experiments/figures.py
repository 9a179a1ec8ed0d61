"""An experiment's figures. Each says in its foot when it shows less than the whole experiment."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from alexnet.experiments.compare import deviation, mean
from alexnet.experiments.experiment import Compare, Draw, Outcome, Row, Run
from alexnet.experiments.table import absent, spread
from alexnet.insight.reports import plots

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")  # Okabe and Ito's
DASHES = ("-", "--", ":", "-.")
PUBLISHED = "#555555"


def _finish(figure: Figure, outcome: Outcome, title: str, path: Path) -> None:
    """Title, marks in the foot, and to the file."""
    width = int(figure.get_figwidth() * 10)
    figure.suptitle("\n".join(textwrap.wrap(title, width)), fontsize=12)
    if outcome.marks:
        lines = [line for mark in outcome.marks for line in textwrap.wrap(mark, int(width * 1.1))]
        figure.supxlabel("\n".join(lines), fontsize=9, color=plots.WRONG, weight="bold")
    plots.write(figure, path)


# ------------------------------------------------------------------------------------------------------------- curves


def column(name: str, factor: float = 1.0) -> Callable[[Mapping[str, Any]], float | None]:
    """A column of history.csv."""
    return lambda row: None if row[name] is None else factor * float(row[name])


def training_error(row: Mapping[str, Any]) -> float:
    """In per cent."""
    return 100 * (1 - float(row["train_top1"]))


Panel = tuple[str, Callable[[Mapping[str, Any]], float | None], Mapping[str, float]]
"""What an axis shows: its label, a value of each row of a history, and published numbers to be drawn as lines."""

LOSS: Panel = ("training loss, nats", column("train_loss"), {})
TRAINING: Panel = ("training top-1, %", column("train_top1", 100), {})
TEST: Panel = ("test top-1, %; chooses nothing", column("valid_top1", 100), {})
VALIDATION: Panel = ("validation top-1, %", column("valid_top1", 100), {})


def curves(*panels: Panel, title: str = "", only: str = "", family: Callable[[str], str] = str) -> Draw:
    """Panels over the epochs, a line for each arm (`only`: those on one data set): the mean of its seeds, each of them
    faint behind it. Arms of one `family` share a colour and differ by dashes."""

    def draw(outcome: Outcome, path: Path) -> None:
        figure = Figure(figsize=(max(8.4, 5.2 * len(panels) + 0.4), 4.4), layout=ConstrainedLayoutEngine(wspace=0.06))
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        shown = {label: runs for label, runs in outcome.runs.items() if only in ("", runs[0].arm.data)}
        for axis, (name, value, published) in zip(axes, panels, strict=True):
            _lines(axis, shown, value, _styles(outcome, family))
            for said, height in published.items():
                axis.axhline(height, color=PUBLISHED, linestyle="--", linewidth=1, label=said)
            axis.set(xlabel="epoch", ylabel=name)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.grid(alpha=0.25)
        _legend(figure, axes)
        _finish(figure, outcome, title or outcome.experiment.title, path)

    return draw


def _styles(outcome: Outcome, family: Callable[[str], str]) -> dict[str, dict[str, str]]:
    """Colour and dashes of each arm's line."""
    members: dict[str, list[str]] = {}
    for label in outcome.runs:
        members.setdefault(family(label), []).append(label)
    return {
        label: {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[labels.index(label) % len(DASHES)]}
        for place, labels in enumerate(members.values())
        for label in labels
    }


def _lines(
    axis: Axes,
    arms: Mapping[str, Sequence[Run]],
    value: Callable[..., Any],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    drawn = False
    for label, runs in arms.items():
        series = [[(row["epoch"], y) for row in run.history if (y := value(row)) is not None] for run in runs]
        begun = [points for points in series if points]
        marker = "o" if max((len(points) for points in begun), default=0) <= 25 else None
        for points in begun if len(begun) > 1 else ():
            axis.plot(*zip(*points, strict=True), **styles[label], alpha=0.25, linewidth=1)
        if begun:
            common = min(map(len, begun))
            epochs = [epoch for epoch, _ in begun[0][:common]]
            middle = np.mean([[y for _, y in points[:common]] for points in begun], axis=0)
            axis.plot(epochs, middle, **styles[label], marker=marker, markersize=3, linewidth=1.8, label=label)
            drawn = True
        for run, points in zip(runs, series, strict=True):
            if run.failure and points:
                axis.plot(*points[-1], "x", color=styles[label]["color"], markersize=8)
    if any(run.failure for runs in arms.values() for run in runs):
        axis.plot([], [], "x", color=PUBLISHED, markersize=8, label="diverged after this")
    if not drawn:
        axis.text(0.5, 0.5, "no epoch is complete", transform=axis.transAxes, ha="center", color=PUBLISHED)


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, at the right, so that it covers no line."""
    found: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        found |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in found}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside right center", fontsize=9, frameon=False)


# --------------------------------------------------------------------------------------------------------------- bars


def compared(*compares: Compare, title: str = "") -> Draw:
    """Rows of one unit: every run a dot, mean and deviation beside them, the published number hollow."""

    def draw(outcome: Outcome, path: Path) -> None:
        rows = [row for compare in compares for row in compare(outcome.runs)]
        figure = Figure(figsize=(7.6, 0.62 * len(rows) + 1.9), layout="constrained")
        axis = figure.subplots()
        for place, row in enumerate(rows):
            _dots(axis, place, row, COLOURS[place % len(COLOURS)])
        published = {place: row.published for place, row in enumerate(rows) if row.published is not None}
        if published:
            axis.scatter(
                list(published.values()),
                list(published),
                marker="D",
                s=60,
                facecolors="none",
                edgecolors=PUBLISHED,
                label="published",
            )
            figure.legend(loc="outside right center", fontsize=9, frameon=False)
        if rows[0].unit == "points":
            axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(rows)), [row.arm for row in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        name, unit = rows[0].quantity, rows[0].unit
        axis.set_xlabel(name if unit in name else f"{name}, {unit}")
        axis.margins(x=0.14)
        axis.grid(axis="x", alpha=0.25)
        if not any(row.values for row in rows) and not published:
            axis.set_xticks([])  # numbers beside nothing would be taken for values
        _finish(figure, outcome, title or outcome.experiment.title, path)

    return draw


def _dots(axis: Axes, place: int, row: Row, colour: str) -> None:
    axis.scatter(row.values, [place] * len(row.values), color=colour, alpha=0.6, s=30, linewidths=0, zorder=3)
    middle, apart = mean(row.values), deviation(row.values)
    if middle is None:
        said = absent(row.finished, any(run.failure for run in row.runs))
        axis.text(0.5, place, said, transform=axis.get_yaxis_transform(), color=PUBLISHED, ha="center", va="center")
        return
    axis.errorbar(middle, place, xerr=apart, fmt="|", color=colour, markersize=16, capsize=4, linewidth=1.8)
    said = f"{spread(middle, apart)} {row.unit}"
    axis.annotate(said, (middle, place), (0, 11), textcoords="offset points", ha="center", fontsize=9, color=colour)


# ---------------------------------------------------------------------------------------------------------- functions


def functions(outcome: Outcome, path: Path) -> None:
    """ReLU, tanh and the logistic function, and their slopes."""
    x = np.linspace(-5, 5, 1001)
    sigmoid = 1 / (1 + np.exp(-x))
    drawn: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
        "ReLU: max(0, x)": (np.maximum(0, x), np.where(x == 0, np.nan, (x > 0).astype(float))),
        "tanh(x)": (np.tanh(x), 1 - np.tanh(x) ** 2),
        "sigmoid: 1 / (1 + exp(−x))": (sigmoid, sigmoid * (1 - sigmoid)),
    }
    figure = Figure(figsize=(10.4, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (label, (value, slope)), colour in zip(drawn.items(), COLOURS, strict=False):
        left.plot(x, value, color=colour, linewidth=2, label=label)
        right.plot(x, slope, color=colour, linewidth=2)
    left.set(ylim=(-1.25, 3), xlabel="x", title="function")
    right.set(ylim=(-0.05, 1.1), xlabel="x", title="slope, by which a gradient is multiplied on its way down")
    for axis in (left, right):
        axis.axhline(0, color="black", linewidth=0.6)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.grid(alpha=0.25)
        axis.title.set_fontsize(10)
    left.legend(loc="upper left", fontsize=9)
    figure.suptitle("ReLU does not saturate: its slope stays 1 where the others' vanish", fontsize=12)
    plots.write(figure, path)


# ---------------------------------------------------------------------------------------------------------- confusion


def confusions(classes: Sequence[str], published: Sequence[Sequence[int]], said: str) -> Draw:
    """The confusion matrix of the first run of each arm beside the published one, as shares of the true class."""

    def draw(outcome: Outcome, path: Path) -> None:
        matrices = [(said, np.array(published), list(classes))]
        for runs in outcome.runs.values():
            if runs[0].evaluation:
                names = [entry["class"] for entry in runs[0].evaluation["per_class"]]
                matrices.append((runs[0].name, np.array(runs[0].evaluation["confusion"]), names))
        figure = Figure(figsize=(3.6 * len(matrices) + 0.6, 4.7), layout="constrained")
        for axis, (title, matrix, names) in zip(
            figure.subplots(1, len(matrices), squeeze=False)[0], matrices, strict=True
        ):
            _matrix(axis, title, matrix, names)
        _finish(figure, outcome, "Test pictures by true and predicted class", path)

    return draw


def _matrix(axis: Axes, title: str, matrix: NDArray[np.int64], names: Sequence[str]) -> None:
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    plots.write_counts(axis, matrix, share)
    short = [plots.shorten(name, 12) for name in names]
    axis.set_xticks(range(len(names)), short)
    axis.set_yticks(range(len(names)), short, rotation=90, va="center")
    axis.set(xlabel="predicted", ylabel="true")
    right = matrix.trace() / max(1, matrix.sum())
    axis.set_title(f"{title}\n{right:.2%} of {matrix.sum():,} right", fontsize=10)
