"""Pictures that show the same: saved anew, scaled, cropped or turned a little, lighter or darker.

Of every picture a sketch is kept, 296 bytes. Two whose hashes differ in at most RADIUS of 64 bits are compared: how
much of one is the other, made lighter or darker, shifted, scaled, sheared and turned by a little. A mirrored picture
is another picture: an arrow to the left is none to the right. `docs/data.md` says what is found and what is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from alexnet.pictures.decode import Pixels
from alexnet.progress import progress

SIDE = 32  # of the thumbnails that sketches are made from
GREY, COLOUR = 16, 4  # sides of the grey values and of the colours in a sketch
RADIUS = 10  # bits
# Four bands of 16 bits: of two hashes that differ in 10 bits, one of the first three bands differs in at most 2, or the
# last in at most 1.
BANDS = ((0, 2), (16, 2), (32, 2), (48, 1))
EXPLAINED = 0.9  # share of the variance of each that the other explains; `benchmarks/near_duplicates.py` chose it
FLAT = 5.0  # grey levels of deviation below which a picture shows nothing that could be compared
RECOLOURED, COLOURLESS = 24.0, 4.0  # differences in Cb and Cr, root mean square, in 0..255
# So that sets whose pictures are almost the same, X-rays for one, end in time: with how many of one bucket a picture's
# hash is compared, and with how many pictures in vain.
MOST, TRIES = 4096, 100
CHUNK, BLOCK = 2**20, 4096  # candidates, and pairs to compare, in memory at once

Bits = NDArray[np.uint64]
Places = NDArray[np.int64]
Floats = NDArray[np.float32]

_steps = np.arange(SIDE)
COSINES = np.cos(np.pi * (2 * _steps + 1) * _steps[:8, None] / (2 * SIDE)).astype(np.float32)
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32)


@dataclass(frozen=True)
class Sketches:
    """Of N pictures: hashes uint64 [N]; grey values uint8 [N, 16, 16]; colours int8 [N, 4, 4, 2], Cb and Cr."""

    hashes: Bits
    grey: NDArray[np.uint8]
    colours: NDArray[np.int8]

    @property
    def flat(self) -> NDArray[np.bool_]:
        """Which of them show nothing."""
        flat: NDArray[np.bool_] = self.grey.std(axis=(1, 2), dtype=np.float32) < FLAT
        return flat


def sketch(thumbnails: Pixels) -> Sketches:
    """Sketches of thumbnails uint8 [N, 32, 32, 3].

    The hash is pHash: of the 64 lowest frequencies of the cosine transform, which lie above their median (Zauner,
    Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
    """
    luma, *chroma = np.moveaxis(thumbnails.astype(np.float32) @ YCBCR.T, -1, 0)
    frequencies = (COSINES @ luma @ COSINES.T).reshape(-1, 64)
    bits = frequencies > np.median(frequencies[:, 1:], axis=1, keepdims=True)
    colours = np.stack([_reduced(channel, COLOUR) for channel in chroma], axis=-1)
    return Sketches(
        np.packbits(bits, axis=1).view(np.uint64)[:, 0],
        np.rint(_reduced(luma, GREY)).clip(0, 255).astype(np.uint8),
        np.rint(colours).clip(-128, 127).astype(np.int8),
    )


def joined(sketches: list[Sketches]) -> Sketches:
    """One after the other."""
    none = sketch(np.zeros((0, SIDE, SIDE, 3), np.uint8))
    parts = [none, *sketches]
    return Sketches(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("hashes", "grey", "colours"))
    )


def _reduced(channel: Floats, side: int) -> Floats:
    block = SIDE // side
    reduced: Floats = channel.reshape(-1, side, block, side, block).mean(axis=(2, 4))
    return reduced


def groups(sketches: Sketches) -> Places:
    """For each picture the first of the pictures that show the same, int64 [N]; itself where there is no other.

    Each hash is compared with those in 428 buckets of 65,536: 21 s of one core for 400,000 pictures.
    """
    rows = np.flatnonzero(~sketches.flat)
    first, tries = np.arange(len(sketches.hashes)), np.zeros(len(sketches.hashes), np.int64)
    total = sum(len(_masks(radius)) for _, radius in BANDS)
    for chunks in progress(_candidates(sketches.hashes[rows]), total, "comparing"):
        for left, right in chunks:
            pairs = np.stack([rows[left], rows[right]])
            pairs = pairs[:, first[pairs[0]] != first[pairs[1]]]
            for start in range(0, pairs.shape[1], BLOCK):
                a, b = pairs[:, start : start + BLOCK]
                worth = (first[a] != first[b]) & (tries[a] < TRIES)
                a, b = a[worth], b[worth]
                alike = same(sketches, a, b)
                first = _united(first, a[alike], b[alike])
                np.add.at(tries, a[~alike], 1)
    return first


# ----------------------------------------------------------------------------------------------------------- candidates


def _masks(radius: int) -> list[int]:
    """All numbers of 16 bits with at most `radius` of them set."""
    return [sum(1 << bit for bit in bits) for count in range(radius + 1) for bits in combinations(range(16), count)]


def _candidates(hashes: Bits) -> Iterator[Iterator[tuple[Places, Places]]]:
    """Pairs of places whose hashes differ in at most RADIUS bits, some more than once, by multi-index hashing (Norouzi,
    Punjani, Fleet, Fast Search in Hamming Space with Multi-Index Hashing, 2012)."""
    for shift, radius in BANDS:
        keys = ((hashes >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=2**16))])
        for mask in _masks(radius):
            yield _pairs(hashes[order], keys[order], order, starts, mask)


def _pairs(hashes: Bits, keys: Places, order: Places, starts: Places, mask: int) -> Iterator[tuple[Places, Places]]:
    """Close pairs of the buckets that differ by `mask`, each pair of buckets once, in chunks."""
    others = keys ^ mask
    begins = starts[others] if mask else np.arange(1, len(keys) + 1)
    counts = np.where(others >= keys, np.minimum(starts[others + 1] - begins, MOST), 0)
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(CHUNK, ends[-1] if len(ends) else 0, CHUNK))
    for rows in np.split(np.flatnonzero(counts), np.searchsorted(np.flatnonzero(counts), cuts)):
        left = np.repeat(rows, counts[rows])
        right = np.arange(len(left)) + np.repeat(begins[rows] - (np.cumsum(counts[rows]) - counts[rows]), counts[rows])
        close = np.bitwise_count(hashes[left] ^ hashes[right]) <= RADIUS
        yield order[left[close]], order[right[close]]


def _united(first: Places, left: Places, right: Places) -> Places:
    """The groups once the pairs are in one each."""
    while (apart := first[left] != first[right]).any():
        one, other = first[left[apart]], first[right[apart]]
        first[np.maximum(one, other)] = np.minimum(one, other)
        while (first != (higher := first[first])).any():
            first = higher
    return first


# ----------------------------------------------------------------------------------------------------------- comparison


def same(sketches: Sketches, left: Places, right: Places) -> NDArray[np.bool_]:
    """Which of the pairs show the same."""
    a, b = (sketches.grey[side].astype(np.float32) for side in (left, right))
    one, other = (sketches.colours[side].astype(np.float32) for side in (left, right))
    alike: NDArray[np.bool_] = np.minimum(explained(a, b), explained(b, a)) >= EXPLAINED
    return alike & _coloured_alike(one, other)


def explained(a: Floats, b: Floats) -> Floats:
    """Share of the variance of each of `b`, [K, S, S], that the same of `a` explains, lighter or darker, shifted,
    scaled, sheared and turned by a little: the tangent distance of Simard, LeCun and Denker (1993), on one side."""
    count, side = a.shape[:2]
    along_y, along_x = np.gradient(a, axis=(1, 2))
    middle = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = middle[None, None, :], middle[None, :, None]
    ways = [a, along_x, along_y, along_x * x, along_y * y, along_x * y, along_y * x]
    tangents = _centred(np.stack(ways, axis=-1).reshape(count, side * side, len(ways)))
    values = _centred(b.reshape(count, side * side, 1))
    squares = tangents.transpose(0, 2, 1) @ tangents
    # A little of its own size on the diagonal: the ways of a picture of stripes depend on one another.
    scale = np.trace(squares, axis1=1, axis2=2)[:, None, None]
    squares += (1e-5 * scale + 1e-6) * np.eye(len(ways), dtype=np.float32)
    rest = values - tangents @ np.linalg.solve(squares, tangents.transpose(0, 2, 1) @ values)
    shares: Floats = 1 - (rest**2).sum(axis=(1, 2)) / np.maximum((values**2).sum(axis=(1, 2)), 1e-6)
    return shares


def _centred(values: Floats) -> Floats:
    centred: Floats = values - values.mean(axis=1, keepdims=True)
    return centred


def _coloured_alike(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """Whether colours agree; to a picture in grey all do. The same shirt in red and in blue is no duplicate."""
    difference, size, size_of_other = (np.sqrt((c**2).mean(axis=(1, 2, 3))) for c in (one - other, one, other))
    alike: NDArray[np.bool_] = (difference < RECOLOURED) | (np.minimum(size, size_of_other) < COLOURLESS)
    return alike
