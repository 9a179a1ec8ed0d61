"""The commands of docs/imagenet.md, run as they stand there on a miniature of the challenge's data."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ilsvrc
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from ilsvrc import SYNSETS

import alexnet as package
from alexnet.cli.main import cli
from alexnet.errors import UsageError
from alexnet.pictures.store import opened
from alexnet.use.submission import submission

PAGE = (Path(__file__).parents[2] / "docs" / "imagenet.md").read_text("utf-8")
SMALLER = {  # what makes five classes and twenty pictures out of it
    "prepare": "--size 32",
    "train": "--variant cifar-13pct --epochs 5 --set batch_size=5 --set learning_rate=0.001",
}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For so small a network two would wait for each other more than compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.mark.usefixtures("undrawn", "one_thread")
def test_from_the_archives_to_a_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ilsvrc.make_archives(tmp_path / "ilsvrc2012")
    (block,) = re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line)[1:] for line in block.splitlines()]
    assert [command[0] for command in commands] == ["prepare", "train", "evaluate", "predict"]
    outcomes = {}
    for command in commands:
        outcome = run(*command, *shlex.split(SMALLER.get(command[0], "")), "--json")
        assert outcome.exit_code == 0, outcome.exception
        outcomes[command[0]] = json.loads(outcome.stdout)
    assert outcomes["prepare"]["pictures"] == 36 and outcomes["train"]["test"] is None
    scores = outcomes["evaluate"]
    assert scores["split"] == "validation" and scores["images"] == 10 and scores["views"] == 10
    assert scores["top1"] >= 0.9, "five colours are easy to tell apart"
    assert outcomes["predict"] == {"path": "submission.txt", "pictures": 6}

    lines = [
        [int(number) for number in line.split(" ")] for line in (tmp_path / "submission.txt").read_text().splitlines()
    ]
    assert all(sorted(line) == [1, 2, 3, 4, 5] for line in lines)
    assert np.mean([line[0] == own for line, own in zip(lines, ilsvrc.TEST, strict=True)]) >= 0.8

    judged_by_the_kit(tmp_path, scores)
    what_the_model_says(tmp_path, lines)
    what_cannot_be_submitted(tmp_path)


def judged_by_the_kit(folder: Path, scores: dict[str, Any]) -> None:
    """A submission for the validation pictures, held against the kit's own file of ground truth, scores as `evaluate`
    does, which has never seen one of the kit's numbers."""
    model = package.load(folder / "runs/imagenet")
    answers = [*submission(model, folder / "imagenet-256", views=10, split="validation")]
    right = [numbers[0] == own for numbers, own in zip(answers, ilsvrc.TRUTH, strict=True)]
    assert np.mean(right) == scores["top1"]


def what_the_model_says(folder: Path, lines: list[list[int]]) -> None:
    """The same answers by another way: names of classes for the files in the archive, in the order of their names."""
    model = package.load(folder / "runs/imagenet")
    number_named = {ilsvrc.NAMES[place]: SYNSETS[wnid][0] for place, wnid in enumerate(sorted(SYNSETS))}
    for (_, contents), line in zip(ilsvrc.flat_files("test"), lines, strict=True):
        assert number_named[model.predict([contents])[0]["label"]] in line[:2]  # one view, not ten


def what_cannot_be_submitted(folder: Path) -> None:
    model = package.load(folder / "runs/imagenet")
    given = ("predict", "imagenet-256", "--model", "runs/imagenet", "--format", "ilsvrc")
    for more in ((), ("--out", "answers.csv"), ("second", "--out", "answers.txt"), ("--out", "submission.txt")):
        assert isinstance(run(*given, *more).exception, UsageError)
    refused = run("evaluate", "runs/imagenet", "imagenet-256", "--split", "test")
    assert isinstance(refused.exception, UsageError)
    assert "nothing says what its test pictures show" in str(refused.exception)
    store = opened(folder / "imagenet-256")
    with pytest.raises(UsageError, match="no split 'attic'; there is train, validation, test"):
        next(submission(model, store.folder, split="attic"))
    with pytest.raises(UsageError, match="not called as the challenge's"):
        next(submission(model, store.folder, split="train"))
