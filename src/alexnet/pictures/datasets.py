"""From what the user has to samples: a folder, archive, table or name → classes, parts, and a way to read pictures.

DATA is a folder of class folders; a folder with train*/, val*/, test*/ of class folders; a zip or tar of either; a csv
of path and label (and split); a prepared store; or a name. Wrapping folders are looked through.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.pictures import chance
from alexnet.pictures.archives import ARCHIVES, Archive
from alexnet.pictures.sources import Folder, Patterns, Source
from alexnet.pictures.tables import Table

NAMED: dict[str, Callable[[], Source]] = {"patterns": Patterns}


def source(data: str | os.PathLike[str]) -> Source:
    """The source that DATA names. Raises UsageError when there is none, with what was expected."""
    if str(data) in NAMED:
        return NAMED[str(data)]()
    path = Path(data)
    try:
        there = path.exists()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        raise UsageError(f"{data}: no such file or folder, and no data set of that name ({', '.join(NAMED)})")
    if path.is_dir():
        return Folder(path)
    if path.suffix.lower() == ".csv":
        return Table(path)
    if path.name.lower().endswith(ARCHIVES):
        return Archive(path)
    raise UsageError(f"{data}: not a data set; expected a folder, {', '.join(ARCHIVES)} or .csv")


def split(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of what stays for training and of what is set aside: `fraction` of each class, drawn by `seed`.

    At least one picture of every class that has two or more is set aside, and at least one stays.
    """
    drawn = chance.order(seed, 0, len(labels), "validation")
    by_class = drawn[np.argsort(labels[drawn], kind="stable")]
    counts = np.bincount(labels)
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)  # within its class
    wanted = np.minimum(np.maximum(1, np.rint(fraction * counts)), np.maximum(counts - 1, 0))
    aside = place < np.repeat(wanted, counts)
    return np.sort(by_class[~aside]), np.sort(by_class[aside])
