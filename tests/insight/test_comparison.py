"""Runs side by side: read from their files, paired as scikit-learn and scipy would, refused where they are none."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pages import Page, fetched
from scipy.stats import binomtest

import alexnet
from alexnet.cli.main import cli
from alexnet.errors import UsageError
from alexnet.insight.reports import comparison

SMALL = {"variant": "lenet-5", "settings": ["batch_size=20"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, easy_picture) -> Path:
    """`a`: a run; `b`: the same with other answers and another rate; `c`: killed in its second epoch."""
    root = tmp_path_factory.mktemp("runs")
    for kind, name in enumerate(("ash", "birch")):
        for split, count in (("train", 20), ("test", 15)):
            (root / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                easy_picture(kind, number).save(root / "photos" / split / name / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        alexnet.train(root / "photos", epochs=1, out=root / "a", **SMALL)
    for name in "bc":
        shutil.copytree(root / "a", root / name)
        config = json.loads((root / name / "config.json").read_text())
        config["recipe"] |= {"learning_rate": 0.5, "epochs": 9}
        (root / name / "config.json").write_text(json.dumps(config))
    for file in ("result.json", "evaluation.json", "mistakes.csv"):
        (root / "c" / file).unlink()
    answered(root / "a", np.arange(30) % 3 > 0)
    answered(root / "b", np.arange(30) % 7 > 0)
    return root


def answered(run: Path, right: np.ndarray) -> None:
    """Rewrite a run's files as if these of its test pictures had been right."""
    rows = [row for row in csv.DictReader((run / "split.csv").read_text().splitlines()) if row["split"] == "test"]
    wrong = [row["path"] for row, fine in zip(rows, right, strict=True) if not fine]
    (run / "mistakes.csv").write_text("path,class\n" + "".join(f"{path},x\n" for path in wrong))
    document = json.loads((run / "evaluation.json").read_text())
    document |= {"top1": float(right.mean()), "per_class": [{"class": "both", "correct": int(right.sum())}]}
    (run / "evaluation.json").write_text(json.dumps(document))


def test_the_same_pictures_are_compared_one_by_one(runs):
    found = comparison.comparison(comparison.read([runs / "a", runs / "b", runs / "c"]))
    one, other = np.arange(30) % 7 > 0, np.arange(30) % 3 > 0
    (pair,) = found["paired"]
    assert (pair["first"], pair["second"], pair["images"]) == ("b", "a", 30)
    assert pair["only_first_right"] == (one & ~other).sum() and pair["only_second_right"] == (other & ~one).sum()
    assert pair["both_right"] == (one & other).sum()
    both = pair["only_first_right"] + pair["only_second_right"]
    assert pair["p"] == pytest.approx(binomtest(pair["only_first_right"], both, 0.5).pvalue)


def test_what_differs_and_what_came_of_it(runs):
    found = comparison.comparison(comparison.read([runs / "a", runs / "b", runs / "c"]))
    assert found["differences"] == {"epochs": [1, 9, 9], "learning_rate": [0.004, 0.5, 0.5]}
    a, b, c = found["runs"]
    assert a["finished"] and b["finished"] and not c["finished"] and c["evaluated"] is None
    assert (c["epochs"], c["of_epochs"]) == (1, 9)
    assert a["parameters"] == sum(p.numel() for p in alexnet.build("lenet-5", classes=2).parameters())
    bounds = binomtest(20, 30).proportion_ci(method="wilson")
    assert a["evaluated"]["interval"] == pytest.approx([bounds.low, bounds.high])
    assert not comparison.differences(comparison.read([runs / "a", runs / "a"]))


def test_answers_that_the_files_do_not_tell_are_not_compared(runs, tmp_path):
    shutil.copytree(runs / "b", tmp_path / "b")
    lines = (tmp_path / "b" / "mistakes.csv").read_text().splitlines()
    (tmp_path / "b" / "mistakes.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert comparison.comparison(comparison.read([runs / "a", tmp_path / "b"]))["paired"] == []


def test_the_command(runs, tmp_path):
    command = ["compare", *(str(runs / name) for name in "abc"), "--out", str(tmp_path / "page.html")]
    told = CliRunner().invoke(cli, [*command, "--json"], catch_exceptions=False)
    assert json.loads(told.stdout) == comparison.comparison(comparison.read([runs / "a", runs / "b", runs / "c"]))
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert not fetched(page) and page.tags.count("svg") == 4
    assert [row[0] for row in page.table("run", "evaluated")] == ["a", "b", "c"]
    assert page.table("setting", "a") == [["epochs", "1", "9", "9"], ["learning_rate", "0.004", "0.5", "0.5"]]
    text = CliRunner().invoke(cli, [*command, "--force"], catch_exceptions=False).stdout
    assert "b alone" in text and "1 of 9, unfinished" in text
    for wrong in (command, ["compare", str(runs / "a")]):
        with pytest.raises(UsageError):
            CliRunner().invoke(cli, wrong, catch_exceptions=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "not a run folder"), ("[]", "not what was written"), ("{", "cannot be read"), ("{}", "not a run folder")],
)
def test_what_is_no_run_is_refused(runs, tmp_path, content, said):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UsageError, match=said):
        comparison.read([runs / "a", tmp_path])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"recipe": 3}'),
        ("config.json", '{"recipe": {}, "variant": {"layers": []}}'),
        ("history.csv", "epoch,seconds\none,two\n"),
        ("evaluation.json", '{"top1": "high"}'),
        ("split.csv", "this,that\n1,2\n"),
        ("result.json", "\0"),
    ],
)
def test_what_is_damaged_is_named(runs, tmp_path, file, content):
    shutil.copytree(runs / "a", tmp_path / "a")
    (tmp_path / "a" / file).write_text(content)
    with pytest.raises(UsageError, match=str(tmp_path)):
        comparison.read([runs / "b", tmp_path / "a"])


def test_runs_of_one_name_go_by_their_paths(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "a")
    assert [run.name for run in comparison.read([runs / "a", tmp_path / "a"])] == [str(runs / "a"), str(tmp_path / "a")]
