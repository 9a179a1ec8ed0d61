"""ILSVRC-2012 as people have it: the challenge's archives, packed or not, or the folders of Kaggle's copy.

Whatever form a part is in, its pictures have the same paths and the same order (`train/<WNID>/<file>`, `val/<file>`,
`test/<file>`), so that the same store comes out.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from alexnet.errors import UsageError
from alexnet.pictures.decode import read
from alexnet.pictures.imagenet import classes
from alexnet.pictures.imagenet.devkit import KIT, MAPPING, WNID, Kit, Synset, codes, kit, names
from alexnet.pictures.imagenet.tars import Extent, extents
from alexnet.pictures.layout import TEST, TRAIN, UNKNOWN, VALIDATION, Samples, is_picture, part_of
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.sources import File, Folder, Read, digest
from alexnet.progress import say

Place = Extent | Path
"""Where a picture lies: bytes of an archive, or a file."""

SHORT = {TRAIN: "train", VALIDATION: "val", TEST: "test"}  # as the archives' names and Kaggle's folders have it
TARS = {
    TRAIN: ("ILSVRC2012_img_train.tar",),
    VALIDATION: ("ILSVRC2012_img_val.tar",),
    TEST: ("ILSVRC2012_img_test_v10102019.tar", "ILSVRC2012_img_test.tar"),  # the newer one has some pictures mended
}
KAGGLE = "ILSVRC/Data/CLS-LOC"
FILE = re.compile(r"ILSVRC2012_(val|test)_(\d{8})")


def is_ilsvrc(root: Path) -> bool:
    """Whether a folder holds the challenge's data in one of its forms."""
    known = {MAPPING, KIT, KIT + ".tar.gz", *(tar for tars in TARS.values() for tar in tars)}
    return any(os.path.exists(root / name) for name in known) or _of_synsets(root / "train")


def _of_synsets(folder: Path) -> bool:
    """Whether the folders, or tars, in a folder are classes of the challenge."""
    try:
        found = {name.removesuffix(".tar") for name in os.listdir(folder)}
    except OSError:
        return False
    return bool(found) and found <= classes.synsets().keys()


@dataclass(frozen=True)
class Ilsvrc:
    """The challenge's pictures in a folder: whichever parts lie there."""

    root: Path
    limits: Limits = LIMITS
    name: str = "imagenet"

    @cached_property
    def parts(self) -> dict[str, dict[str, Place]]:
        """Part → path within its part → place of each picture; strays apart. Raises UsageError."""
        found = {part: place for part in SHORT if (place := self._place(part))}
        if not found:
            raise UsageError(
                f"{self.root}: no pictures of the challenge; expected {', '.join(tars[-1] for tars in TARS.values())}, "
                f"or the folders {', '.join(SHORT.values())}"
            )
        missing = [f"{TARS[part][-1]} (or {SHORT[part]}/)" for part in SHORT if part not in found]
        say(f"imagenet: {', '.join(f'{part} from {place.name}' for part, place in found.items())}")
        if missing:
            say(f"imagenet: not there: {', '.join(missing)}")
        return {part: _gathered(place) for part, place in found.items()}

    def _place(self, part: str) -> Path | None:
        """The archive of a part, else the folder that holds it."""
        tars = (self.root / tar for tar in TARS[part])
        folders = (
            self.root / SHORT[part],
            self.root / f"ILSVRC2012_img_{SHORT[part]}",
            self.root / KAGGLE / SHORT[part],
        )
        others = (entry for entry in sorted(self.root.iterdir()) if entry.is_dir() and part_of(entry.name) == part)
        return next((place for place in (*tars, *folders, *others) if place.exists()), None)

    @cached_property
    def kit(self) -> Kit | None:
        return kit(self.root)

    def fingerprint(self) -> str:
        places = [place for part in SHORT if (place := self._place(part))]
        tars = [(place.name, place.stat().st_size, place.stat().st_mtime_ns) for place in places if place.is_file()]
        folders = [Folder(place).fingerprint() for place in places if place.is_dir()]
        return digest(f"{self.name} {self.root.resolve()} {folders} {self.kit}", tars)

    def samples(self) -> Samples:
        """Raises UsageError where anything differs from what the kit says."""
        synsets = self.kit.synsets if self.kit else _seen(self.parts.get(TRAIN, {}))
        number = {synset.wnid: index for index, synset in enumerate(synsets)}
        entries = {}
        for part, found in self.parts.items():
            labels = LABELS[part](found, self.kit, number, self.root)
            paths = (f"{SHORT[part]}/{path}" for path in found)
            entries[part] = tuple(zip(paths, labels, strict=True))
        if TRAIN in entries and self.kit:
            _compare(Counter(label for _, label in entries[TRAIN]), self.kit)
        return Samples(names(synsets), entries, codes=codes(synsets))

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        part_named = {short: part for part, short in SHORT.items()}
        for index, path in enumerate(paths):
            short, _, rest = path.partition("/")
            place = self.parts.get(part_named.get(short, ""), {}).get(rest)
            if isinstance(place, Extent):
                yield index, File(partial(place.read, self.limits), self.limits)
            elif place:
                yield index, File(partial(read, place, self.limits), self.limits)


# ------------------------------------------------------------------------------------------------------- where they lie


