"""The paper's two towers and one weird trick, with real processes, against the same network on one device."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from math import floor
from pathlib import Path

import pytest
import torch

from alexnet.errors import UsageError
from alexnet.network.architecture import walk
from alexnet.network.division import (
    activation_values,
    break_even,
    data_parallel_values,
    gradient_values,
    one_weird_trick,
    towers,
)
from alexnet.network.variants import variant

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from divided_ranks import BATCH, CASES  # noqa: E402

EIGHT = 8  # bytes of a float64
TOWERS = [name for name in CASES if name.startswith("towers")]
TRICK = [name for name in CASES if name.startswith("trick")]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What every rank of every case found, and what one device did: loads by case and rank."""
    folder = tmp_path_factory.mktemp("ranks")
    program = [sys.executable, str(HERE / "divided_ranks.py"), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run(program, check=True, timeout=300, env=environment)
    return lambda case, rank: torch.load(folder / f"{case}-{rank}.pt")


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_are_those_of_one_device(case, found):
    """Logits and gradients of the first step; weights, statistics, momentum and logits after the last, dropout and
    all; on every rank, in float64."""
    ours, theirs = [found(case, rank) for rank in range(CASES[case][0])], found(case, "alone")
    for one in ours:
        for moment in ("first", "last"):
            assert one[moment].keys() == theirs[moment].keys()
            torch.testing.assert_close(one[moment], theirs[moment], rtol=1e-10, atol=1e-10)
    losses = torch.tensor([one["losses"] for one in ours]).double()
    together = losses.sum(0) if case in TRICK else losses.mean(0)
    torch.testing.assert_close(together, torch.tensor(theirs["losses"]).double(), rtol=1e-6, atol=1e-6)
    assert not torch.equal(theirs["first"]["logits"], theirs["last"]["logits"])


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
    shapes = {"conv3": 16 * 5 * 5, "fc6": 16 * 2 * 2, "fc7": 16, "fc8": 16}
    forward = {f"{name} forward": BATCH * values * EIGHT for name, values in (shapes | {"scores": 3}).items()}
    backward = {f"{name} backward": BATCH * values * EIGHT for name, values in shapes.items()}
    for rank in range(2):
        assert found("towers", rank)["sent"] == forward | backward
    assert found("towers of seven classes", 0)["sent"] == {  # every tower has all of the last layer, and needs no more
        name: count for name, count in (forward | backward).items() if name not in ("scores forward", "fc8 backward")
    }


@pytest.mark.parametrize("case", CASES)
def test_what_is_sent_is_what_was_counted_beforehand(case, found):
    ranks, value, divided = CASES[case]
    division = divided(value, ranks)
    expected = {}
    for name, (forward, backward) in activation_values(division, BATCH).items():
        expected |= {f"{name} forward": forward * EIGHT, f"{name} backward": backward * EIGHT}
    expected["gradients"] = gradient_values(division) * EIGHT
    for rank in range(ranks):
        assert found(case, rank)["sent"] == pytest.approx({name: count for name, count in expected.items() if count})


def test_the_trick_sends_features_and_the_gradients_of_convolutions(found):
    """Two ranks with 2 of the 4 pictures each, and 16 of 32 units or 3 of 6 scores."""
    convolutions = sum(row.parameters for row in walk(CASES["trick"][1]) if row.name.startswith("conv"))
    sent = {"fc6": 2 * 128, "fc7": 4 * 16, "fc8": 4 * 16, "scores": 2 * 3}
    both = {f"{name} {way}": count * EIGHT for name, count in sent.items() for way in ("forward", "backward")}
    assert found("trick", 1)["sent"] == both | {"gradients": convolutions * EIGHT}


# ------------------------------------------------------------------------------------------------------- on paper alone


def test_the_papers_network_in_towers():
    """Figure 2: 192 kernels of conv3 see 256 maps of 13 x 13; 2048 units see 6 x 6 x 256 and 4096 values."""
    division = towers(variant("krizhevsky-2012"))
    assert activation_values(division, 1) == {
        **{"conv3": (128 * 13 * 13,) * 2, "fc6": (128 * 6 * 6,) * 2, "fc7": (2048, 2048), "fc8": (2048, 2048)},
        "scores": (500, 0),
    }
    assert division.parameters == 60_965_224 // 2
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


def test_the_page_says_what_the_function_computes():
    page = (HERE.parents[1] / "docs" / "towers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([\d,]+) \| ([\d,]+) \|", page, re.MULTILINE))
    for ranks in (8, 64, 1024):
        assert rows[f"{ranks:,}"] == f"{floor(break_even(one_weird_trick(variant('krizhevsky-2012'), ranks))):,}"
    assert f"{floor(break_even(towers(variant('krizhevsky-2012'))))} pictures" in page
