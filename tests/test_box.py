"""The model that comes with the program."""

from __future__ import annotations

import numpy as np
import pytest
from photographs import PHOTOGRAPHS

import alexnet as package
from alexnet.weights import files


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("box") / "photo.jpg"
    PHOTOGRAPHS[1].save(path)
    return path


def test_it_answers_where_none_is_named(alexnet, photograph):
    said = alexnet("predict", photograph, "--json")
    (entry,) = said.json
    assert entry["model"] == "box" and entry["label"] in ("cats", "dogs") and 0.5 <= entry["probability"] <= 1
    assert "the model in the box answers, which knows cats and dogs" in said.err
    named = alexnet("predict", photograph, "--model", files.BOX, "--json")
    assert "box" not in named.err and named.json == [{k: v for k, v in entry.items() if k != "model"}]


def test_it_has_something_to_explain_and_to_measure(alexnet, photograph, tmp_path):
    assert alexnet("explain", photograph, "--out", tmp_path / "why").code == 0
    assert list((tmp_path / "why").glob("*.png"))
    assert alexnet("features", photograph, "--out", tmp_path / "features").code == 0
    assert np.load(tmp_path / "features" / "fc7.npy").shape == (1, 4096)


def test_it_says_what_it_is():
    """Small enough for the package; described, scored on pictures that it was not trained on, and without a place of
    the machine that made it."""
    description = files.describe(files.BOX)
    assert files.BOX.stat().st_size < 10_000_000
    assert description.variant.name == "batch-norm" and description.classes == ("cats", "dogs")
    assert description.scores["test"]["images"] == 2000 and description.scores["test"]["top1"] > 0.9
    assert package.load().classes == description.classes
    assert b"/work" not in files.BOX.read_bytes()[:100_000] and b"/root" not in files.BOX.read_bytes()[:100_000]
