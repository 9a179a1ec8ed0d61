"""Compressed weights: what goes in comes out, in about as few bits as information theory allows; lies are refused."""

import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alexnet.weights.coded import CODEBOOK, CODES, GAPS, Coded, decode

BOOK = np.linspace(-1, 1, 16, dtype=np.float32)


def coded(weight: np.ndarray) -> Coded:
    """A weight whose values are places in BOOK, 255 standing for zero."""
    places = np.flatnonzero(weight != 255)
    return Coded(weight.shape, places, weight.flatten()[places], BOOK)


def drawn(shape: tuple[int, ...], kept: float, seed: int = 0) -> Coded:
    rng = np.random.default_rng(seed)
    places = np.flatnonzero(rng.random(np.prod(shape)) < kept)
    return Coded(shape, places, rng.integers(0, 16, len(places)).astype(np.uint8), BOOK)


@given(arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 900)), elements=st.sampled_from([255, 0, 3, 15])))
def test_there_and_back(weight: np.ndarray) -> None:
    expected = np.where(weight == 255, np.float32(0), BOOK[weight % 16])
    np.testing.assert_array_equal(decode(coded(weight).parts(), weight.shape).dense(), expected)


@pytest.mark.parametrize("place", [0, 254, 255, 256, 509, 510, 511, 2_999])
def test_one_value_after_a_long_row_of_zeros(place: int) -> None:
    weight = np.full(3_000, 255, np.uint8)
    weight[place] = 15
    found = decode(coded(weight).parts(), (3_000,)).dense()
    assert found.nonzero()[0].tolist() == [place]
    assert found[place] == 1.0


def test_nothing_but_zeros() -> None:
    assert not decode(coded(np.full((3, 4), 255, np.uint8)).parts(), (3, 4)).dense().any()


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.37])
def test_as_few_bits_as_there_is_information(kept: float) -> None:
    """Places are drawn one by one and values evenly: H(kept) + kept · 4 bits a weight."""
    shape = (400, 1000)
    bits = 8 * sum(part.nbytes for part in drawn(shape, kept).parts().values()) / np.prod(shape)
    entropy = -kept * np.log2(kept) - (1 - kept) * np.log2(1 - kept) + 4 * kept
    assert entropy < bits < 1.03 * entropy + 0.005


def huffman(stream: bytes) -> np.ndarray:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return np.frombuffer(coder.compress(stream) + coder.flush(), np.uint8)


GOOD = drawn((20, 30), 0.1)
LIES = {
    "cut off": {GAPS: GOOD.parts()[GAPS][:-3]},
    "nothing there": {CODES: np.zeros(0, np.uint8)},
    "not deflated": {CODES: np.arange(99, dtype=np.uint8)},
    "something after its end": {GAPS: np.append(GOOD.parts()[GAPS], np.uint8(7))},
    "places outside": {GAPS: huffman(bytes([200] * len(GOOD.codes)))},
    "zeros without end": {GAPS: huffman(bytes([255] * 3 + [0] * len(GOOD.codes)))},
    "too few values": {CODES: huffman(bytes(len(GOOD.codes) - 1))},
    "values outside the codebook": {CODES: huffman(bytes([16] * len(GOOD.codes)))},
    "not finite": {CODEBOOK: np.full(16, np.nan, np.float32)},
    "another type": {CODEBOOK: BOOK.astype(np.float64)},
    "another rank": {CODEBOOK: BOOK.reshape(4, 4)},
    "more values than weights": {CODES: huffman(bytes(601))},
}


@pytest.mark.parametrize("lie", LIES)
def test_parts_that_are_not_those_of_a_weight(lie: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode({**GOOD.parts(), **LIES[lie]}, GOOD.shape)


def test_places_beyond_what_32_bits_hold() -> None:
    """Their sum is 2^32 + 2, which 32 bits would take for 2."""
    gaps = bytes([253] * 16_909_320 + [17])
    assert sum(gaps) + len(gaps) == 2**32 + 2
    with pytest.raises(ValueError, match="places up to 4,294,967,298"):
        decode({**GOOD.parts(), GAPS: huffman(gaps)}, (4200, 4200))


@pytest.mark.parametrize("part", [GAPS, CODES])
def test_a_bomb_takes_no_memory(part: str) -> None:
    bomb = huffman(bytes(200_000_000))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than"):
        decode({**GOOD.parts(), part: bomb}, GOOD.shape)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@given(st.data())
def test_flipped_bytes_are_refused_or_decoded(data: st.DataObject) -> None:
    """A few other weights, perhaps, since bytes have no digest here; never anything but ValueError."""
    parts = {name: part.copy() for name, part in GOOD.parts().items()}
    part = parts[data.draw(st.sampled_from([GAPS, CODES]))]
    part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(ValueError):
        assert decode(parts, GOOD.shape).dense().shape == GOOD.shape
