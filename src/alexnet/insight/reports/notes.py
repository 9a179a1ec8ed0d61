"""What should be known about the pictures before a number is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from alexnet.pictures.checks.glance import glance
from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.store import Store

FEW = 10  # training pictures, below which a class is called small
SURE = 0.05  # half of the interval of an accuracy that is called vague, and more
NAMED = 5  # of a list, before it ends in "…"


def of_pictures(store: Store) -> list[str]:
    """What was left out when files became pictures, and what `train` and `check` warn of."""
    found = []
    if store.skipped:
        named = (f"{path} ({reason})" for path, reason in store.skipped.items())
        found.append(f"Left out, as they could not be decoded: {_many(len(store.skipped), 'picture')}: {_list(named)}.")
    return found + [f"{warning[0].upper()}{warning[1:]}." for warning in glance(store)]


def of_training(counts: Mapping[str, int]) -> list[str]:
    """Of the training pictures of each class."""
    small = [f"{name} ({count})" for name, count in counts.items() if 1 < count < FEW]
    return [f"Fewer than {FEW} training pictures: {_list(small)}."] if small else []


def of_evaluation(split: str, counts: Mapping[str, int], interval: tuple[float, float], chosen: bool) -> list[str]:
    """Of the part that the accuracy is of; `chosen`: that part chose the epoch that was kept."""
    found = []
    if split == TRAIN:
        found.append("The accuracy is that of training pictures: it says nothing about pictures never seen.")
    if split == VALIDATION and chosen:
        found.append(
            "The accuracy is that of the validation part, which chose the epoch: expect a little less elsewhere."
        )
    if split == TEST and chosen:
        found.append("The recipe watched the test part after each epoch; it chose nothing, but was seen.")
    if absent := [name for name, count in counts.items() if count == 0]:
        found.append(f"No picture of {_list(absent)} was in the {split} part, so nothing is known about that.")
    low, high = interval
    if high - low > 2 * SURE:
        found.append(
            f"{_many(sum(counts.values()), 'picture')} leave the accuracy vague: with others like them anything from "
            f"{100 * low:.0f} to {100 * high:.0f} % would be no surprise."
        )
    return found


def _list(names: Iterable[str]) -> str:
    first = list(islice(names, NAMED + 1))
    return ", ".join(first[:NAMED]) + (", …" if len(first) > NAMED else "")


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
