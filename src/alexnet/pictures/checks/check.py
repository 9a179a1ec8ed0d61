"""What is wrong with a data set, before hours are spent on it: every picture is decoded in full, as training would.

Nothing of the user's is touched. `docs/data.md` says what is told, and by which thresholds.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from alexnet.pictures.archives import Archive
from alexnet.pictures.checks import glance
from alexnet.pictures.checks.glance import pictures, some
from alexnet.pictures.checks.look import misnamed
from alexnet.pictures.checks.surroundings import Surroundings, bare_classes, look_alikes, odd_names, surroundings
from alexnet.pictures.checks.survey import Survey, survey
from alexnet.pictures.layout import PARTS, TEST, TRAIN, UNKNOWN, VALIDATION, Samples
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.making import REFUSED_SHARE
from alexnet.pictures.prepare import source_of, without
from alexnet.pictures.sources import Folder, Source

TINY_SIDE, TINY_SHARE = 16, 8  # pixels; and how many times shorter than that of the median the shorter side is
LONG = 5  # times the shorter side: the square in the middle is a fifth or less of it
HUGE = 25_000_000  # pixels: a quarter of the limit, seconds to decode
UNREAD = frozenset(".heic .heif .jxl .jp2 .j2k .svg .psd .tga .ico .dng .cr2 .nef .arw .dds .exr .hdr".split())

Document = dict[str, Any]


class Entry(NamedTuple):
    """A picture of the data set."""

    path: str
    part: str
    label: str | None  # of a part without labels


def check(data: str | os.PathLike[str], leave_out: Collection[str] = (), limits: Limits = LIMITS) -> Document:
    """Everything that is wrong with DATA, or worth knowing; what `alexnet check --json` prints.

    `leave_out`: paths of pictures that training will leave out too; `limits`: the largest that it takes. Raises
    UsageError for what is no data set.
    """
    started = time.monotonic()
    source = source_of(data, limits=limits)
    samples = without(source.samples(), leave_out)
    entries = [
        Entry(path, part, samples.classes[label] if label != UNKNOWN else None)
        for part, found in samples.parts.items()
        for path, label in found
    ]
    around = surroundings(source)
    strays = samples.strays if isinstance(source, Folder | Archive) else ()
    seen = survey(source, [entry.path for entry in entries], strays)
    counts = _counts(samples, entries, seen)
    document = {
        "data": source.name,
        "pictures": len(entries),
        "classes": {name: {part: counts[part][name] for part in counts} for name in samples.classes},
        "unreadable": [{"path": entries[i].path, "reason": reason} for i, reason in sorted(seen.refused.items())],
        **_copies(entries, seen),
        **_forms(entries, seen),
        **_beside(source, samples, around, seen),
        "odd_names": odd_names(entry.path for entry in entries),
    }
    document["warnings"] = [
        *_of_pictures(document, samples),
        *glance.of_counts(counts),
        *_of_files(document, samples),
    ]
    return document | {"seconds": round(time.monotonic() - started, 3)}


def _counts(samples: Samples, entries: Sequence[Entry], seen: Survey) -> dict[str, dict[str, int]]:
    """Pictures of each class in each part, without those that are refused."""
    kept = Counter((entry.part, entry.label) for i, entry in enumerate(entries) if i not in seen.refused)
    labelled = {entry.part for entry in entries if entry.label is not None}
    return {part: {name: kept[part, name] for name in samples.classes} for part in samples.parts if part in labelled}


# --------------------------------------------------------------------------------------------------------------- copies


def _copies(entries: Sequence[Entry], seen: Survey) -> Document:
    """Groups of pictures that are or show the same; which of them lie in several parts, and in several classes."""
    found = [_group([entries[i] for i in members], exact) for members, exact in _groups(seen)]
    return {
        "duplicates": found,
        "leaks": [group for group in found if len(group["parts"]) > 1],
        "contradictions": [group for group in found if len(group["classes"]) > 1],
    }


def _groups(seen: Survey) -> Iterator[tuple[list[int], bool]]:
    """Members of each group of two or more, and whether their pixels are the same."""
    sizes = np.bincount(seen.alike, minlength=1)
    members = np.argsort(seen.alike, kind="stable")
    ends = np.cumsum(sizes)
    for first in np.flatnonzero(sizes > 1):
        group = members[ends[first] - sizes[first] : ends[first]]
        yield group.tolist(), bool((seen.same[group] == seen.same[group[0]]).all())


def _group(members: Sequence[Entry], exact: bool) -> Document:
    """Paths in the order in which one would keep them: what tests is worth most."""
    members = sorted(members, key=lambda entry: (TEST, VALIDATION, TRAIN).index(entry.part))
    return {
        "kind": "same" if exact else "near",
        "paths": [entry.path for entry in members],
        "parts": [part for part in PARTS if any(entry.part == part for entry in members)],
        "classes": sorted({entry.label for entry in members if entry.label is not None}),
    }


def to_leave_out(document: Document, duplicates: bool = False) -> list[str]:
    """Paths for a skip list: what is refused; with `duplicates` also all but the first of each group of copies, and
    all of a group that lies in several classes, since nobody can tell which is right."""
    found = [entry["path"] for entry in document["unreadable"]]
    for group in document["duplicates"] if duplicates else ():
        first = group["paths"][0]
        found += group["paths"] if len(group["classes"]) > 1 else [path for path in group["paths"] if path != first]
    return list(dict.fromkeys(found))


# ---------------------------------------------------------------------------------------------------------------- forms


def _forms(entries: Sequence[Entry], seen: Survey) -> Document:
    """Formats, modes, sizes, and the pictures that are not as the others."""
    kept = [i for i in range(len(entries)) if i not in seen.refused]
    heads = [(entries[i].path, head) for i in kept if (head := seen.heads[i])]
    sizes = seen.sizes[kept]
    shorter, longer = sizes.min(axis=1, initial=2**31), sizes.max(axis=1, initial=0)
    median = np.median(shorter) if kept else 0
    least = min(median, max(TINY_SIDE, median / TINY_SHARE))  # where all are small, small ones are right

    order = np.argsort(shorter, kind="stable")
    places = {"smallest": 0, "median": len(order) // 2, "largest": -1} if kept else {}

    def where(chosen: Any) -> list[Document]:
        return [
            {"path": entries[kept[i]].path, "width": int(sizes[i, 0]), "height": int(sizes[i, 1])}
            for i in np.flatnonzero(chosen)
        ]

    return {
        "formats": _tally(head.format for _, head in heads),
        "modes": _tally(head.mode for _, head in heads),
        "sizes": {name: sizes[order[place]].tolist() for name, place in places.items()},
        "misnamed": [{"path": path, "format": head.format} for path, head in heads if misnamed(path, head.format)],
        "transparent": [path for path, head in heads if head.transparent],
        "many_frames": [path for path, head in heads if head.frames > 1],
        "tiny": where(shorter < least),
        "long": where(longer >= LONG * shorter),
        "huge": where(sizes.prod(axis=1) >= HUGE),
    }


def _tally(values: Iterable[str]) -> dict[str, int]:
    """How often each occurs, the most frequent first."""
    return dict(Counter(values).most_common())


# --------------------------------------------------------------------------------------------------------------- beside


def _beside(source: Source, samples: Samples, around: Surroundings, seen: Survey) -> Document:
    """What lies beside the pictures."""
    return {
        "strays": list(samples.strays),
        "passed_by": seen.passed_by,
        "hidden": list(around.hidden),
        "links": list(around.links),
        "no_files": list(around.no_files),
        "repeated_names": list(around.repeated),
        "bare_folders": list(around.bare),
    }


def _of_pictures(found: Document, samples: Samples) -> Iterator[str]:
    """Warnings about pictures; what is not among them needs nobody's attention."""
    few = REFUSED_SHARE * found["pictures"]
    copies = sum(len(group["paths"]) - 1 for group in found["duplicates"])
    if len(found["unreadable"]) > few:
        yield f"more than {REFUSED_SHARE:.0%} of the pictures are unreadable: too many for --set unreadable=skip"
    if leaks := len(found["leaks"]):
        yield f"{pictures(leaks)} in several parts, as copies or nearly: scores come out too good"
    if contradictions := len(found["contradictions"]):
        yield f"{pictures(contradictions)} in several classes, as copies or nearly"
    if copies > few and VALIDATION not in samples.parts:
        yield f"{pictures(copies)} are copies of others, or nearly: some will be trained on and validated with"
    if tiny := found["tiny"]:
        yield f"{pictures(len(tiny))} much smaller than the others: {some(entry['path'] for entry in tiny)}"
    if long := found["long"]:
        yield (
            f"{pictures(len(long))} so long that the square in the middle is a fifth or less: "
            f"{some(entry['path'] for entry in long)}; see --set resize=pad"
        )
    for names in look_alikes(samples.classes):
        yield f"classes of almost the same name: {', '.join(names)}"


def _of_files(found: Document, samples: Samples) -> Iterator[str]:
    """Warnings about files that are passed by."""
    if passed := found["passed_by"]:
        yield f"{pictures(len(passed))} passed by, for want of an ending such as .jpg: {some(passed)}"
    if unread := [path for path in found["strays"] if PurePosixPath(path).suffix.lower() in UNREAD]:
        yield f"files of formats that are not read, and need converting: {some(unread)}"
    if bare := bare_classes(found["bare_folders"], samples):
        yield f"folders without a picture, which are no classes: {some(bare)}"
    if repeated := found["repeated_names"]:
        yield f"names that the archive holds more than once; the last counts: {some(repeated)}"
    if others := found["no_files"]:
        yield f"links or devices in the archive, passed by: {some(others)}"
