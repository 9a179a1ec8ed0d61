"""One of several shares of many pictures: so many jobs that know nothing of each other do the work of one.

A shard is a run of whole batches, cut by place among the pictures, refused ones included: each batch is the one that
would have been computed without shards, so that the shards' answers, one behind the other, are the same bytes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alexnet.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Share `number` of `of`, counted from 0."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that "0/8" to "7/8" name. Raises UsageError."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not found:
            raise UsageError(f"--shard {text}: expected i/n, such as 0/8 for the first of eight")
        number, of = map(int, found.groups())
        if number >= of:
            counted = f"0/{of} to {of - 1}/{of}" if of else "0/8 to 7/8, for eight"
            raise UsageError(f"--shard {text}: shards are counted from 0: {counted}")
        return cls(number, of)

    def places(self, count: int, batch: int) -> slice:
        """Which of `count` pictures these are; none where there are more shards than batches."""
        batches = -(-count // batch)
        first, last = (batches * number // self.of * batch for number in (self.number, self.number + 1))
        return slice(first, min(last, count))


WHOLE = Shard(0, 1)


class Parts:
    """What shards left in a folder, to be put one behind the other in the order of the pictures. Each part comes with
    the name of its first picture, None where it has none."""

    def __init__(self, folder: Path, parts: Iterable[tuple[str | None, Path]]) -> None:
        self.folder, self.left = folder, defaultdict[str | None, list[Path]](list)
        for first, path in parts:
            self.left[first].append(path)
        self.count = sum(map(len, self.left.values()))
        self.left.pop(None, None)
        if not self.count:
            raise UsageError(f"{folder}: nothing there that --shard wrote")

    def at(self, paths: Sequence[str], place: int) -> Path:
        """The part that begins with the picture at a place. Raises UsageError where there is none."""
        if found := self.left.get(paths[place]):
            return found.pop(0)
        raise UsageError(
            f"{self.folder}: no part begins with {paths[place]}, picture {place + 1:,} of {len(paths):,}: a shard is "
            "missing, or these are other pictures than those that were shared out"
        )

    def finish(self) -> None:
        """Raise UsageError where a part was not wanted."""
        for found in self.left.values():
            for path in found:
                raise UsageError(f"{path}: holds pictures that other parts hold too, or none of these; take it away")
