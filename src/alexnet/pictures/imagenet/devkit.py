"""What the challenge says of its data: the development kit of 2012, and the tables that Kaggle gives out instead.

The trap: the kit numbers its classes 1 to 1,000 by its own order (`ILSVRC2012_ID`), and its ground truth and whoever
judges a submission speak in those numbers. Networks number them 0 to 999 by the order of WordNet's numbers (WNID).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alexnet.errors import UsageError
from alexnet.pictures.archives import Archive
from alexnet.pictures.imagenet import classes
from alexnet.pictures.imagenet.matlab import structures

KIT = "ILSVRC2012_devkit_t12"
META, TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"
MAPPING, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
KIT_BYTES = 2**24  # of a file of the kit, at most
WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Synset:
    """A class: its number in WordNet, its words, its number in the kit and how many training pictures it has, both 0
    where only Kaggle's tables are there, which do not say."""

    wnid: str
    words: str
    number: int = 0
    train: int = 0


@dataclass(frozen=True)
class Kit:
    """The classes, sorted by WNID; the class of each validation picture, by its number from 1 on, as far as known; and
    the file that says so."""

    synsets: tuple[Synset, ...]
    truth: dict[int, str]
    file: Path


def kit(root: Path) -> Kit | None:
    """The kit in a folder, packed or not, or Kaggle's tables; None where there is neither. Raises UsageError for one
    that is damaged."""
    packed = next((file for ending in (".tar.gz", ".tar", ".tgz") if (file := root / (KIT + ending)).is_file()), None)
    folders = (folder for folder in (root / KIT / "data", root / "data", root) if (folder / META).is_file())
    if packed:
        return _official(packed, _packed(packed))
    if folder := next(folders, None):
        files = {name: folder / name for name in (META, TRUTH)}
        return _official(folder, {name: _bytes(file) for name, file in files.items() if file.is_file()})
    return _kaggles(root) if (root / MAPPING).is_file() else None


def _packed(file: Path) -> dict[str, bytes]:
    archive, found = Archive(file), {}
    with archive.whole():
        for path, size, contents in archive.members():
            name = path.rpartition("/")[2]
            if name in (META, TRUTH):
                if size > KIT_BYTES:
                    raise UsageError(f"{file}: {path} is larger than it can be; download the development kit anew")
                found[name] = contents()
    return found


def _bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(KIT_BYTES)


def _official(file: Path, found: dict[str, bytes]) -> Kit:
    try:
        leaves = [entry for entry in structures(found[META], "synsets") if not entry["num_children"]]
        synsets = [
            Synset(entry["WNID"], entry["words"], int(entry["ILSVRC2012_ID"]), int(entry["num_train_images"]))
            for entry in leaves
        ]
        truth = [int(line) for line in found[TRUTH].decode("ascii").split()]
    except KeyError as error:
        raise UsageError(
            f"{file}: holds no {error.args[0]}; download the development kit of task 1 and 2 anew"
        ) from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file}: {META} or {TRUTH}: {error}; download the development kit anew") from None
    wnids = {synset.number: synset.wnid for synset in synsets}
    if sorted(wnids) != list(range(1, len(synsets) + 1)) or not all(map(WNID.fullmatch, wnids.values())):
        raise UsageError(f"{file}: {META}: its classes are not numbered from 1 on; download the development kit anew")
    if wrong := [number for number in truth if number not in wnids]:
        raise UsageError(f"{file}: {TRUTH} speaks of a class {wrong[0]}, and there are {len(wnids):,}")
    truths = {picture: wnids[number] for picture, number in enumerate(truth, start=1)}
    return Kit(tuple(sorted(synsets, key=lambda synset: synset.wnid)), truths, file)


def _kaggles(root: Path) -> Kit:
    """Lines of WNID and words; rows of picture and, for each thing on it, WNID and four numbers of its place."""
    try:
        lines = (root / MAPPING).read_text("utf-8").splitlines()
        synsets = [Synset(wnid, words) for wnid, _, words in (line.partition(" ") for line in lines if line)]
        truth = dict(_solutions(root / SOLUTION)) if (root / SOLUTION).is_file() else {}
        if not all(WNID.fullmatch(synset.wnid) for synset in synsets):
            raise ValueError(f"{MAPPING} does not begin its lines with numbers of WordNet")
        if strange := set(truth.values()) - {synset.wnid for synset in synsets}:
            raise ValueError(f"{SOLUTION} names {min(strange)}, which {MAPPING} does not")
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise UsageError(f"{root}: {error}; download Kaggle's tables anew") from None
    return Kit(tuple(sorted(synsets, key=lambda synset: synset.wnid)), truth, root / MAPPING)


def _solutions(file: Path) -> Iterator[tuple[int, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield int(row["ImageId"].rpartition("_")[2]), row["PredictionString"].split()[0]


def names(synsets: tuple[Synset, ...]) -> tuple[str, ...]:
    """A readable name of each class, no two the same: the one that published weights have (`classes`), else the first
    of its words."""
    known = classes.synsets()
    found = [known.get(synset.wnid) or synset.words.split(",")[0].strip() or synset.wnid for synset in synsets]
    return tuple(
        name if found.count(name) == 1 else f"{name} {synset.wnid}" for name, synset in zip(found, synsets, strict=True)
    )


def codes(synsets: tuple[Synset, ...]) -> dict[str, tuple[str | int, ...]]:
    """What else the classes are called: WNID, and the kit's number where it is known."""
    found: dict[str, tuple[str | int, ...]] = {"WNID": tuple(synset.wnid for synset in synsets)}
    if all(synset.number for synset in synsets):
        found[NUMBER] = tuple(synset.number for synset in synsets)
    return found


NUMBER = "ILSVRC2012_ID"
