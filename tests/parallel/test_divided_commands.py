"""`alexnet train` with a network in parts, as torchrun's processes are given it: a normal run, or one line why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from divided_ranks import small
from groups import Torchrun

import alexnet
from alexnet.network import documents

SETTINGS = ["batch_size=12", "learning_rate=0.001", "precision=float32"]
GIVEN = [word for setting in SETTINGS for word in ("--set", setting)]
NETWORKS = {"towers": "krizhevsky-2012", "one-weird-trick": "batch-norm"}
ASKED = {
    "towers": ["--towers"],
    "one-weird-trick": ["--set", "execution=one-weird-trick", "--set", "batch_statistics=global"],
}

Commands = Callable[..., list[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def commands(torchrun: Torchrun, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """How commands end, one after the other, in each of so many processes."""

    def run(size: int, *asked: list[Any]) -> list[list[dict[str, Any]]]:
        out = tmp_path_factory.mktemp("commands")
        started = torchrun.start(size, "commands.py", out, json.dumps([[*map(str, words)] for words in asked]))
        code, _, said = torchrun.end(started)
        assert code == 0, said
        files = [[out / f"{number}-{rank}.json" for rank in range(size)] for number in range(len(asked))]
        return [[json.loads(file.read_text()) for file in each] for each in files]

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs, with files of small networks of three classes."""
    root = tmp_path_factory.mktemp("divided")
    for name in NETWORKS.values():
        (root / f"{name}.json").write_text(json.dumps(documents.to_json(small(name, 3))))
    return root


@pytest.fixture(scope="module")
def found(commands: Commands, place: Path, many_photos: Path) -> dict[str, list[dict[str, Any]]]:
    """What two processes answered to each execution, and to towers of a network that has none."""
    train = ["train", many_photos, "--epochs", "1", *GIVEN, "--json"]
    asked = {
        name: [*train, *ASKED[name], "--variant", place / f"{network}.json", "--out", place / name]
        for name, network in NETWORKS.items()
    }
    asked["one column"] = [*train, "--towers", "--variant", "single-column", "--out", place / "refused"]
    return dict(zip(asked, commands(2, *asked.values()), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_it_leaves_the_folder_of_a_normal_run(name, found, place, many_photos, tmp_path, undrawn, alexnet_predicts):
    """Which one process that knows of no towers reads as ever."""
    first, second = found[name]
    assert (first["code"], second["code"]) == (0, 0), first
    document = json.loads(first["out"])
    assert document["epochs"] == 1 and document["test"]["images"] == 120
    assert not second["out"] and not second["said"]
    variant = str(place / f"{NETWORKS[name]}.json")
    alone = alexnet.train(many_photos, variant=variant, epochs=1, settings=SETTINGS, out=tmp_path / "alone")
    assert contents(place / name) == contents(tmp_path / "alone")
    assert document.keys() == alone.keys()
    ours, theirs = (alexnet_predicts(run) for run in (place / name, tmp_path / "alone"))
    for one, other in zip(ours, theirs, strict=True):
        assert one["label"] in ("ash", "birch", "cedar")
        assert one["probability"] == pytest.approx(other["probability"], abs=0.02)


def contents(run: Path) -> list[str]:
    """The files in a run's folder."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


@pytest.fixture
def alexnet_predicts(alexnet, many_photos):
    """The answers of `alexnet predict` with the model of a run."""
    pictures = [many_photos / "test" / name / "00.png" for name in ("ash", "birch", "cedar")]
    return lambda run: alexnet("predict", *pictures, "--model", run, "--json").json


def test_a_network_without_columns_is_refused_once(found, place):
    said_once(found["one column"], "single-column cannot stand in 2 towers: it has no columns")
    assert not (place / "refused").exists()


def test_three_processes_are_refused_once(commands, place, many_photos):
    asked = ["train", many_photos, "--towers", "--variant", place / "krizhevsky-2012.json", "--out", place / "three"]
    (found,) = commands(3, asked)
    said_once(found, "cannot stand in 3 towers: ", "start torchrun with --nproc-per-node 2")
    assert not (place / "three").exists()


def said_once(processes: list[dict[str, Any]], *words: str) -> None:
    """Whether all ended as misused, and one of them alone said why, on one line."""
    assert [each["code"] for each in processes] == [2] * len(processes)
    lines = [line for each in processes for line in each["said"] if line.startswith("alexnet")]
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines


def test_without_torchrun_it_says_how_to_start(alexnet, many_photos):
    said = alexnet("train", many_photos, "--towers")
    assert said.code == 2 and not said.out
    (line,) = said.err.splitlines()
    assert "needs several processes; start them with: torchrun --nproc-per-node 2 -m alexnet train" in line
