"""Published results against the numbers as they are printed, and against each other."""

from __future__ import annotations

import pytest

from alexnet.experiments import published
from alexnet.experiments.published import DIFFERENCES, LOGS, RESULTS, Result
from alexnet.network.variants import VARIANTS, variant

# Errors in per cent, top-1 and top-5, in the order of the tables; None where nothing is printed.
PRINTED: dict[str, list[tuple[float | None, float | None]]] = {
    "TABLE_1": [(47.1, 28.2), (45.7, 25.7), (37.5, 17.0), (39.0, 18.3)],
    "TABLE_2": [(None, 26.2), (40.7, 18.2), (38.1, 16.4), (None, 16.4), (39.0, 16.6), (36.7, 15.4), (None, 15.3)],
    "WHOLE_IMAGENET": [(67.4, 40.9), (78.1, 60.9)],
    "LOGS": [
        *[(37.4727, 16.9987), (39.0247, 18.2953), (40.6640, 18.2100), (40.25, 17.99)],
        *[(38.9900, 16.6220), (41.0580, 18.5100), (42.0340, 19.3620), (39.1680, 18.2287)],
        *[(41.83, 19.33), (41.10, 18.67), (40.49, 18.12), (40.60, 18.11), (41.04, 18.71)],
    ],
    "AUTHORS_ON_CIFAR_10": [(11, None), (13, None), (18, None), (26, None)],
    "FRAMEWORKS": [
        *[(42.55, 19.81), (40.42, 18.15), (100 - 57.1, 100 - 80.2), (100 - 57.258, None)],
        *[(100 - 57.4, 100 - 80.4), (100 - 56.522, 100 - 79.066)],
    ],
    "ARTICLES": [(100 - 90.954, None), (100 - 98.85, None)],
}


def accuracy(error: float | None) -> object:
    return None if error is None else pytest.approx(1 - error / 100, abs=1e-9)


@pytest.mark.parametrize("table", PRINTED)
def test_numbers_as_printed(table: str) -> None:
    found = [(result.top1, result.top5) for result in getattr(published, table)]
    assert found == [(accuracy(top1), accuracy(top5)) for top1, top5 in PRINTED[table]]


def test_no_table_is_left_out() -> None:
    assert sum(map(len, PRINTED.values())) == len(RESULTS) == len(set(RESULTS))


def test_data_and_views() -> None:
    """The paper's tables are of ten views and its footnote of one; two sets of pictures that are not to be compared."""
    *_, ten, one = published.TABLE_1
    assert (ten.views, one.views) == (10, 1) and {row.data for row in published.TABLE_1} == {"ILSVRC-2010 test"}
    assert [row.data.removeprefix("ILSVRC-2012 ") for row in published.TABLE_2] == [
        *("test", "validation", "validation", "test", "validation", "validation", "test")
    ]
    assert all("10,184 classes" in row.data and "8.9 million" in row.data for row in published.WHOLE_IMAGENET)
    assert "15 million pictures, 22,000 classes" in published.TABLE_2[4].network
    assert [row.minutes for row in published.AUTHORS_ON_CIFAR_10] == [75, 25, 20, pytest.approx(80 / 60)]
    assert [row.views for row in published.AUTHORS_ON_CIFAR_10] == [10, 10, 1, 1]
    assert published.FIGURE_1 == (0.25, 6)


@pytest.mark.parametrize(
    ("log", "printed"),
    [
        (LOGS[0], published.TABLE_1[2]),
        (LOGS[1], published.TABLE_1[3]),
        (LOGS[2], published.TABLE_2[1]),
        (LOGS[4], published.TABLE_2[4]),
    ],
)
def test_the_logs_round_to_the_papers_tables(log: Result, printed: Result) -> None:
    """By which run 145 is known to be the paper's network."""
    assert log.top1 and log.top5
    assert (round(log.top1, 3), round(log.top5, 3)) == (printed.top1, printed.top5)
    assert (log.data, log.views) == (printed.data, printed.views)


def test_differences_as_printed() -> None:
    """In points: response normalisation 1.4 and 1.2, overlap 0.4 and 0.3, columns 1.7 and 1.2, and those on top-1."""
    printed = [(1.4, 1.2), (0.4, 0.3), (1.7, 1.2), (1, None), (2, None), (2, None)]
    found = [(100 * row.top1, None if row.top5 is None else 100 * row.top5) for row in DIFFERENCES]
    assert found == [(pytest.approx(top1), None if top5 is None else pytest.approx(top5)) for top1, top5 in printed]


@pytest.mark.parametrize("row", [row for row in DIFFERENCES if row.without], ids=lambda row: row.feature)
def test_the_logs_differ_by_what_the_paper_says(row: published.Difference) -> None:
    """Between logs on the same data, each with ten views."""
    (without,) = (r for r in RESULTS if r.variant == row.without and r.views == 10)
    having = next(r for r in RESULTS if (r.variant, r.data, r.views) == (row.having, without.data, 10))
    assert having.top1 and without.top1
    assert having.top1 - without.top1 == pytest.approx(row.top1, abs=5e-4)
    if row.top5 is not None:
        assert having.top5 and without.top5
        assert having.top5 - without.top5 == pytest.approx(row.top5, abs=5e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_and_its_results_agree(name: str) -> None:
    """What a variant says was published is among the results under its name."""
    value = variant(name)
    if value.top1 is not None:
        found = [(r.top1, r.top5) for r in RESULTS if r.variant == name]
        assert (pytest.approx(value.top1, abs=1e-9), pytest.approx(value.top5, abs=1e-9)) in found