def _gathered(place: Path) -> dict[str, Place]:
    """Path within the part, in order → place of each picture. Raises UsageError for pictures that are there twice."""
    found: dict[str, Place] = {}
    for name, where in _inside(place):
        if is_picture(path := PurePosixPath(name)):
            inner = path.name if FILE.match(path.name) else "/".join(path.parts[-2:])
            if inner in found:
                raise UsageError(f"{place}: holds {inner} twice; remove one, or download or unpack it anew")
            found[inner] = where
    if not found:
        raise UsageError(f"{place}: holds no pictures; download or unpack it anew")
    return dict(sorted(found.items()))


def _inside(place: Path) -> Iterator[tuple[str, Place]]:
    """Name and place of every file in a tar or a folder, also of those in the tars of classes that lie in it."""
    if not place.is_dir():
        yield from extents(place)
        return
    for name, _, _ in Folder(place).listing:
        if name.endswith(".tar"):
            yield from ((f"{name.removesuffix('.tar')}/{inner}", where) for inner, where in extents(place / name))
        else:
            yield name, place / name


# --------------------------------------------------------------------------------------------------------------- labels


def _seen(train: Iterable[str]) -> tuple[Synset, ...]:
    """The classes that training pictures show, where nothing else says which there are."""
    found = sorted({path.partition("/")[0] for path in train})
    return tuple(Synset(wnid, wnid) for wnid in found if WNID.fullmatch(wnid))


Number = dict[str, int]


def _of_train(found: dict[str, Place], kit: Kit | None, number: Number, root: Path) -> list[int]:
    if strange := next((path for path, wnid in zip(found, _folders(found), strict=True) if wnid not in number), None):
        raise UsageError(
            f"{root}: the training picture {strange} lies in no class of {kit.file.name if kit else 'the challenge'}; "
            "remove it, or get the development kit that belongs to these pictures"
        )
    return [number[wnid] for wnid in _folders(found)]


def _of_validation(found: dict[str, Place], kit: Kit | None, number: Number, root: Path) -> list[int]:
    """By the ground truth, and by the folders of classes, where there are such, which have to agree."""
    truth = kit.truth if kit else {}
    labels = []
    numbers = _numbers(found, "val", len(truth) or None, root) if truth else dict.fromkeys(found, 0)
    for (path, picture), folder in zip(numbers.items(), _folders(found), strict=True):
        wnid = truth.get(picture, folder)
        if wnid not in number:
            raise UsageError(
                f"{root}: nothing says what the validation picture {path} shows; put {KIT}.tar.gz (or Kaggle's "
                "LOC_val_solution.csv) beside it"
            )
        if folder in number and folder != wnid:
            raise UsageError(
                f"{root}: {path} lies in the folder {folder}, but the ground truth says {wnid}: whoever sorted the "
                "pictures took the kit's numbers for places in the order of WNIDs; unpack ILSVRC2012_img_val.tar anew"
            )
        labels.append(number[wnid])
    return labels


def _of_test(found: dict[str, Place], kit: Kit | None, number: Number, root: Path) -> list[int]:
    """Nobody tells, but for a selection in class folders. A submission has a line for each, so none may be missing."""
    if all(folder in number for folder in _folders(found)):
        return [number[folder] for folder in _folders(found)]
    _numbers(found, "test", None, root)
    return [UNKNOWN] * len(found)


def _folders(found: dict[str, Place]) -> list[str]:
    """The folder in which each picture lies; "" in an archive without folders."""
    return [
        path.rpartition("/")[0] or (place.parent.name if isinstance(place, Path) else "")
        for path, place in found.items()
    ]


LABELS = {TRAIN: _of_train, VALIDATION: _of_validation, TEST: _of_test}


def _numbers(found: Iterable[str], short: str, count: int | None, root: Path) -> dict[str, int]:
    """The numbers of pictures, in order, which begin with 1 and leave none out."""
    numbers = {}
    for path in found:
        match = FILE.match(path)
        if not match or match[1] != short:
            raise UsageError(f"{root}: {path} is not called as the challenge's {short} pictures are; move it away")
        numbers[path] = int(match[2])
    there = set(numbers.values())
    expected = range(1, (count or max(there)) + 1)
    if wrong := sorted(there.symmetric_difference(expected)):
        what = "is missing" if wrong[0] not in there else f"is one more than the ground truth's {count:,}"
        more = f" ({len(there):,} of {len(expected):,} are there)" if wrong[0] not in there else ""
        raise UsageError(
            f"{root}: ILSVRC2012_{short}_{wrong[0]:08d}.JPEG {what}{more}; get ILSVRC2012_img_{short} anew, or the kit "
            "that belongs to it"
        )
    return numbers


def _compare(counts: Counter[int], kit: Kit) -> None:
    """Raise UsageError unless each class has as many training pictures as the kit says, where it says so."""
    wrong = [
        (synset, counts[index])
        for index, synset in enumerate(kit.synsets)
        if synset.train and counts[index] != synset.train
    ]
    if wrong:
        synset, there = wrong[0]
        more = f", and {len(wrong) - 1:,} more classes differ" if len(wrong) > 1 else ""
        raise UsageError(
            f"{kit.file}: says {synset.train:,} training pictures of {synset.wnid}, and there are {there:,}{more}; get "
            f"{TARS[TRAIN][0]} anew, or prepare a selection as a plain folder of class folders"
        )
