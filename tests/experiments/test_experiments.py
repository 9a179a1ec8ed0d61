"""Experiments: that every value resolves, that tables are right, and that one goes on wherever it was stopped."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from alexnet.errors import UsageError
from alexnet.experiments.articles import LE_CONFUSION
from alexnet.experiments.compare import (
    SECONDS,
    TEST_TOP1,
    TRAIN_TOP1,
    Quantity,
    confused,
    difference,
    each,
    epochs_to,
    factor,
)
from alexnet.experiments.experiment import Arm, Experiment, Outcome, Quick, Row, Run
from alexnet.experiments.figures import compared, curves, training_error
from alexnet.experiments.known import EXPERIMENTS, experiment
from alexnet.experiments.rerun import read_run, rerun
from alexnet.experiments.table import number, row_document, spread
from alexnet.network.architecture import BatchNorm, Dropout, ResponseNorm, walk, with_classes
from alexnet.network.variants import variant
from alexnet.pictures.datasets import NAMED
from alexnet.training.recipe import checked
from alexnet.training.recipes import recipe

NAMES = (
    "yenigun le arham relu-vs-tanh cifar-11pct cifar-13pct normalisation overlapping-pooling groups dropout "
    "augmentation colour-noise initialisation lenet"
).split()
ABLATIONS = NAMES[6:]

LENET = replace(recipe("fast"), name="small", epochs=3, batch_size=16, checkpoint_steps=1)


def tiny() -> Experiment:
    """Two arms of LeNet-5."""
    arms = tuple(
        Arm(label, replace(LENET, learning_rate=rate), variant("lenet-5"), "cifar10")
        for label, rate in (("slow", 1e-4), ("fast", 2e-3))
    )
    return Experiment(
        name="tiny",
        title="Two rates",
        source="nobody",
        published="nothing",
        differences=("made up",),
        arms=arms,
        compare=(each(TEST_TOP1, {"fast": 50.0}), difference(TEST_TOP1, "fast", "slow", 1.5)),
        figures=(
            ("curves.png", curves(("training error, %", training_error, {}))),
            ("c.png", compared(each(TEST_TOP1))),
        ),
    )


def made_up(errors: Sequence[float], label: str = "arm", seed: int = 0, **more: Any) -> Run:
    """A run whose epochs end with these training errors, each 10 s after the one before."""
    history = [
        {"epoch": float(n), "seconds": 10.0 * n, "train_top1": 1 - error, "train_loss": error, "valid_top1": None}
        for n, error in enumerate(errors, start=1)
    ]
    return Run(Arm(label, LENET, variant("lenet-5"), "cifar10"), seed, tuple(history), **more)


def judged(top1: float, label: str = "arm", seed: int = 0) -> Run:
    return made_up([0.5], label, seed, evaluation={"top1": top1}, result={"images_per_second": 1.0})


# ------------------------------------------------------------------------------------------------------------- values


def test_names_are_those_of_the_interface() -> None:
    assert list(EXPERIMENTS) == NAMES and all(EXPERIMENTS[name].name == name for name in NAMES)
    with pytest.raises(UsageError, match="did you mean 'dropout'"):
        experiment("drop-out")


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_can_be_trained(name: str) -> None:
    """In full and in the quick form: the recipe is in range, the network takes the pictures and has a score a class."""
    value = EXPERIMENTS[name]
    labels = [arm.label for arm in value.arms]
    assert len(set(labels)) == len(labels) and all(Path(label).name == label for label in labels)
    for whole in value.arms:
        for arm in (whole, value.quick.reduced(whole)):
            checked(arm.recipe)
            rows = walk(with_classes(arm.variant, len(NAMED[arm.data].classes)), arm.size)
            assert rows[-1].output == (len(NAMED[arm.data].classes),)
            assert arm.stored >= arm.size
    assert all(len(arm.seeds) >= 3 for arm in value.arms) or name not in ABLATIONS


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_that_was_not_begun_has_a_table_without_values(name: str, tmp_path: Path) -> None:
    value = EXPERIMENTS[name]
    outcome = Outcome(value, {arm.label: [Run(arm, seed) for seed in arm.seeds] for arm in value.arms}, ("NOT BEGUN",))
    assert outcome.rows and not outcome.finished
    assert all(row.values == () and not row.finished for row in outcome.rows)
    for file, draw in value.figures[-1:]:
        draw(outcome, tmp_path / file)
        with Image.open(tmp_path / file) as drawn:
            assert drawn.width > 300


def test_arms_of_an_ablation_differ_in_what_it_is_about() -> None:
    def layers(name: str, place: int) -> set[str]:
        return {key for key, _ in EXPERIMENTS[name].arms[place].variant.layers}

    assert layers("normalisation", 0) - layers("normalisation", 1) == {"norm1", "norm2"}
    assert layers("dropout", 0) - layers("dropout", 1) == {"drop6", "drop7"}
    for name in ("normalisation", "overlapping-pooling", "groups", "dropout"):
        assert len({arm.recipe for arm in EXPERIMENTS[name].arms}) == 1
    for name in ("augmentation", "colour-noise"):
        first, *others = EXPERIMENTS[name].arms
        for arm in others:
            assert replace(arm.recipe, name="", views=()) == replace(first.recipe, name="", views=())
            assert arm.variant == first.variant and arm.recipe.views != first.recipe.views
    sides = [[row.output for row in walk(arm.variant)] for arm in EXPERIMENTS["overlapping-pooling"].arms]
    assert sides[0] == sides[1]


def test_figure_1_has_no_regularisation_and_rates_of_its_own() -> None:
    """Paper, figure 1: "No regularization of any kind was employed", and rates "chosen independently"."""
    rates: dict[str, set[float]] = {}
    for arm in EXPERIMENTS["relu-vs-tanh"].arms:
        plain = arm.recipe
        assert not plain.views and not plain.weight_decay and not plain.label_smoothing and plain.dropout is None
        assert not any(isinstance(layer, Dropout | ResponseNorm | BatchNorm) for _, layer in arm.variant.layers)
        rates.setdefault(arm.variant.name, set()).add(plain.learning_rate)
    assert len(rates["figure-1-relu"]) > 1 and len(rates["figure-1-tanh"]) > 1


def test_published_numbers_as_they_are_printed() -> None:
    rows = {name: [row for row in _nothing(name).rows if row.published is not None] for name in NAMES}
    le = {(row.arm, row.quantity): row.published for row in rows["le"]}
    assert le["as-printed", "test top-1"] == 90.954 and le["as-printed", "training top-1, last epoch"] == 98.85
    assert le["as-printed", "time an epoch"] == le["float32", "time an epoch"] == 116
    assert sorted(value for (_, name), value in le.items() if "taken for" in name) == [71, 112, 900, 940]
    right = LE_CONFUSION[0][0] + LE_CONFUSION[1][1]
    assert sum(map(sum, LE_CONFUSION)) == 2023 and right / 2023 == pytest.approx(0.90954, abs=1e-5)
    points = {name: [row.published for row in rows[name]] for name in NAMES[3:]}
    assert points.pop("relu-vs-tanh") == [6]
    assert set(points.pop("cifar-11pct")) == {89} and set(points.pop("cifar-13pct")) == {87}
    assert {name: numbers for name, numbers in points.items() if numbers} == {
        **{"normalisation": [2], "overlapping-pooling": [0.4], "groups": [1.7], "colour-noise": [1]}
    }
    assert "75 minutes" in EXPERIMENTS["cifar-11pct"].published and "25 minutes" in EXPERIMENTS["cifar-13pct"].published


def _nothing(name: str) -> Outcome:
    value = EXPERIMENTS[name]
    return Outcome(value, {arm.label: [Run(arm, seed) for seed in arm.seeds] for arm in value.arms})


# -------------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("errors", "epochs"),
    [
        ([0.5, 0.3, 0.2], 2.5),  # half way from 30 to 20 %
        ([0.5, 0.25, 0.3], 2.0),
        ([0.2, 0.1], 1.0),  # sooner than can be seen
        ([0.5, 0.4], None),
        ([], None),
    ],
)
def test_epochs_to_an_error(errors: list[float], epochs: float | None) -> None:
    found = epochs_to(0.25).of(made_up(errors))
    assert found == (None if epochs is None else pytest.approx(epochs))


def test_times_as_many_epochs() -> None:
    """Of several rates the best counts: 6 epochs against 2, not against 4."""
    runs = {
        "tanh-1": [made_up([0.9, 0.8, 0.7, 0.6, 0.5, 0.25])],
        "relu-1": [made_up([0.9, 0.8, 0.5, 0.25])],
        "relu-2": [made_up([0.9, 0.25])],
        "relu-3": [made_up([0.9, 0.9])],
        "relu-wide-1": [made_up([0.9, 0.9])],
    }
    (row,) = factor(epochs_to(0.25), "tanh", "relu", 6.0)(runs)
    assert (row.arm, row.values, row.published) == ("tanh-1 / relu-2", (3.0,), 6.0)
    (row,) = factor(epochs_to(0.25), "relu-wide", "relu")(runs)
    assert row.values == () and row.arm == "relu-wide / relu-2"


def test_differences_are_of_equal_seeds() -> None:
    runs = {"a": [judged(0.8), judged(0.9, seed=1), made_up([], seed=2)], "b": [judged(0.7), judged(0.6), judged(0.5)]}
    (row,) = difference(TEST_TOP1, "a", "b", 1.4)(runs)
    document = row_document(row)
    assert row.values == (pytest.approx(10), pytest.approx(30))
    assert document["mean"] == pytest.approx(20) and document["deviation"] == pytest.approx(200**0.5)
    assert (document["unit"], document["published"]) == ("points", 1.4)
    assert (document["finished_runs"], document["runs"], document["finished"]) == (5, 6, False)
    assert (document["epochs"], document["of_epochs"]) == ([0, 1], 3)


def test_a_deviation_needs_two_runs() -> None:
    (row,) = each(TEST_TOP1, {"a": 90.0})({"a": [judged(0.75)]})
    document = row_document(row)
    assert (document["mean"], document["deviation"], document["published"]) == (75.0, None, 90.0)


def test_quantities_of_a_run() -> None:
    assert SECONDS.of(made_up([0.5, 0.4, 0.3])) == 10.0
    assert TRAIN_TOP1.of(made_up([0.5, 0.4])) == pytest.approx(60)
    assert TEST_TOP1.of(made_up([0.5])) is None
    watched = made_up([0.5])
    watching = replace(watched, arm=replace(watched.arm, recipe=recipe("le")))
    seen = replace(watching, history=({**watching.history[0], "valid_top1": 0.6},))
    assert TEST_TOP1.of(seen) == pytest.approx(60)  # before the end: the last epoch's, which that recipe reports
    evaluation = {"per_class": [{"class": "cats"}, {"class": "dogs"}], "confusion": [[1, 2], [3, 4]]}
    found = made_up([0.5], evaluation=evaluation)
    assert [confused(*names).of(found) for names in (("cats", "dogs"), ("dogs", "cats"), ("x", "cats"))] == [2, 3, None]


def test_numbers_for_reading() -> None:
    values = (0.0, 0.01234, 1.414, 90.954, 90.0, 1234.5)
    assert [number(value) for value in values] == ["0", "0.012", "1.41", "90.95", "90", "1,234"]
    assert (spread(83.118, 0.4567), spread(0.6931, None), spread(1234.5, 9.87)) == (
        "83.12 ± 0.46",
        "0.693",
        "1,234 ± 10",
    )


# ---------------------------------------------------------------------------------------------------------- carried out


@pytest.fixture
def tens(tmp_path: Path, easy_picture) -> Path:
    """Three easy classes, 16 + 4 pictures each."""
    root = tmp_path / "tens"
    for part, count in (("train", 16), ("test", 4)):
        for kind in range(3):
            folder = root / part / f"kind-{kind}"
            folder.mkdir(parents=True)
            for place in range(count):
                easy_picture(kind, place + 100 * (part == "test")).save(folder / f"{place:02d}.png")
    return root


KILLED = """
import sys
from pathlib import Path
from test_experiments import tiny
from alexnet.experiments.rerun import rerun
rerun(tiny(), Path(sys.argv[1]), [sys.argv[2]])
"""


def test_killed_and_carried_out_again(tens: Path, tmp_path: Path) -> None:
    """What was finished is left alone, what was begun is resumed, and the table says how far it got meanwhile."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, out, tens],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])},
        stderr=subprocess.DEVNULL,
    )
    second = out / "fast-0" / "history.csv"
    deadline = time.monotonic() + 60
    while not second.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "slow-0" / "result.json").is_file() and not (out / "fast-0" / "result.json").is_file()

    told = rerun(tiny(), out, report=True)
    assert not told["finished"] and [row["finished"] for row in told["rows"]] == [True, False, False]
    assert [row["finished_runs"] for row in told["rows"]] == [1, 0, 1]
    assert re.fullmatch("UNFINISHED: fast-0 [12] of 3 epochs", told["marks"][0])
    assert "unfinished" in (out / "table.md").read_text() and "**UNFINISHED" in (out / "table.md").read_text()

    kept = (out / "slow-0" / "result.json").stat().st_mtime_ns
    done = rerun(tiny(), out, [str(tens)])
    assert (out / "slow-0" / "result.json").stat().st_mtime_ns == kept
    assert "going on at step" in (out / "fast-0" / "log.txt").read_text()
    assert done["finished"] and done["marks"] == [] and [row["runs"] for row in done["rows"]] == [1, 1, 2]
    slow, fast = (100 * json.loads((out / f"{a}-0" / "evaluation.json").read_text())["top1"] for a in ("slow", "fast"))
    assert [row["values"] for row in done["rows"]] == [[slow], [fast], [fast - slow]]
    assert sorted(Path(file).name for file in done["files"]) == [
        *("c.png", "curves.png", "table.csv", "table.json", "table.md")
    ]
    with pytest.raises(UsageError, match=r"holds another experiment: .*epochs was 3 and is 2"):
        fewer = tuple(replace(arm, recipe=replace(arm.recipe, epochs=2)) for arm in tiny().arms)
        rerun(replace(tiny(), arms=fewer), out, [str(tens)])


