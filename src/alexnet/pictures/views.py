"""What is fed to the network in use: the centre view and the paper's ten views. Training views: `training.augment`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.pictures.decode import Pixels

VIEWS = (1, 10)


def centre(pictures: NDArray[Any], size: int) -> NDArray[Any]:
    """The centre of each picture: [N, S, S, C] → [N, size, size, C]."""
    offset = (pictures.shape[1] - size) // 2
    return pictures[:, offset : offset + size, offset : offset + size]


def views(pictures: Pixels, size: int, count: int = 1) -> Iterator[Pixels]:
    """One (the centre) or ten (four corners and centre, each also mirrored; paper §4.1) views of each picture."""
    if count not in VIEWS:
        raise UsageError(f"--views takes 1 or 10, not {count}")
    if count == 1:
        yield centre(pictures, size)
        return
    end = pictures.shape[1] - size
    for top, left in ((0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)):
        view = pictures[:, top : top + size, left : left + size]
        yield view
        yield view[:, :, ::-1]
