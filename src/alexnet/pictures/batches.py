"""Which pictures are in which training step, and their way into memory ahead of time.

Training reads one endless sequence of positions: step s takes positions s·B … s·B + B - 1, so every batch is full and
an epoch ends with the step that passes its boundary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from alexnet.pictures import chance
from alexnet.pictures.decode import Pixels
from alexnet.pictures.store import Part

S = TypeVar("S")
T = TypeVar("T")

AHEAD = 4  # batches in memory beyond the one in use


@dataclass(frozen=True)
class Batch:
    """Pictures uint8 [B, S, S, 3], labels int64 [B], and one number in [0, 1) per picture for each purpose.

    Of a step that several processes share these are this one's; `together` has the labels of them all.
    """

    step: int
    places: NDArray[np.int64]
    pictures: Pixels
    labels: NDArray[np.int64]
    chance: dict[str, NDArray[np.float64]]
    together: NDArray[np.int64]


WHOLE = slice(None)  # of a step: what a process takes that is alone


@dataclass(frozen=True)
class Order:
    """The sequence of training: `count` pictures, `batch_size` a step, drawn by `seed`, from a buffer of `shuffle` or,
    if that is 0, from all of them."""

    count: int
    batch_size: int
    seed: int
    shuffle: int = 0

    def epochs(self, step: int) -> int:
        """Epochs complete after `step` steps."""
        return step * self.batch_size // self.count

    def steps(self, epochs: float) -> int:
        """Steps after which `epochs` epochs are complete."""
        return -int(-epochs * self.count // self.batch_size)

    def segments(self, step: int, share: slice = WHOLE) -> Iterator[tuple[int, int, int]]:
        """(epoch, first place, number of places) of each epoch that a step, or a share of it, touches."""
        start, stop, _ = share.indices(self.batch_size)
        position, left = step * self.batch_size + start, stop - start
        while left:
            epoch, place = divmod(position, self.count)
            size = min(left, self.count - place)
            yield epoch, place, size
            position, left = position + size, left - size

    def places(self, step: int) -> NDArray[np.int64]:
        """Which pictures step `step` takes: int64 [B]."""
        return np.concatenate([self._permutation(e)[p : p + n] for e, p, n in self.segments(step)])

    def chance(self, step: int, purposes: Mapping[str, int], share: slice = WHOLE) -> dict[str, NDArray[np.float64]]:
        """The step's cells of the table of chance, or those of a share of it: for each purpose float64 [B] in [0, 1).
        `purposes` says how many places of an epoch in a row share a cell."""
        segments = list(self.segments(step, share))
        return {
            purpose: np.concatenate([chance.uniform(self.seed, purpose, *segment, chunk) for segment in segments])
            for purpose, chunk in purposes.items()
        }

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return _permutation(self.seed, epoch, self.count, self.shuffle)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int, shuffle: int) -> NDArray[np.int64]:
    return chance.buffered_order(seed, epoch, count, shuffle) if shuffle else chance.order(seed, epoch, count)


def batches(
    part: Part, order: Order, purposes: Mapping[str, int], steps: range, threads: int = 1, share: slice = WHOLE
) -> Iterator[Batch]:
    """The batches of some steps, or a share of each, read ahead by `threads` threads; neither how many there are nor
    how steps are shared makes a difference to what comes."""

    def load(step: int) -> Batch:
        places = order.places(step)
        own, together = places[share], labels[places]
        return Batch(step, own, part.read(own), together[share], order.chance(step, purposes, share), together)

    labels = part.labels
    yield from ahead(load, steps, threads)


def in_order(part: Part, batch_size: int) -> Iterator[tuple[Pixels, NDArray[np.int64]]]:
    """Pictures and labels of the whole part, as they lie, each once; the last batch may be smaller."""
    labels = part.labels

    def load(start: int) -> tuple[Pixels, NDArray[np.int64]]:
        places = slice(start, start + batch_size)
        return part.read(places), labels[places]

    yield from ahead(load, range(0, len(part), batch_size))


def ahead(load: Callable[[S], T], items: Iterable[S], threads: int = 1) -> Iterator[T]:
    """load(item) for each item, in order, a few computed in advance on other threads."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(max(1, threads))
    try:
        for item in items:
            waiting.append(pool.submit(load, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
