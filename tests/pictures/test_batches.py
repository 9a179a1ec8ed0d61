"""Which pictures come in which step, and that reading ahead changes nothing about it."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.pictures import chance
from alexnet.pictures.batches import AHEAD, Order, ahead, batches, in_order
from alexnet.pictures.store import Part

orders = st.builds(Order, count=st.integers(1, 60), batch_size=st.integers(1, 130), seed=st.integers(0, 2**32))
steps = st.integers(0, 400)


def make_part(count: int, seed: int = 3) -> Part:
    """`count` pictures of 4 x 4 pixels, some rows of a larger array and not in its order, of ten classes."""
    draw = np.random.default_rng(seed)
    pictures = draw.integers(0, 256, (2 * count + 5, 4, 4, 3), dtype=np.uint8)
    labels = draw.integers(0, 10, len(pictures))
    rows = draw.permutation(len(pictures))[:count]
    return Part(pictures, labels, Path("nowhere"), rows, "")


# ------------------------------------------------------------------------------------------------------------- order


@given(order=orders, first=st.integers(0, 5))
@settings(deadline=None, max_examples=100)
def test_each_epoch_takes_every_picture_once(order: Order, first: int) -> None:
    """Batches laid end to end and cut into stretches of `count`, from any step on."""
    wanted = math.ceil((first + 3) * order.count / order.batch_size)
    taken = [order.places(step) for step in range(wanted)]
    assert all(len(places) == order.batch_size and places.dtype == np.int64 for places in taken)
    sequence = np.concatenate(taken)
    for epoch in range(len(sequence) // order.count):
        stretch = sequence[epoch * order.count : (epoch + 1) * order.count]
        assert sorted(stretch.tolist()) == list(range(order.count))


@given(order=orders, step=steps)
@settings(deadline=None, max_examples=100)
def test_segments_are_the_positions_of_the_step(order: Order, step: int) -> None:
    positions = range(step * order.batch_size, (step + 1) * order.batch_size)
    cells = [(epoch, place + i) for epoch, place, size in order.segments(step) for i in range(size)]
    assert cells == [divmod(position, order.count) for position in positions]
    assert all(size > 0 for _, _, size in order.segments(step))


@given(order=orders, epochs=st.integers(0, 50))
@settings(deadline=None, max_examples=200)
def test_an_epoch_ends_with_the_step_that_passes_its_boundary(order: Order, epochs: int) -> None:
    last = order.steps(epochs)
    assert last * order.batch_size >= epochs * order.count
    assert (last - 1) * order.batch_size < epochs * order.count
    assert order.epochs(last) >= epochs
    assert last == 0 or order.epochs(last - 1) < epochs


@pytest.mark.parametrize(
    ("count", "batch_size", "epochs", "expected"),
    [
        (100, 10, 1, 10),
        (100, 30, 1, 4),
        (100, 30, 3, 10),
        (100, 250, 1, 1),
        (100, 250, 5, 2),
        (100, 10, 0.5, 5),
        (1_281_167, 128, 90, 900_821),
        (100, 30, 0, 0),
    ],
)
def test_known_numbers_of_steps(count: int, batch_size: int, epochs: float, expected: int) -> None:
    assert Order(count, batch_size, 0).steps(epochs) == expected


@pytest.mark.parametrize(
    ("count", "batch_size", "expected"),
    [(10, 5, [0, 0, 1, 1, 2]), (10, 4, [0, 0, 0, 1, 1, 2]), (4, 10, [0, 2, 5, 7, 10])],
)
def test_known_numbers_of_complete_epochs(count: int, batch_size: int, expected: list[int]) -> None:
    order = Order(count, batch_size, 0)
    assert [order.epochs(step) for step in range(len(expected))] == expected


def test_epochs_and_seeds_have_their_own_order() -> None:
    first, second = (Order(50, 50, 0).places(step).tolist() for step in (0, 1))
    other = Order(50, 50, 1).places(0).tolist()
    assert len({tuple(first), tuple(second), tuple(other), tuple(range(50))}) == 4


@given(order=orders, wanted=st.lists(steps, min_size=2, max_size=12))
@settings(deadline=None, max_examples=50)
def test_a_step_does_not_depend_on_those_asked_before(order: Order, wanted: list[int]) -> None:
    alone = {step: Order(order.count, order.batch_size, order.seed).places(step) for step in sorted(wanted)}
    for step in wanted:
        places = order.places(step)
        np.testing.assert_array_equal(places, alone[step])
        places[:] = -1  # what the caller does with its copy must not reach the next one


@given(order=orders, step=steps)
@settings(deadline=None, max_examples=50)
def test_chance_belongs_to_the_place_in_the_epoch(order: Order, step: int) -> None:
    """Looked up cell by cell; so the batch size does not change which crop a picture gets."""
    cells = order.chance(step, {"left": 1, "flip": 1})
    assert set(cells) == {"left", "flip"}
    first = step * order.batch_size
    for purpose, numbers in cells.items():
        places = [divmod(position, order.count) for position in range(first, first + order.batch_size)]
        expected = [chance.uniform(order.seed, purpose, epoch, place, 1)[0] for epoch, place in places]
        assert numbers.tolist() == expected


# ----------------------------------------------------------------------------------------------------------- batches


def test_a_batch_is_the_pictures_labels_and_chance_of_its_places() -> None:
    part, order = make_part(23), Order(23, 9, 4)
    pictures, labels = part.pictures[part.rows], part.all_labels[part.rows]
    given_batches = list(batches(part, order, {"top": 1, "red": 1}, range(7)))
    assert [batch.step for batch in given_batches] == list(range(7))
    for batch in given_batches:
        places = order.places(batch.step)
        np.testing.assert_array_equal(batch.places, places)
        np.testing.assert_array_equal(batch.pictures, [pictures[place] for place in places])
        np.testing.assert_array_equal(batch.labels, [labels[place] for place in places])
        assert batch.pictures.dtype == np.uint8 and batch.labels.dtype == np.int64
        assert {name: numbers.tolist() for name, numbers in batch.chance.items()} == {
            name: numbers.tolist() for name, numbers in order.chance(batch.step, {"top": 1, "red": 1}).items()
        }


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("first", [0, 1, 13])
def test_threads_and_starting_point_make_no_difference(threads: int, first: int) -> None:
    part, order = make_part(17), Order(17, 6, 8)
    whole = list(batches(part, order, {"left": 1}, range(20)))
    some = list(batches(part, order, {"left": 1}, range(first, 20), threads))
    assert [batch.step for batch in some] == list(range(first, 20))
    for one, other in zip(whole[first:], some, strict=True):
        np.testing.assert_array_equal(one.places, other.places)
        np.testing.assert_array_equal(one.pictures, other.pictures)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.chance["left"], other.chance["left"])


def test_a_batch_may_be_larger_than_the_set() -> None:
    part = make_part(5)
    (batch,) = batches(part, Order(5, 12, 0), {}, range(1))
    assert np.bincount(batch.places, minlength=5).tolist() in ([2 + (i in rest) for i in range(5)] for rest in pairs())
    np.testing.assert_array_equal(batch.pictures, part.pictures[part.rows][batch.places])


def pairs() -> Iterator[tuple[int, ...]]:
    """Twelve places out of five pictures: every one twice, and two of them a third time."""
    return itertools.combinations(range(5), 2)


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (8, 4), (9, 4), (30, 1), (3, 100)])
def test_in_order_gives_each_picture_once_as_they_lie(count: int, batch_size: int) -> None:
    part = make_part(count)
    pairs_given = list(in_order(part, batch_size))
    sizes = [len(labels) for _, labels in pairs_given]
    assert sum(sizes) == count and set(sizes[:-1]) <= {batch_size} and 0 < sizes[-1] <= batch_size
    np.testing.assert_array_equal(np.concatenate([p for p, _ in pairs_given]), part.pictures[part.rows])
    np.testing.assert_array_equal(np.concatenate([n for _, n in pairs_given]), part.all_labels[part.rows])


# ------------------------------------------------------------------------------------------------------------- ahead


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_ahead_keeps_the_order_whatever_is_ready_first(threads: int) -> None:
    def load(item: int) -> int:
        time.sleep(0.002 * (item % 3 == 0))
        return item * item

    assert list(ahead(load, range(40), threads)) == [item * item for item in range(40)]


@pytest.mark.parametrize("threads", [1, 4])
def test_ahead_is_bounded(threads: int) -> None:
    """However slow the consumer is, only some batches lie in memory; an endless sequence is no trouble."""
    asked = 0

    def endless() -> Iterator[int]:
        nonlocal asked
        for item in itertools.count():
            asked += 1
            yield item

    stream = ahead(lambda item: item, endless(), threads)
    for taken in range(1, 30):
        assert next(stream) == taken - 1
        assert asked - taken <= AHEAD * threads
    stream.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("threads", [1, 3])
def test_ahead_passes_an_error_on_in_its_turn(threads: int) -> None:
    def load(item: int) -> int:
        if item == 7:
            raise LookupError(f"no picture {item}")
        return item

    got = []
    with pytest.raises(LookupError, match="no picture 7"):
        for value in ahead(load, range(100), threads):
            got.append(value)
    assert got == list(range(7))
    assert not workers()


@pytest.mark.parametrize("threads", [1, 3])
def test_ahead_passes_on_an_error_of_the_sequence(threads: int) -> None:
    def items() -> Iterator[int]:
        yield from range(20)
        raise LookupError("the sequence broke")

    with pytest.raises(LookupError, match="the sequence broke"):
        list(ahead(lambda item: item, items(), threads))
    assert not workers()


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_runs_on_when_the_consumer_stops_early(threads: int) -> None:
    loaded = []

    def load(item: int) -> int:
        loaded.append(item)
        return item

    stream = ahead(load, range(10_000), threads)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    assert workers()
    stream.close()  # type: ignore[attr-defined]
    assert not workers()
    count = len(loaded)
    time.sleep(0.02)
    assert len(loaded) == count < 100


def workers() -> list[threading.Thread]:
    """Threads other than this one that are at work on a pool."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
