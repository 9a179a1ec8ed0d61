"""Chance is a table: every random choice of a run is a cell of it, and can be looked up without drawing those before.

A cell is a pure function of (seed, purpose, epoch, place in the epoch), made from raw words of the Philox counter
generator, the only stream that numpy promises to keep. So a run gives the same bits wherever it stopped, however many
threads load its pictures, and the same pictures and crops on any number of processes.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

import numpy as np
from numpy.typing import NDArray

PURPOSES = (
    "validation",
    "order",
    "area",
    "aspect",
    "left",
    "top",
    "flip",
    "brightness",
    "red",
    "green",
    "blue",
    "samples",
    "angle",
    "down",
    "right",
    "noise1",
    "noise2",
    "noise3",
    "saliency",
)
"""One column each; new ones go at the end, since a column's number is part of its stream."""


def words(seed: int, purpose: str, epoch: int, start: int, count: int) -> NDArray[np.uint64]:
    """`count` raw 64-bit words of a column, from place `start` of `epoch` on."""
    key = np.array([seed, PURPOSES.index(purpose)], np.uint64)
    counter = np.array([start // 4, 0, 0, epoch], np.uint64)  # one step of the counter makes four words
    skip = start % 4
    generator = np.random.Philox(key=key, counter=counter)
    return generator.random_raw(skip + count)[skip:]


def uniform(seed: int, purpose: str, epoch: int, start: int, count: int, chunk: int = 1) -> NDArray[np.float64]:
    """The same cells as numbers in [0, 1). Each `chunk` places of an epoch in a row share the cell of their first."""
    before = start % chunk
    own = words(seed, purpose, epoch, start - before, before + count)[::chunk]
    cells = np.repeat(own, chunk)[before : before + count]
    return (cells >> np.uint64(11)).astype(np.float64) * 2.0**-53


def order(seed: int, epoch: int, count: int, purpose: str = "order") -> NDArray[np.int64]:
    """A permutation of 0..count-1: the order of the pictures in an epoch."""
    return np.argsort(words(seed, purpose, epoch, 0, count), kind="stable")


def buffered_order(seed: int, epoch: int, count: int, buffer: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1 as tf.data's `shuffle(buffer)` makes one: each next picture is drawn from those in
    the buffer, into which pictures come in order. It only moves pictures by about as many places as the buffer has.
    """
    drawn = words(seed, "order", epoch, 0, count).tolist()
    waiting = deque(range(min(buffer, count)))
    coming = iter(range(len(waiting), count))
    taken = []
    for word in drawn:
        # As in tf.data: the one that is drawn changes places with the oldest, and leaves.
        place = word % len(waiting)
        waiting[0], waiting[place] = waiting[place], waiting[0]
        taken.append(waiting.popleft())
        waiting.extend(islice(coming, 1))
    return np.array(taken, np.int64)
