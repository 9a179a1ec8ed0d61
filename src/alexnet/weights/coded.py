"""Weights of few distinct values, most of them zero, in few bytes.

As in Deep Compression (Han, Mao and Dally 2016): what is not zero is stored as its distance from the one before and
its place in a codebook, both Huffman-coded (deflate without its search for repetitions). In a model file a weight NAME
is then three tensors: NAME.gaps and NAME.codes, uint8, and NAME.codebook, float32.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAPS, CODES, CODEBOOK = PARTS = (".gaps", ".codes", ".codebook")
SKIP = 255  # as a gap: so many zeros, and no value after them

Bytes = NDArray[np.uint8]
Places = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Coded:
    """A float32 weight of `shape` that is `codebook[codes]` at `places` (ascending, row by row) and zero elsewhere."""

    shape: tuple[int, ...]
    places: Places
    codes: Bytes
    codebook: NDArray[np.float32]

    @property
    def count(self) -> int:
        """How many values the weight has, zeros included."""
        return math.prod(self.shape)

    @property
    def values(self) -> NDArray[np.float32]:
        """What is not zero, in the order of its places."""
        return np.take(self.codebook, self.codes, mode="clip")  # a codebook has a value for each: nothing is clipped

    def dense(self) -> NDArray[np.float32]:
        """The weight with its zeros."""
        weight = np.zeros(self.count, np.float32)
        weight[self.places] = self.values
        return weight.reshape(self.shape)

    def parts(self) -> dict[str, NDArray[Any]]:
        """What is stored, by the ending of its name."""
        return {GAPS: _deflated(_gaps(self.places)), CODES: _deflated(self.codes), CODEBOOK: self.codebook}


def decode(parts: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> Coded:
    """Inverse of `Coded.parts`. Takes no more memory than a weight of this shape; raises ValueError for parts that
    are not those of one."""
    count = math.prod(shape)
    gaps = _inflated(parts[GAPS], count + count // SKIP)
    codes = _inflated(parts[CODES], count)
    codebook = parts[CODEBOOK]
    if codebook.dtype != np.float32 or codebook.ndim != 1 or not np.isfinite(codebook).all():
        raise ValueError("its codebook is not a list of finite float32")
    ends = gaps != SKIP
    steps = gaps + ends
    reached = int(steps.sum(dtype=np.int64))  # before they are summed one by one, in as few bits as places need
    if reached > count:
        raise ValueError(f"places up to {reached:,} of {count:,}")
    places: Places = np.cumsum(steps, dtype=np.int32 if count < 2**31 else np.int64)
    if not ends.all():
        places = places[ends]
    np.subtract(places, 1, out=places)
    if len(places) != len(codes):
        raise ValueError(f"{len(places):,} places for {len(codes):,} values")
    if len(codes) and codes.max() >= len(codebook):
        raise ValueError(f"the value {codes.max()} of a codebook of {len(codebook)}")
    return Coded(shape, places, codes, codebook)


def _gaps(places: Places) -> Bytes:
    """How many zeros lie before each value; SKIP stands for so many zeros of a longer row of them."""
    zeros = np.diff(places, prepend=-1) - 1
    ends = np.cumsum(zeros // SKIP + 1) - 1
    stream = np.full(ends[-1] + 1 if len(ends) else 0, SKIP, np.uint8)
    stream[ends] = zeros % SKIP
    return stream


def _deflated(stream: Bytes) -> Bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return np.frombuffer(coder.compress(stream.tobytes()) + coder.flush(), np.uint8)


def _inflated(stored: NDArray[Any], most: int) -> Bytes:
    """At most so many bytes. Raises ValueError."""
    coder = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        stream = coder.decompress(np.ascontiguousarray(stored).tobytes(), max(1, most))
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not coder.eof and coder.decompress(coder.unconsumed_tail, 1):
        raise ValueError(f"more than {most:,} values")
    if not coder.eof or coder.unused_data:
        raise ValueError("its stream does not end where it should")
    return np.frombuffer(stream, np.uint8)
