"""The paper's two towers and one weird trick, with real processes, against the same network on one device."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import floor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from alexnet.errors import UsageError
from alexnet.network.architecture import BatchNorm, walk
from alexnet.network.division import (
    activation_values,
    break_even,
    data_parallel_values,
    gradient_values,
    one_weird_trick,
    towers,
)
from alexnet.network.variants import variant
from alexnet.training.memory import fixed_bytes
from alexnet.training.parallel.execution import execution
from alexnet.training.parallel.group import Group
from alexnet.training.recipes import recipe
from alexnet.weights import files
from alexnet.weights.model import load

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from divided_ranks import BATCH, CASES  # noqa: E402

EIGHT = 8  # bytes of a float64


@pytest.fixture(scope="module")
def folder(tmp_path_factory, many_photos):
    """What every process of every case found, and what one device did; and whole runs."""
    made = tmp_path_factory.mktemp("divided")
    program = [sys.executable, str(HERE / "divided_ranks.py"), str(made), str(many_photos)]
    cache = str(tmp_path_factory.getbasetemp() / "cache")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "XDG_CACHE_HOME": cache}
    subprocess.run(program, check=True, timeout=300, env=environment)
    return made


@pytest.fixture(scope="module")
def found(folder):
    return lambda case, rank: torch.load(folder / f"{case}-{rank}.pt")


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_are_those_of_one_device(case, found):
    """Gradients of the first step; weights, statistics, momenta, the sums of losses and hits after the last; logits
    before and after, dropout and all, in float64. The leading process has it whole, the logits every process."""
    ours, theirs = [found(case, rank)["found"] for rank in range(CASES[case][0])], found(case, "alone")["found"]
    assert ours[0].keys() == theirs.keys() and any("momentum" in name for name in theirs)
    for one in ours:
        assert {"logits before", "logits after"} <= one.keys()
        for name, tensor in one.items():
            loose = name == "sums/totals"  # which are float32
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-5 if loose else 1e-10, atol=1e-10)
    assert (theirs["logits before"] - theirs["logits after"]).abs().max() > 0.1


@pytest.mark.parametrize("case", ["towers", "towers of the source"])
def test_a_tower_has_half_of_everything(case, found):
    alone = found(case, "alone")
    for rank in range(2):
        tower = found(case, rank)
        assert 2 * tower["parameters"] == alone["parameters"]
        assert 2 * tower["buffers"] == alone["buffers"] == alone["parameters"]


def test_towers_speak_where_the_figure_has_it(found):
    """Of the small network each column has 16 maps of 5 x 5 below conv3, 16 of 2 x 2 below fc6, 16 units and 3 scores;
    gradients come back the same way but for those of the scores, of which each tower knows the loss."""
    conv3, fc6, fc7, fc8, scores = (BATCH * values * EIGHT for values in (16 * 25, 16 * 4, 16, 16, 3))
    forward = [("all_gather", count) for count in (conv3, fc6, fc7, fc8)]
    backward = [("all_to_all_single", count) for count in (fc8, fc7, fc6, conv3)]
    for rank in range(2):
        assert found("towers", rank)["sent"] == [*forward, ("all_gather", scores), *backward]
    # Every tower has all of the last layer here, and makes the same of what it gets.
    assert found("towers of seven classes", 0)["sent"] == [*forward, *backward[1:]]


def test_the_trick_sends_features_and_the_gradients_of_convolutions(found):
    """Two processes with half of the pictures each, and 16 of 32 units or 3 of 6 scores; two figures of the step go
    with the gradients."""
    convolutions = sum(row.parameters for row in walk(CASES["trick"][1]) if row.name.startswith("conv"))
    fc6, fc7, fc8, scores = (BATCH * values * EIGHT // 2 for values in (128, 32, 32, 3))
    assert found("trick", 1)["sent"] == [
        *(("all_gather", count) for count in (fc6, fc7, fc8)),
        *(("all_to_all_single", count) for count in (scores, scores, fc8, fc7, fc6)),
        ("all_reduce", (convolutions + 2) * EIGHT),
    ]


@pytest.mark.parametrize("case", CASES)
def test_what_is_sent_is_what_was_counted_beforehand(case, found):
    ranks, value, asked = CASES[case]
    division = towers(value) if asked.execution == "towers" else one_weird_trick(value, ranks)
    expected = sum(map(sum, activation_values(division, BATCH).values())) + gradient_values(division)
    figures = 2 * 2 * (ranks - 1) / ranks * division.sliced
    if division.sliced:  # mean, variance and a count; two sums for the gradient; running statistics
        own = [part.row.input[0] for part in division.parts if isinstance(part.row.layer, BatchNorm) and not part.split]
        figures += sum((2 * channels + 1) + 2 * (2 * channels) for channels in own)
    for rank in range(ranks):
        assert sum(count for _, count in found(case, rank)["sent"]) == pytest.approx(
            (expected + figures) * EIGHT, abs=1
        )


# --------------------------------------------------------------------------------------------------------- whole runs


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


def test_a_run_in_towers_leaves_an_ordinary_model(folder):
    """The file of one process but for rounding in float32, with nothing in it of towers; and its kernels whole."""
    ours, theirs = (load_file(folder / name / "last.safetensors") for name in ("towers", "alone"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-3)
    described = [files.describe(folder / name / "last.safetensors") for name in ("towers", "alone")]
    assert described[0].trained == described[1].trained and described[0].variant == described[1].variant
    ours, theirs = (np.load(folder / name / "kernels" / "0002.npy") for name in ("towers", "alone"))
    assert ours.shape == (12, 3, 11, 11) and np.allclose(ours, theirs, atol=1e-4)
    for one, other in zip(history(folder / "towers"), history(folder / "alone"), strict=True):
        assert {key: float(value) for key, value in one.items()} == pytest.approx(
            {key: float(value) for key, value in other.items()}, abs=1e-3
        )
    recorded = json.loads((folder / "towers" / "environment.json").read_text())
    assert (recorded["execution"], recorded["processes"]) == ("towers", 2)
    answers = load(folder / "towers").predict([np.zeros((99, 99, 3), np.uint8)])
    assert {entry["label"] for entry in answers[0]["top"]} == {"ash", "birch", "cedar"}


def test_killed_towers_go_on_to_the_same_bytes(folder):
    for name in ("best", "last"):
        whole, resumed = ((folder / run / f"{name}.safetensors").read_bytes() for run in ("towers", "killed"))
        assert whole == resumed
    assert history(folder / "killed") == history(folder / "towers")


def test_one_process_goes_on_where_towers_stopped(folder):
    """A checkpoint holds the whole network; how it is carried out may change."""
    ours, theirs = (load_file(folder / name / "last.safetensors") for name in ("moved", "towers"))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-3)
    said = (folder / "moved" / "log.txt").read_text()
    assert "going on at step 4" in said and "execution" in said


# ------------------------------------------------------------------------------------------------------- on paper alone


def test_the_papers_network_in_towers():
    """Figure 2: 192 kernels of conv3 see 256 maps of 13 x 13; 2048 units see 6 x 6 x 256 and 4096 values."""
    network = variant("krizhevsky-2012")
    division = towers(network)
    assert activation_values(division, 1) == {
        **{"conv3": (128 * 13 * 13,) * 2, "fc6": (128 * 6 * 6,) * 2, "fc7": (2048, 2048), "fc8": (2048, 2048)},
        "scores": (500, 0),
    }
    assert division.parameters == 60_965_224 // 2
    asked = recipe("krizhevsky-2012")
    halves = replace(asked, execution="towers")
    saved = fixed_bytes(network, 227, asked) - fixed_bytes(network, 227, halves, processes=2)
    assert saved == 12 * 60_965_224 // 2  # float32 weights, gradients and momenta
    shapes = {part.row.name: (part.row.input, part.row.output) for part in division.parts}
    assert shapes["conv2"] == ((48, 27, 27), (128, 27, 27)) and shapes["norm1"] == ((48, 55, 55), (48, 55, 55))
    assert shapes["conv3"] == ((256, 13, 13), (192, 13, 13)) and shapes["conv4"] == ((192, 13, 13), (192, 13, 13))
    assert shapes["fc6"] == ((256, 6, 6), (2048,)) and shapes["fc8"] == ((4096,), (500,))
    macs = sum(part.row.macs for part in division.parts)
    assert 2 * macs == sum(row.macs for row in walk(variant("krizhevsky-2012")))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("single-column", "no columns"),
        ("cifar-13pct", "no columns"),
        ("bvlc-alexnet", "norm1 normalises across the columns"),
    ],
)
def test_what_has_no_towers_is_refused_with_a_remedy(name, reason):
    with pytest.raises(UsageError, match=f"{name} cannot stand in 2 towers: .*{reason}.*; take krizhevsky-2012"):
        towers(variant(name))


def test_columns_that_do_not_divide_are_refused():
    with pytest.raises(UsageError, match="the 2 groups of conv2"):
        towers(variant("no-normalisation"), ranks=3)
    with pytest.raises(UsageError, match=r"no fully connected layer .* over 7 ranks"):
        one_weird_trick(variant("krizhevsky-2012"), 7)


@pytest.mark.parametrize(
    ("size", "settings", "reason"),
    [
        (1, {"execution": "towers"}, "execution=towers needs several processes; start them with: torchrun"),
        (4, {"execution": "towers"}, "cannot stand in 4 towers"),
        (2, {"execution": "towers", "update": "lars"}, "update=lars does not go with execution=towers"),
        (2, {"execution": "one-weird-trick", "compile": "default"}, "compile=default does not go with"),
        (4, {"execution": "one-weird-trick", "batch_size": 126}, "126 pictures do not divide over 4 processes"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_beforehand(size, settings, reason):
    asked = replace(recipe("krizhevsky-2012"), **settings)
    with pytest.raises(UsageError, match=reason):
        execution(asked, variant("krizhevsky-2012"), 227, Group(size=size))


def by_hand(ranks: int, batch: Fraction) -> tuple[Fraction, Fraction]:
    """Values that a rank sends with one weird trick, and with data parallelism, from the widths of the layers."""
    fc6, fc7, fc8 = (9216 + 1) * 4096, (4096 + 1) * 4096, (4096 + 1) * 1000
    convolutions, others = 60_965_224 - fc6 - fc7 - fc8, Fraction(ranks - 1, ranks)
    features = others * batch * (9216 + 4096)  # of one rank's pictures to the others; of one's units to the others
    if 1000 % ranks == 0:  # fc8 gets all units of all pictures, and gives back the scores of each rank's own
        last, whole = others * batch * (4096 + Fraction(1000, ranks)), convolutions
    else:  # fc8 is the same on every rank, and gets all units of its own pictures
        last, whole = others * batch * Fraction(4096, ranks), convolutions + fc8
    return 2 * (features + last) + 2 * others * whole, 2 * others * 60_965_224


@pytest.mark.parametrize("ranks", [2, 8, 64, 1024])
def test_the_batch_at_which_both_send_as_much(ranks):
    network = variant("krizhevsky-2012")
    division = one_weird_trick(network, ranks)
    batch = Fraction(break_even(division)).limit_denominator(10**9)
    trick, parallel = by_hand(ranks, batch)
    assert float(trick) == pytest.approx(float(parallel), rel=1e-9)
    assert data_parallel_values(network, ranks) == pytest.approx(float(parallel), rel=1e-12)
    below = sum(map(sum, activation_values(division, 1024).values())) + gradient_values(division)
    assert below == pytest.approx(float(by_hand(ranks, Fraction(1024))[0]), rel=1e-12)
    assert break_even(division, activation=2) == pytest.approx(2 * break_even(division))


@pytest.mark.parametrize("divided", [towers, partial(one_weird_trick, ranks=2)])
def test_for_smaller_pictures_too_both_send_as_much_there(divided):
    network = variant("krizhevsky-2012")
    division = divided(network, size=163)
    a_picture = sum(map(sum, activation_values(division, 2).values())) / 2
    sent = break_even(division) * a_picture + gradient_values(division)
    assert sent == pytest.approx(data_parallel_values(network, 2, 163), rel=1e-12)


def test_the_page_says_what_the_function_computes():
    page = (HERE.parents[1] / "docs" / "towers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([\d,]+) \| ([\d,]+) \|", page, re.MULTILINE))
    for ranks in (8, 64, 1024):
        assert rows[f"{ranks:,}"] == f"{floor(break_even(one_weird_trick(variant('krizhevsky-2012'), ranks))):,}"
    assert f"{floor(break_even(towers(variant('krizhevsky-2012'))))} pictures" in page
