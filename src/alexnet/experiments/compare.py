"""What is compared: quantities of a run, and rows of a table made of them. Pure functions of what the runs have left.

Accuracies and errors are in per cent, differences of them in points.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from alexnet.experiments.experiment import Compare, Row, Run, Runs
from alexnet.pictures.layout import TEST


@dataclass(frozen=True)
class Quantity:
    """Something that a run has a value of, or None as long as it has none."""

    name: str
    unit: str
    of: Callable[[Run], float | None]


def mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Of the sample, which needs two values."""
    return statistics.stdev(values) if len(values) > 1 else None


# --------------------------------------------------------------------------------------------------------- quantities


def _test_top1(run: Run) -> float | None:
    """Of the finished network; before that of the last epoch, where the recipe looks at the test part."""
    if run.evaluation:
        return 100 * float(run.evaluation["top1"])
    return _last(run, "valid_top1", 100) if run.arm.recipe.watch == TEST else None


def _last(run: Run, column: str, factor: float = 1.0) -> float | None:
    value = run.history[-1][column] if run.history else None
    return None if value is None else factor * float(value)


def _seconds_an_epoch(run: Run) -> float | None:
    """Median, validation and saving included."""
    ends = [0.0, *(float(row["seconds"]) for row in run.history)]
    return statistics.median(b - a for a, b in pairwise(ends)) if run.history else None


def _speed(run: Run) -> float | None:
    return float(run.result["images_per_second"]) if run.result else None


TEST_TOP1 = Quantity("test top-1", "%", _test_top1)
TEN_VIEWS_TOP1 = Quantity("test top-1, ten views", "%", lambda r: 100 * r.ten_views["top1"] if r.ten_views else None)
TRAIN_TOP1 = Quantity("training top-1, last epoch", "%", lambda run: _last(run, "train_top1", 100))
TRAIN_LOSS = Quantity("training loss, last epoch", "nats", lambda run: _last(run, "train_loss"))
SECONDS = Quantity("time an epoch", "s", _seconds_an_epoch)
SPEED = Quantity("training speed", "pictures/s", _speed)
EPOCHS = Quantity("epochs until it stopped", "epochs", lambda run: float(run.epochs) if run.result else None)


def epochs_to(error: float) -> Quantity:
    """Epochs until the training error has come down to `error`, in 0..1; between two epochs it is taken as linear."""

    def of(run: Run) -> float | None:
        points = [(float(row["epoch"]), 1 - float(row["train_top1"])) for row in run.history]
        if points and points[0][1] <= error:
            return points[0][0]
        for (before, high), (after, low) in pairwise(points):
            if low <= error:
                return before + (after - before) * (high - error) / (high - low)
        return None

    return Quantity(f"epochs to {error:.0%} training error", "epochs", of)


def confused(true: str, predicted: str) -> Quantity:
    """How many test pictures of one class were taken for another, or for what they are."""

    def of(run: Run) -> float | None:
        if not run.evaluation:
            return None
        names = [entry["class"] for entry in run.evaluation["per_class"]]
        if not {true, predicted} <= set(names):
            return None
        return float(run.evaluation["confusion"][names.index(true)][names.index(predicted)])

    return Quantity(f"test pictures of {true} taken for {predicted}", "pictures", of)


# --------------------------------------------------------------------------------------------------------------- rows


def each(quantity: Quantity, published: Mapping[str, float] | None = None, only: Sequence[str] = ()) -> Compare:
    """A row for every arm, or for some of them."""

    def rows(runs: Runs) -> list[Row]:
        chosen = {label: runs[label] for label in only or runs}
        return [_row(label, quantity, found, (published or {}).get(label)) for label, found in chosen.items()]

    return rows


def _row(label: str, quantity: Quantity, runs: Sequence[Run], published: float | None) -> Row:
    values = tuple(value for run in runs if (value := quantity.of(run)) is not None)
    return Row(label, quantity.name, quantity.unit, values, published, tuple(runs))


def difference(quantity: Quantity, having: str, without: str, published: float | None = None) -> Compare:
    """By how much more one arm has of a quantity than another: seed by seed, then mean and deviation."""

    def rows(runs: Runs) -> list[Row]:
        pairs = [(quantity.of(a), quantity.of(b)) for a, b in zip(runs[having], runs[without], strict=True)]
        values = tuple(a - b for a, b in pairs if a is not None and b is not None)
        unit = "points" if quantity.unit == "%" else quantity.unit
        both = (*runs[having], *runs[without])
        return [Row(f"{having} − {without}", quantity.name, unit, values, published, both)]

    return rows


def soonest(quantity: Quantity, arms: Sequence[str], runs: Runs) -> str | None:
    """The arm whose mean of a quantity is smallest, of those that have one."""
    means = {label: _mean_of(quantity, runs, label) for label in arms}
    there = {label: value for label, value in means.items() if value is not None}
    return min(there, key=there.__getitem__) if there else None


def family(label: str) -> str:
    """What arms have in common that differ by a number at the end of their labels: `tanh` of `tanh-0.001`."""
    return label.rpartition("-")[0]


def factor(quantity: Quantity, slow: str, quick: str, published: float | None = None) -> Compare:
    """How many times as much of a quantity the best arm of one family needs as the best of another."""

    def rows(runs: Runs) -> list[Row]:
        arms = {name: [label for label in runs if family(label) == name] for name in (slow, quick)}
        best = {name: soonest(quantity, labels, runs) for name, labels in arms.items()}
        over, under = (_mean_of(quantity, runs, best[name]) for name in (slow, quick))
        values = (over / under,) if over is not None and under else ()
        names = " / ".join(best[name] or name for name in (slow, quick))
        both = tuple(run for labels in arms.values() for label in labels for run in runs[label])
        return [Row(names, quantity.name, "times", values, published, both)]

    return rows


def _mean_of(quantity: Quantity, runs: Runs, label: str | None) -> float | None:
    return mean(_row(label, quantity, runs[label], None).values) if label else None
