"""From what the user has to samples: a folder, archive, table or name → classes, parts, and a way to read pictures.

DATA is a folder of class folders; a folder with train*/, val*/, test*/ of class folders; a zip or tar of either; a csv
of path and label (and split); a folder of the hub's parquet files; a prepared store; or a name. Wrapping folders are
looked through.

A name stands for a file or folder in the current folder or in the cache's `data`; nothing is downloaded. Only those of
Hugging Face's hub, as hf:microsoft/cats_vs_dogs, hf:uoft-cs/cifar10 and hf:ILSVRC/imagenet-1k, are fetched, once, by
its library (the extra `data`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.environment import cache_folder
from alexnet.errors import UsageError
from alexnet.pictures import chance, patterns
from alexnet.pictures.archives import ARCHIVES, Archive
from alexnet.pictures.hub.datasets import PREFIX, Repository
from alexnet.pictures.hub.source import HubSource
from alexnet.pictures.imagenet import classes as imagenet
from alexnet.pictures.imagenet.ilsvrc import TARS
from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.published import BINARY, CIFAR_CLASSES, published
from alexnet.pictures.sources import Folder, Patterns, Source
from alexnet.pictures.tables import Table


@dataclass(frozen=True)
class Named:
    """A data set known by its name: what its file or folder is called, where to get it, and what is in it; `inside`:
    files of which its folder, whatever it is called, holds one or more."""

    files: tuple[str, ...]
    download: str
    classes: tuple[str, ...]
    parts: dict[str, int]
    inside: tuple[str, ...] = ()

    def find(self, origin: Path | None = None) -> Path | None:
        """Its file or folder: in `origin`, or else in the current folder or the cache's `data`; None if not there."""
        places = (folder / file for folder in ((origin,) if origin else folders()) for file in self.files)
        return next((place for place in places if place.exists()), None)


PATTERNS, IMAGENET = "patterns", "imagenet"

NAMED = {
    PATTERNS: Named((), "", patterns.CLASSES, patterns.COUNTS),
    "cifar10": Named(
        files=("cifar-10-binary.tar.gz", BINARY, "cifar10"),
        download="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        classes=CIFAR_CLASSES,
        parts={TRAIN: 50_000, TEST: 10_000},
    ),
    "cats-vs-dogs": Named(
        files=("kagglecatsanddogs_5340.zip", "kagglecatsanddogs_3367a.zip", "cats-vs-dogs"),
        download="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
        classes=("cat", "dog"),
        parts={TRAIN: 18_610, TEST: 4_652},
    ),
    "cats-and-dogs": Named(
        files=("cat-and-dog.zip", "cat-and-dog", "cats-and-dogs", "cats-and-dogs.zip", "cats-and-dogs.tar"),
        download="https://www.kaggle.com/datasets/tongpython/cat-and-dog",
        classes=("cats", "dogs"),
        parts={TRAIN: 8_005, TEST: 2_023},
    ),
    IMAGENET: Named(
        files=("imagenet", "ILSVRC2012"),
        download="https://www.image-net.org/challenges/LSVRC/2012/",
        classes=imagenet.names(),
        parts={TRAIN: 1_281_167, VALIDATION: 50_000, TEST: 100_000},
        inside=tuple(tars[-1] for tars in TARS.values()),
    ),
}

HUB = {
    "hf:microsoft/cats_vs_dogs": ("cat", "dog"),
    "hf:uoft-cs/cifar10": CIFAR_CLASSES,
    "hf:ILSVRC/imagenet-1k": imagenet.names(),
}
"""Those data sets of the hub that were looked at, with their classes; others are taken by their names too."""


def folders() -> tuple[Path, Path]:
    """Where the files of named data sets are looked for, the first found wins."""
    return Path(), cache_folder() / "data"


def located(data: str | os.PathLike[str], origin: Path | None = None) -> str:
    """DATA so that it means the same from any folder: an absolute path, `patterns` or a name of the hub. Raises
    UsageError for a name whose files are not here, or not in the folder `origin`, where that is given."""
    if origin is not None:
        return _located_in(data, origin)
    if str(data) == PATTERNS or str(data).startswith(PREFIX):
        return str(data)
    named = NAMED.get(str(data))
    if named is None or (Path(data) / "store.json").is_file():  # what is prepared wins over what it was made of
        return os.path.realpath(data)  # pathlib's raises where links lead round in a circle
    found = named.find()
    if found is None:
        here, cache = (folder.resolve() for folder in folders())
        raise UsageError(
            f"{data}: {named.files[0]} lies neither in {here} nor in {cache}; download it from {named.download} and "
            "put it there"
        )
    return str(found.resolve())


def _located_in(data: str | os.PathLike[str], origin: Path) -> str:
    named = NAMED.get(str(data))
    if named is None or not named.files:
        known = ", ".join(name for name in NAMED if NAMED[name].files)
        raise UsageError(
            f"--from says where the files of a data set known by name lie ({known}); {data} is none of them"
        )
    found = origin if _is_named(origin, str(data)) else named.find(origin)
    if found is None:
        raise UsageError(
            f"{origin}: holds none of {', '.join((*named.files, *named.inside))}; download {data} from {named.download}"
        )
    return str(found.resolve())


def _is_named(folder: Path, name: str) -> bool:
    """Whether a folder is itself the data set of that name."""
    found = published(folder) if folder.is_dir() else None
    if isinstance(found, HubSource):
        return name == IMAGENET and found.is_imagenet
    return found is not None and found.name == name


def source(data: str | os.PathLike[str], limits: Limits = LIMITS) -> Source:
    """The source that DATA names. Raises UsageError when there is none, with what was expected."""
    if str(data) == PATTERNS:
        return Patterns()
    if str(data).startswith(PREFIX):
        return HubSource(Repository(str(data).removeprefix(PREFIX)), limits)
    path = Path(located(data) if str(data) in NAMED else data)
    try:
        there = path.exists()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        raise UsageError(f"{data}: no such file or folder, and no data set of that name ({', '.join(NAMED)})")
    if path.suffix.lower() == ".csv":
        return Table(path, limits)
    if not path.is_dir() and not path.name.lower().endswith(ARCHIVES):
        raise UsageError(f"{data}: not a data set; expected a folder, {', '.join(ARCHIVES)} or .csv")
    return published(path, limits) or (Folder(path, limits) if path.is_dir() else Archive(path, limits))


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