def test_a_run_that_diverges_is_a_finding(tens: Path, tmp_path: Path) -> None:
    calm = replace(LENET, epochs=1)
    wild = replace(
        LENET, epochs=9, update="sgd", schedule="constant", learning_rate=1000.0, weight_decay=1000.0, rates=()
    )
    arms = tuple(Arm(name, value, variant("lenet-5"), "cifar10") for name, value in (("wild", wild), ("calm", calm)))
    value = replace(tiny(), arms=arms, compare=(each(TEST_TOP1),))
    for _ in range(2):  # and is not tried again
        found = rerun(value, tmp_path / "out", [str(tens)])
        assert [row["diverged"] for row in found["rows"]] == [1, 0] and found["finished"]
        assert "finite" in found["runs"][0]["diverged"] and found["rows"][0]["values"] == []
    assert "| diverged |" in (tmp_path / "out" / "table.md").read_text()


def test_quick_without_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way on a few of the embedded patterns, and it says so in the table."""
    monkeypatch.chdir(tmp_path)
    value = replace(EXPERIMENTS["normalisation"], quick=Quick(train=3, test=2, epochs=1, batch_size=8, seeds=1))
    found = rerun(value, tmp_path / "out", quick=True)
    assert found["quick"] and found["finished"]
    assert "QUICK" in found["marks"][0] and "cifar10 is not here; in its place patterns" in found["marks"][1]
    assert [row["arm"] for row in found["rows"]][-1] == "with − without"
    assert all(len(row["values"]) == 1 and row["of_epochs"] == 1 for row in found["rows"])
    config = json.loads((tmp_path / "out" / "without-0" / "config.json").read_text())
    assert {part: sum(counts.values()) for part, counts in config["counts"].items()} == {"train": 30, "test": 20}
    with (tmp_path / "out" / "table.csv").open(newline="") as stream:
        assert [line["quantity"] for line in csv.DictReader(stream)] == [row["quantity"] for row in found["rows"]]
    with pytest.raises(UsageError, match="holds another experiment"):
        rerun(EXPERIMENTS["normalisation"], tmp_path / "out", [str(tmp_path / "out" / "cifar10")])


def test_quick_takes_a_few_of_the_users_pictures(tens: Path, tmp_path: Path) -> None:
    value = replace(tiny(), quick=Quick(train=4, test=1, epochs=1, batch_size=4, seeds=1))
    found = rerun(value, tmp_path / "out", [str(tens)], quick=True)
    config = json.loads((tmp_path / "out" / "slow-0" / "config.json").read_text())
    assert {part: sum(counts.values()) for part, counts in config["counts"].items()} == {
        **{"train": 9, "validation": 3, "test": 3}
    }
    assert len(found["marks"]) == 1 and found["data"] == {"cifar10": "tens"}


def test_what_cannot_be_carried_out(tens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="lenet takes --data 2 times, for cifar10 and cats-and-dogs in this order"):
        rerun(EXPERIMENTS["lenet"], tmp_path / "out", [str(tens)])
    with pytest.raises(UsageError, match="download it from"):
        rerun(EXPERIMENTS["dropout"], tmp_path / "out")
    with pytest.raises(UsageError, match="no experiment was begun"):
        rerun(tiny(), tmp_path / "out", report=True)
    with pytest.raises(UsageError, match="holds something else"):
        rerun(tiny(), tens, [str(tens)])
    (tmp_path / "slow-0").mkdir()
    (tmp_path / "slow-0" / "history.csv").write_text("epoch;train_loss\n1;0,5\n")  # as a spreadsheet saves it
    with pytest.raises(UsageError, match=r"history.csv: not as a run leaves it"):
        read_run(tmp_path, tiny().arms[0], 0)


def test_commands(alexnet) -> None:
    listed = alexnet("experiments", "--json")
    assert [entry["name"] for entry in listed.json] == NAMES
    wrong = alexnet("experiment", "lenett")
    assert wrong.code == 2 and "did you mean 'lenet'" in wrong.err and "Traceback" not in wrong.err


def test_rows_are_what_the_quantities_say() -> None:
    """A quantity of one's own needs no more than a name, a unit and a function."""
    (row,) = each(Quantity("seeds", "", lambda run: float(run.seed)))({"a": [made_up([], seed=n) for n in (3, 5)]})
    assert isinstance(row, Row) and row.values == (3.0, 5.0) and not row.finished
