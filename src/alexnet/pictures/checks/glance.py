"""What can be said of a data set without decoding it: what `train` says before it begins, and `check` too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.store import Store

UNEVEN = 5  # times as many pictures as another class has
NAMED = 3  # examples in a line

Counts = Mapping[str, Mapping[str, int]]


def glance(store: Store) -> tuple[str, ...]:
    """Warnings about what a store was made of; microseconds, since all was counted when it was made."""
    return (*of_counts(store.counts), *of_repeated(store.repeated), *of_strays(store.strays))


def of_counts(counts: Counts) -> list[str]:
    """Warnings about the pictures of each class in each part."""
    train, warnings = counts.get(TRAIN, {}), []
    if missing := [name for name, count in train.items() if not count]:
        warnings.append(f"no training pictures of {some(missing)}: training refuses that")
    if single := [name for name, count in train.items() if count == 1]:
        warnings.append(f"a single training picture of {some(single)}: nothing is left to validate with")
    present = {name: count for name, count in train.items() if count}
    if present:
        least, most = (extreme(present, key=present.__getitem__) for extreme in (min, max))
        if present[most] >= UNEVEN * present[least]:
            warnings.append(
                f"uneven classes: {present[most]:,} training pictures of {most}, {present[least]:,} of {least}; "
                "see the scores of each class, or --set class_weights=balanced"
            )
    for part in (VALIDATION, TEST):
        if absent := [name for name, count in counts.get(part, {}).items() if not count and train.get(name)]:
            warnings.append(f"no {part} pictures of {some(absent)}: how well it does there stays unknown")
    return warnings


def of_repeated(repeated: Mapping[str, int]) -> list[str]:
    """Warnings about pictures that are there more than once."""
    texts = {
        "leaks": "{} in several parts: scores come out too good",
        "contradictions": "{} in several classes",
        "copies": "{} too many, copies of others",
    }
    return [
        text.format(pictures(repeated[key])) + "; alexnet check lists them"
        for key, text in texts.items()
        if repeated.get(key)
    ]


def of_strays(count: int) -> list[str]:
    """The warning about files that are no pictures."""
    return [f"files that are no pictures by their names, passed by: {count:,}"] if count else []


def pictures(count: int) -> str:
    """1 picture, 1,200 pictures."""
    return f"{count:,} picture{'s' if count != 1 else ''}"


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed: Sequence[str] = list(names)
    more = f" and {len(listed) - NAMED:,} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
