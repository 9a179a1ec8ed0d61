"""The table of chance: cells that never change, found without drawing those before, and independent of each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.pictures.chance import PURPOSES, buffered_order, order, uniform, words

# What models and published results were trained with. A change here changes every run of every user.
KNOWN = {
    "validation": 0x97A6F8EC534DEB6B,
    "order": 0xB42BF4F49195CB40,
    "area": 0x3B6A08AC10E6B41D,
    "aspect": 0xD7491E64FD7A4AF1,
    "left": 0x11896B7F252DE151,
    "top": 0x819947F1BF4E490C,
    "flip": 0x5A525799D5E26676,
    "brightness": 0xF15FEB44D60CC256,
    "red": 0xB831B05FB256AA05,
    "green": 0xEDE38C18BDC4AD41,
    "blue": 0x163256837559AA10,
    "samples": 0xA8CEFA4694EC151D,
    "angle": 0x1D1DC358AA6DFE4B,
    "down": 0xC40A000354406E38,
    "right": 0xE5550F8B2C8DB54A,
    "noise1": 0x26B9494E0BA9996C,
    "noise2": 0x179376245004FBC4,
    "noise3": 0x27FD80CFE1D63A00,
}
MASK = 2**64 - 1

seeds = st.integers(0, 2**63 - 1)
purposes = st.sampled_from(PURPOSES)
epochs = st.integers(0, 10_000)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011), in plain Python."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [(second >> 64) ^ c[1] ^ k[0], second & MASK, (first >> 64) ^ c[3] ^ k[1], first & MASK]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return c


def test_the_oracle_is_philox() -> None:
    """The first of the authors' own known answers, from the Random123 distribution."""
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox([0, 0, 0, 0], [0, 0]) == known


