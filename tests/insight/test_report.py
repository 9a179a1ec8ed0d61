"""The report: its numbers against scikit-learn and scipy, its size, that it fetches nothing and escapes everything."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from evaluated import evaluation, part, probabilities
from pages import Page, fetched
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support
from torchmetrics.functional.classification import multiclass_calibration_error

import alexnet
from alexnet.cli.main import cli
from alexnet.errors import UsageError
from alexnet.evaluation.evaluate import Evaluation
from alexnet.evaluation.metrics import metrics
from alexnet.insight.reports import contents, report
from alexnet.network.architecture import Conv, Input, Linear, ReLU, Variant
from alexnet.network.model import build
from alexnet.pictures.store import Part
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.model import load

MOST = 5e6  # bytes of a report of 2,000 pictures

pytestmark = pytest.mark.usefixtures("undrawn")


def reported(folder: Path, found: Evaluation) -> Page:
    report.evaluation(folder, found, ["runs/model"], "somewhere/photos")
    return Page((folder / "report.html").read_text("utf-8"))


def numbers(text: str) -> list[float]:
    return [float(word.replace(",", "")) for word in re.findall(r"[\d,.]*\d", text)]


@pytest.mark.parametrize(("count", "images", "channels"), [(2, 40, 3), (10, 200, 1), (60, 300, 1), (1000, 1000, 3)])
def test_the_numbers_are_right(tmp_path, count, images, channels):
    names = tuple(f"kind {number:04d}" for number in range(count))
    found = evaluation(tmp_path, images, names, channels)
    page = reported(tmp_path, found)
    labels, guesses = found.part.labels, found.probabilities.argmax(axis=1)
    right = int((labels == guesses).sum())
    interval = binomtest(right, images).proportion_ci(method="wilson")
    assert f"{right:,} of {images:,} test pictures right" in page.said
    assert f"{100 * interval.low:.1f} to {100 * interval.high:.1f}" in page.said
    error = multiclass_calibration_error(torch.from_numpy(found.probabilities), torch.from_numpy(labels), count, 15)
    assert f"{100 * float(error):.1f}\N{NO-BREAK SPACE}%" in page.text
    precision, recall, _, support = precision_recall_fscore_support(
        labels, guesses, labels=range(count), zero_division=np.nan
    )
    rows = {row[0]: row for row in page.table("class", "recall")}
    assert set(rows) == set(names)
    for place in range(0, count, 1 + count // 50):
        row = rows[names[place]]
        bounds = binomtest(round(recall[place] * support[place]), support[place]).proportion_ci(method="wilson")
        assert numbers(row[1]) == [pytest.approx(100 * recall[place], abs=0.051)]
        assert numbers(row[3]) == pytest.approx([100 * bounds.low, 100 * bounds.high], abs=0.051)
        assert numbers(row[4]) == (
            [] if np.isnan(precision[place]) else [pytest.approx(100 * precision[place], abs=0.051)]
        )
        assert numbers(row[6]) == [round(recall[place] * support[place])] and numbers(row[7]) == [support[place]]
    assert not fetched(page)
    assert len(page.text) < MOST


@pytest.mark.parametrize("count", [2, 10])
def test_the_matrix_of_few_classes_is_a_table_of_counts(tmp_path, count):
    names = tuple("abcdefghij"[:count])
    found = evaluation(tmp_path, 50, names)
    page = reported(tmp_path, found)
    (table,) = [t[1:] for t in page.tables if t[0][0] == "" and t[0][1:] == list(names)]
    assert [[int(cell) for cell in row[1:]] for row in table] == found.scores["confusion"]


def test_one_picture(tmp_path):
    page = reported(tmp_path, evaluation(tmp_path, 1, ("cat", "dog")))
    assert "1 of 1 test picture" in page.said or "0 of 1 test picture" in page.said
    assert "No picture of dog was in the test part" in page.said and "vague" in page.said


def test_no_mistakes(tmp_path):
    names = ("cat", "dog")
    found = evaluation(tmp_path, 6, names)
    sure = np.eye(2)[found.part.labels]
    found = replace(found, probabilities=sure, scores=found.scores | metrics(sure, found.part.labels, names))
    page = reported(tmp_path, found)
    assert "Nothing was taken for anything else." in page.said and "wrong" not in page.ids
    assert (tmp_path / "mistakes.csv").read_text().count("\n") == 1


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}{% raw %}",
    "</title></style></svg><b>&amp;",
    "\u202egnp.tac",
    "javascript:alert(3)",
    "$\\frac{1}{0}$",
)


@pytest.mark.parametrize("many", [7, 30])
def test_hostile_names_are_only_shown(tmp_path, many):
    """As classes and as files, in the tables and in the chart."""
    names = tuple(sorted((*HOSTILE, *(f"<i onclick=x>{number}" for number in range(many - len(HOSTILE))))))
    found = evaluation(tmp_path, 3 * many, names, files_named="<img src=x onerror=alert({})>&'\"")
    page = reported(tmp_path, found)
    assert page.tags.count("script") == 1 and page.tags.count("title") == 1 and "b" in page.tags
    assert not {"i", "iframe", "object", "a"} & {tag for tag, name, _ in page.attributes if name.startswith("on")}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not fetched(page)
    for name in HOSTILE:
        assert " ".join(name.split()) in page.said
    assert "49" not in {cell for table in page.tables for row in table for cell in row[:1]}
    assert "<img src=x onerror=alert(" in page.said


def test_a_file_name_that_is_not_utf8(tmp_path):
    found = evaluation(tmp_path, 4, ("cat", "dog"))
    store = shutil.copytree(found.part.paths_file.parent, tmp_path / "store")
    paths = store / found.part.paths_file.name
    paths.write_text("\n".join(json.dumps(f"caf\udce9 {number}.png") for number in range(4)))
    page = reported(tmp_path, replace(found, part=replace(found.part, paths_file=paths)))
    assert "caf\N{REPLACEMENT CHARACTER} 0.png" in page.said


def noisy(folder: Path, found: Part, side: int) -> tuple[Part, np.ndarray]:
    """The same part with pictures of pure noise, which no JPEG makes small."""
    noise = np.random.default_rng(0).integers(0, 256, (64, side, side, 3), np.uint8)
    return replace(found, pictures=noise[np.arange(len(found)) % 64]), noise


def test_two_thousand_pictures_of_noise_make_less_than_five_megabytes(tmp_path):
    """Training pictures as a run shows them included."""
    names = tuple(f"kind {number}" for number in range(10))
    layers = (("conv1", Conv(4, 11, stride=8)), ("relu1", ReLU()), ("fc8", Linear(10)))
    value = Variant("tiny", "tiny", "here", layers, classes=10, size=160, stored=160)
    rule = Input(160, 160, "crop", mean=(128.0,) * 3, scale=(1 / 64,) * 3)
    files.save(tmp_path / "m.safetensors", build(value, seed=0).state_dict(), Description(value, names, rule))
    labels = np.arange(2000) % 10
    plain = part(tmp_path, labels, names, side=8)
    loud, noise = noisy(tmp_path, plain, 160)
    outputs = probabilities(plain.labels, 10, sure=1.0)
    scores = metrics(outputs, plain.labels, names) | {"split": "test", "views": 1, "seconds": 1.0}
    found = Evaluation(scores, outputs, loud, names, load(tmp_path / "m.safetensors"))
    page = reported(tmp_path, found)
    sample = len(report.Sample("", *2 * [report._small(list(noise))]).stored[0]) * 2 * contents.SAMPLES * 10
    assert page.tags.count("img") > 2 * (contents.WRONG + contents.UNCERTAIN)
    assert 1e6 < len(page.text) + sample < MOST


@pytest.fixture(scope="module")
def run(tmp_path_factory, easy_picture) -> Path:
    """A run of two epochs on 24 pictures."""
    root = tmp_path_factory.mktemp("run")
    for kind, name in enumerate(("ash & <b>", "birch")):
        for split, count in (("train", 14 - 4 * kind), ("test", 4)):
            folder = root / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                easy_picture(kind, number).save(folder / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        alexnet.train(root / "photos", variant="lenet-5", epochs=2, settings=["batch_size=8"], out=root / "run")
    return root / "run"


def test_a_run_tells_where_it_comes_from(run):
    page = Page((run / "report.html").read_text("utf-8"))
    config = json.loads((run / "config.json").read_text())
    assert not fetched(page)
    for text in (
        "lenet-5 on photos",
        "Recipe fast, 2 epochs of",
        "ash & <b>",
        "Fewer than 10 training pictures: birch",
        "8 pictures in several parts: scores come out too good",
    ):
        assert text in page.said
    assert "alexnet train photos --recipe config.json --variant config.json --seed 0" in page.said
    assert json.loads(next(word for word in page.words if word.startswith('{\n "format"'))) == config
    rows = page.table("epoch", "pictures", "seconds")
    history = (run / "history.csv").read_text().splitlines()[1:]
    assert len(rows) == len(history) == 2
    for row, line in zip(rows, history, strict=True):
        assert float(row[4]) == pytest.approx(float(line.split(",")[5]), abs=1e-4)
    assert {
        "accuracy",
        "notes",
        "curves",
        "classes",
        "confusion",
        "calibration",
        "drawn",
        "samples",
        "kernels",
    } <= page.ids


def test_the_command_of_the_report_makes_the_same_run(run, tmp_path):
    config = str(run / "config.json")
    alexnet.train(run.parent / "photos", recipe=config, variant=config, seed=0, out=tmp_path / "again")
    assert (tmp_path / "again" / "best.safetensors").read_bytes() == (run / "best.safetensors").read_bytes()


def test_a_run_evaluated_again_says_the_same(run, tmp_path):
    command = ["evaluate", str(run), str(run.parent / "photos"), "--out", str(tmp_path / "out")]
    CliRunner().invoke(cli, command, catch_exceptions=False)
    page = Page((tmp_path / "out" / "report.html").read_text("utf-8"))
    assert page.table("class", "recall") == Page((run / "report.html").read_text("utf-8")).table("class", "recall")
    assert "trained on photos" in page.said and not fetched(page)
    with pytest.raises(UsageError, match="--force"):
        CliRunner().invoke(cli, command, catch_exceptions=False)
