"""The cost model against closed forms, and the table of docs/scaling.md against the model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.experiments.bench.scaling import H200, IMAGENET, Machines, Work, forecast, imagenet_rows, wire_seconds
from alexnet.network.variants import variant

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
PAPER = Work.of(variant("krizhevsky-2012"))


def test_what_the_papers_network_costs():
    """FACTS and the paper: 60,965,224 parameters; 4.136 GFLOP a training picture; 256 x 256 x 3 bytes stored."""
    assert (PAPER.parameters, PAPER.picture) == (60_965_224, 196_608)
    assert PAPER.flops == pytest.approx(4.136e9, rel=1e-3)
    # Maps of figure 2's sizes: what convolutions, rectifiers and normalisations give, what pooling gives, what follows.
    blocks = 3 * 55 * 55 * 96 + 3 * 27 * 27 * 256 + 2 * 13 * 13 * (384 + 384 + 256)
    rest = 27 * 27 * 96 + 13 * 13 * 256 + 6 * 6 * 256 + 6 * 4096 + 1000
    assert PAPER.activations == 5 * 2 * (blocks + rest)


def test_an_all_reduce():
    """Over a byte a second two processes exchange half of the gradient twice; of many each byte passes twice."""
    slow = Machines(processes=2, flops=1.0, memory=1.0, wire=1.0, disk=1.0, latency=0.0)
    assert wire_seconds(10, slow) == pytest.approx(40)
    assert wire_seconds(10, replace(slow, processes=4)) == pytest.approx(2 * 3 / 4 * 40)
    assert wire_seconds(10, replace(slow, processes=10**6)) == pytest.approx(80, rel=1e-5)
    assert wire_seconds(10, replace(slow, processes=2, gradient=2)) == pytest.approx(20)
    assert wire_seconds(10, replace(slow, processes=1)) == 0
    tiny = replace(slow, processes=1024, latency=1.0, wire=1e30)
    assert wire_seconds(10, tiny) == pytest.approx(2 * math.log2(1024))


def test_what_limits_a_step():
    work = Work(flops=100.0, activations=10.0, parameters=1, picture=1.0)
    machines = Machines(processes=1, flops=100.0, memory=1000.0, wire=1.0, disk=1000.0, latency=0.0)
    alone = forecast(work, machines, 10)
    assert alone.limit == "arithmetic" and alone.seconds == pytest.approx(10 + 0.1 + 0.03)
    assert forecast(work, replace(machines, disk=0.1), 10).limit == "disk"
    assert forecast(work, replace(machines, disk=0.1), 10).seconds == 100
    assert forecast(work, replace(machines, memory=1.0), 10).limit == "memory"
    two = replace(machines, processes=2, wire=0.1)
    bare = forecast(work, replace(two, overlap=0.0), 10)
    assert bare.limit == "wire" and bare.seconds == pytest.approx(5.05 + 0.03 + 40)
    assert forecast(work, two, 10).seconds == pytest.approx(bare.seconds - 2 / 3 * 5.05)
    quick = forecast(work, replace(two, wire=1000.0), 10)
    assert quick.hidden == quick.wire > 0 and quick.limit == "arithmetic"


def test_one_h200_at_its_limit():
    """PERFORMANCE: 191,000 pictures/s by arithmetic, about 113,000 with memory traffic."""
    assert H200.flops / PAPER.flops == pytest.approx(191_000, rel=0.01)
    assert forecast(PAPER, H200, 1024).rate == pytest.approx(113_000, rel=0.1)


def test_the_page_shows_what_the_model_says():
    text = PAGE.read_text("utf-8")
    rows = imagenet_rows(PAPER)
    for row in rows:
        assert f"| {' | '.join(row)} |" in text
    minutes = 90 * IMAGENET / float(rows[0][8].replace(",", "")) / 60
    assert float(rows[0][10]) == pytest.approx(minutes, abs=0.06)