@given(seed=seeds, purpose=purposes, epoch=epochs, place=st.integers(0, 2**40))
@settings(deadline=None, max_examples=60)
def test_a_cell_is_one_word_of_philox(seed: int, purpose: str, epoch: int, place: int) -> None:
    """Key: seed and column. Counter: the place by fours, from one on, and the epoch in the highest word."""
    expected = philox([place // 4 + 1, 0, 0, epoch], [seed, PURPOSES.index(purpose)])[place % 4]
    assert words(seed, purpose, epoch, place, 1).tolist() == [expected]


def test_known_cells_stay_what_they_were() -> None:
    cells = {name: int(words(2012, name, i, 10 * i, 1)[0]) for i, name in enumerate(KNOWN)}
    assert {name: hex(cell) for name, cell in cells.items()} == {name: hex(cell) for name, cell in KNOWN.items()}
    assert set(PURPOSES) >= set(KNOWN)


def test_known_orders_stay_what_they_were() -> None:
    assert order(0, 0, 12).tolist() == [5, 3, 7, 8, 11, 2, 4, 1, 10, 0, 6, 9]
    assert order(0, 1, 12).tolist() == [0, 1, 5, 4, 6, 10, 9, 2, 8, 3, 11, 7]
    assert order(1, 0, 12).tolist() == [10, 0, 6, 11, 5, 3, 4, 9, 7, 8, 2, 1]
    assert order(0, 0, 12, "validation").tolist() == [0, 2, 11, 9, 1, 8, 5, 4, 3, 10, 6, 7]


@given(seed=seeds, purpose=purposes, epoch=epochs, start=st.integers(0, 200), count=st.integers(0, 100))
@settings(deadline=None, max_examples=100)
def test_any_stretch_is_a_piece_of_the_one_stream(seed: int, purpose: str, epoch: int, start: int, count: int) -> None:
    stream = words(seed, purpose, epoch, 0, 300)
    assert stream.dtype == np.uint64
    np.testing.assert_array_equal(words(seed, purpose, epoch, start, count), stream[start : start + count])
    numbers = uniform(seed, purpose, epoch, 0, 300)
    np.testing.assert_array_equal(uniform(seed, purpose, epoch, start, count), numbers[start : start + count])


@given(seed=seeds, epoch=epochs, chunk=st.integers(1, 40), start=st.integers(0, 100), count=st.integers(0, 100))
@settings(deadline=None, max_examples=100)
def test_places_of_a_chunk_share_the_cell_of_their_first(
    seed: int, epoch: int, chunk: int, start: int, count: int
) -> None:
    """Whatever stretch is asked for: a batch may begin and end within a chunk."""
    found = uniform(seed, "flip", epoch, start, count, chunk)
    alone = [uniform(seed, "flip", epoch, place - place % chunk, 1)[0] for place in range(start, start + count)]
    assert found.tolist() == alone


@given(seed=seeds, purpose=purposes, epoch=epochs)
@settings(deadline=None, max_examples=30)
def test_numbers_are_the_upper_53_bits_as_fractions(seed: int, purpose: str, epoch: int) -> None:
    numbers = uniform(seed, purpose, epoch, 0, 50)
    assert numbers.dtype == np.float64
    expected = [(word >> 11) / 2**53 for word in words(seed, purpose, epoch, 0, 50).tolist()]
    assert numbers.tolist() == expected
    assert all(0 <= number < 1 for number in expected)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_numbers_are_spread_evenly(purpose: str) -> None:
    """χ² over 64 bins: its mean is 63 and its deviation 11.2, so 120 is 5 deviations away; 20 is nearly 4."""
    counts = np.histogram(uniform(5, purpose, 3, 0, 64_000), bins=64, range=(0, 1))[0]
    assert counts.sum() == 64_000
    assert 20 < float(((counts - 1000) ** 2 / 1000).sum()) < 120


def test_no_two_columns_share_a_word() -> None:
    """Overlapping streams, shifted ones too, would repeat words; 64 bits do not repeat by chance."""
    tables = itertools.product((0, 1, 2, 2012), PURPOSES, (0, 1, 2, 255))
    cells = [word for seed, purpose, epoch in tables for word in words(seed, purpose, epoch, 0, 64).tolist()]
    assert len(set(cells)) == len(cells) == 4 * len(PURPOSES) * 4 * 64


def test_columns_are_uncorrelated() -> None:
    """Between 4,000 independent pairs r deviates by 1/√4000 = 0.016; the largest of 496 stays under 5 deviations."""
    tables = list(itertools.product((0, 1), PURPOSES[:8], (0, 1)))
    rows = np.stack([uniform(seed, purpose, epoch, 0, 4000) for seed, purpose, epoch in tables])
    between = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    assert np.abs(between).max() < 5 / np.sqrt(4000)
    along = [np.corrcoef(row[:-lag], row[lag:])[0, 1] for row in rows for lag in (1, 2, 3, 4)]
    assert np.abs(along).max() < 5 / np.sqrt(4000)


@given(seed=seeds, epoch=epochs, count=st.integers(0, 300))
@settings(deadline=None, max_examples=50)
def test_an_order_holds_every_picture_once(seed: int, epoch: int, count: int) -> None:
    drawn = order(seed, epoch, count)
    assert drawn.dtype == np.int64
    assert sorted(drawn.tolist()) == list(range(count))


def test_every_picture_is_as_likely_first_as_last() -> None:
    """Where each of 8 pictures comes in 4,000 epochs: χ² over 64 cells of 500, of which 49 are free."""
    drawn = np.stack([order(1, epoch, 8) for epoch in range(4000)])
    counts = np.stack([np.bincount(column, minlength=8) for column in drawn.T])
    assert 15 < float(((counts - 500) ** 2 / 500).sum()) < 100


def tf_shuffle(count: int, buffer_size: int, drawn: list[int]) -> list[int]:
    """ShuffleDataset of tf.data, with its ring of `buffer_size` slots and the random numbers given."""
    ring: list[int | None] = [None] * buffer_size
    start = end = held = 0
    upstream, answer = iter(range(count)), []
    for number in drawn:
        while held < buffer_size and (element := next(upstream, None)) is not None:
            ring[end % buffer_size] = element
            end, held = end + 1, held + 1
        offset = (start + number % held) % buffer_size
        answer.append(ring[offset])
        ring[offset] = ring[start % buffer_size]
        start, held = start + 1, held - 1
    return answer


@given(seed=seeds, epoch=epochs, count=st.integers(0, 200), buffer=st.integers(1, 250))
@settings(deadline=None, max_examples=100)
def test_a_shuffle_buffer_is_that_of_tf_data(seed: int, epoch: int, count: int, buffer: int) -> None:
    found = buffered_order(seed, epoch, count, buffer)
    assert found.dtype == np.int64
    assert found.tolist() == tf_shuffle(count, buffer, words(seed, "order", epoch, 0, count).tolist())
    assert sorted(found.tolist()) == list(range(count))
    assert all(picture <= place + buffer - 1 for place, picture in enumerate(found.tolist()))


def test_a_small_buffer_leaves_the_stored_order_nearly_as_it_was() -> None:
    """18 of 18,610: a picture moves by 17 places on average, forward at most 17; a buffer of one moves none."""
    found = buffered_order(0, 0, 18_610, 18)
    moved = np.arange(18_610) - found
    assert moved.min() == -17 and 10 < np.abs(moved).mean() < 25
    assert buffered_order(0, 0, 50, 1).tolist() == list(range(50))
    assert found.tolist() != buffered_order(0, 1, 18_610, 18).tolist()


def test_an_unknown_purpose_is_an_error() -> None:
    with pytest.raises(ValueError):
        words(0, "colour", 0, 0, 1)
