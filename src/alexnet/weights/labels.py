"""Names of classes from a file, and what to do when there is none or when names repeat."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from alexnet.errors import UsageError
from alexnet.pictures.imagenet import classes as imagenet

MOST = 2**22  # bytes of a file of names
WNID = re.compile(r"(n\d{8})(?:[\s,]+(.*))?")


def read(path: Path) -> tuple[str, ...]:
    """The names in a file, in the order of the outputs: one a line; or lines of WordNet number and name, as in Caffe's
    synset_words.txt; or, ending in .csv, rows of number and name. ImageNet's synsets take the names of `imagenet`.

    Raises UsageError.
    """
    try:
        if path.stat().st_size > MOST:
            raise UsageError(f"{path}: too large for a file of class names")
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise UsageError(f"{path}: {reason}; expected a file of class names, one a line") from None
    lines = [line.strip() for line in lines if line.strip()]
    if path.suffix.lower() == ".csv":
        lines = [_row(path, row) for row in csv.reader(lines)]
    return distinct([_named(line) for line in lines])


def _row(path: Path, row: list[str]) -> str:
    """The name in a row of a table; a first column of numbers counts the rows, or holds WordNet's."""
    match row:
        case [name]:
            return name
        case [number, name] if number.strip().isdigit():
            return name
        case [number, name] if WNID.fullmatch(number.strip()):
            return f"{number} {name}"
    raise UsageError(
        f"{path}: {','.join(row)!r:.60}: expected rows of a name, or of a number and a name, without a heading"
    )


def _named(line: str) -> str:
    found = WNID.fullmatch(line.strip())
    return imagenet.synsets().get(found[1], found[2] or found[1]) if found else line.strip()


def default(count: int) -> tuple[str, ...]:
    """Names where there are none: ImageNet's for 1,000 outputs, since all who publish such weights order them alike."""
    return imagenet.names() if count == 1000 else tuple(f"class {number}" for number in range(count))


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which no two are the same: those that repeat get the number of their output behind them."""
    counts = Counter(names)
    named = tuple(f"{name} ({number})" if counts[name] > 1 else name for number, name in enumerate(names))
    return named if len(set(named)) == len(named) else distinct(named)
