"""From paths to samples: which part and which class a picture belongs to, by the folders it lies in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from alexnet.errors import UsageError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = {
    TRAIN: re.compile(r"train(ing)?([-_ ]?(set|data|images?|\d+))?", re.IGNORECASE),
    VALIDATION: re.compile(r"val(id(ation)?)?([-_ ]?(set|data|images?|\d+))?", re.IGNORECASE),
    TEST: re.compile(r"test(ing)?([-_ ]?(set|data|images?|\d+))?", re.IGNORECASE),
}
UNKNOWN = -2  # the class of every picture of a part that has no labels, as the test part of a challenge
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .pbm .pgm .ppm .pnm .avif".split()
)


@dataclass(frozen=True)
class Samples:
    """Which pictures there are: classes in order, and for each part the paths with their class index, or UNKNOWN with
    all of them.

    `strays` are files that lie in the source but are no samples; `codes` says what else the classes are called, a list
    as long as theirs for each naming.
    """

    classes: tuple[str, ...]
    parts: dict[str, tuple[tuple[str, int], ...]]
    strays: tuple[str, ...] = ()
    codes: dict[str, tuple[str | int, ...]] = field(default_factory=dict)


def arrange(paths: Iterable[str], what: str) -> Samples:
    """Sort relative paths into parts and classes by the folders they lie in.

    Raises UsageError where there are no pictures, no class folders, or fewer than two classes.
    """
    files = [PurePosixPath(path) for path in sorted(paths)]
    pictures = [path for path in files if is_picture(path)]
    strays = tuple(str(path) for path in files if not is_picture(path) and not is_hidden(path))
    if not pictures:
        raise UsageError(f"{what}: no pictures found; expected folders of pictures, one folder a class")
    labelled = list(_label(pictures, what))
    names = sorted({label for _, label, _ in labelled})
    if "" in names:
        example = next(str(path) for _, label, path in labelled if not label)
        raise UsageError(f"{what}: {example} lies in no class folder; expected one folder a class")
    if len(names) < 2:
        raise UsageError(f"{what}: only one class ({names[0]}) found; a classifier needs two folders or more")
    return samples_of(labelled, names, strays)


def samples_of(
    labelled: Sequence[tuple[str, str, PurePosixPath]], names: list[str], strays: tuple[str, ...]
) -> Samples:
    """Samples of (part, class, path) entries; the classes' numbers are their places among the `names`."""
    number = {name: index for index, name in enumerate(names)}
    parts = {
        part: tuple((str(path), number[label]) for p, label, path in labelled if p == part)
        for part in PARTS
        if any(p == part for p, _, _ in labelled)
    }
    return Samples(tuple(names), parts, strays)


def is_hidden(path: PurePosixPath) -> bool:
    """Whether a file is hidden, so that nobody misses it."""
    return any(piece.startswith((".", "__MACOSX")) for piece in path.parts)


def is_picture(path: PurePosixPath) -> bool:
    """Whether a name is that of a picture, and of none that a system hid."""
    return path.suffix.lower() in SUFFIXES and not is_hidden(path)


def _label(paths: Sequence[PurePosixPath], what: str) -> Iterator[tuple[str, str, PurePosixPath]]:
    """(part, class, path) of each path; class is empty for a picture that lies in no class folder."""
    depth = _wrapping(paths, frozenset(PARTS))
    names = {path.parts[depth] for path in paths if len(path.parts) > depth + 1}
    parts = {name: part for name in names if (part := part_of(name))}
    if TRAIN in parts.values() and len(set(parts.values())) > 1 and len(parts) < len(names):
        other = min(names - parts.keys())
        raise UsageError(
            f"{what}: the folder {other!r} lies beside {', '.join(sorted(parts))}: is it a class or a part?"
        )
    if not parts or len(parts) < len(names):  # no parts, or folders that are none beside them: all are classes
        for path in paths:
            yield TRAIN, _folder(path, depth), path
        return
    for name, part in parts.items():
        inside = [path for path in paths if path.parts[depth] == name]
        below = depth + 1 + _wrapping([PurePosixPath(*path.parts[depth + 1 :]) for path in inside])
        for path in inside:
            yield part, _folder(path, below), path
    yield from ((TRAIN, "", path) for path in paths if len(path.parts) == depth + 1)


def _folder(path: PurePosixPath, depth: int) -> str:
    return path.parts[depth] if len(path.parts) > depth + 1 else ""


def _wrapping(paths: Sequence[PurePosixPath], keep: frozenset[str] = frozenset()) -> int:
    """How many folders wrap everything: a lone folder is looked through if folders, not pictures, lie in it, and it
    is not one of the parts to `keep`."""
    depth = 0
    while all(len(path.parts) > depth + 2 for path in paths) and len({path.parts[depth] for path in paths}) == 1:
        if part_of(paths[0].parts[depth]) in keep:
            break
        depth += 1
    return depth


def part_of(name: str) -> str | None:
    """The part that a folder of this name holds, or None."""
    return next((part for part, pattern in PARTS.items() if pattern.fullmatch(name)), None)
