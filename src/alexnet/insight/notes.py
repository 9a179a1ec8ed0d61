"""What should be known about the pictures before a number is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.store import Store

FEW = 10  # training pictures, below which a class is called small
UNEVEN = 3.0  # times as many pictures in the largest class as in the smallest
SURE = 0.05  # half of the interval of an accuracy that is called vague, and more
NAMED = 5  # of a list, before it ends in "…"


def of_pictures(store: Store) -> list[str]:
    """What was left out when files became pictures."""
    found = []
    if store.skipped:
        named = (f"{path} ({reason})" for path, reason in store.skipped.items())
        found.append(f"Left out, as they could not be decoded: {_many(len(store.skipped), 'picture')}: {_list(named)}.")
    if store.strays:
        found.append(f"Passed by, as their names are not those of pictures: {_many(store.strays, 'file')}.")
    return found


def of_training(counts: Mapping[str, int]) -> list[str]:
    """Of the training pictures of each class."""
    found = []
    if alone := [name for name, count in counts.items() if count == 1]:
        found.append(f"Only one training picture: {_list(alone)}. What such pictures share cannot be learnt from one.")
    if small := [f"{name} ({count})" for name, count in counts.items() if 1 < count < FEW]:
        found.append(f"Fewer than {FEW} training pictures: {_list(small)}.")
    most, least = (choose(counts, key=counts.__getitem__) for choose in (max, min))
    if counts[most] >= UNEVEN * counts[least] > 0:
        found.append(
            f"The classes are uneven: {counts[most]:,} training pictures of {most}, {counts[least]:,} of {least}. "
            "A network then leans to the larger ones; --set class_weights=balanced counters that."
        )
    return found


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
