"""What lies in a data set beside its pictures, and what is odd about names: told from names alone."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from alexnet.pictures.archives import Archive
from alexnet.pictures.layout import UNKNOWN, Samples, is_hidden, is_picture
from alexnet.pictures.sources import Folder, Source

# Line breaks and the like, bytes that are not UTF-8, what looks like an option, what Windows cannot have.
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]|(^|/)[- ]|[ .](/|$)")


@dataclass(frozen=True)
class Surroundings:
    """Paths in a folder or an archive: `hidden` files, which systems make; `links` in a folder, which are followed;
    `no_files` in an archive, links and devices, which are passed by; names that an archive holds more than once
    (`repeated`); `bare` folders, in which and below which no picture lies."""

    hidden: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    no_files: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()


def surroundings(source: Source) -> Surroundings:
    """What lies around the pictures of a source; nothing is known of sources other than folders and archives."""
    match source:
        case Folder():
            files = [path for path, _, _ in source.listing]
            folders = _above(files) | set(_folders(source.root))
            links = [path for path in sorted({*files, *folders}) if os.path.islink(source.root / path)]
            return Surroundings(hidden=_hidden(files), links=tuple(links), bare=_bare(files, folders))
        case Archive():
            names = defaultdict(list)
            for name, kind in source.listing:
                names[kind].append(name)
            files, count = names["file"], Counter(names["file"])
            return Surroundings(
                hidden=_hidden(files),
                no_files=(*names["link"], *names["special"]),
                repeated=tuple(name for name in count if count[name] > 1),
                bare=_bare(files, _above([*files, *names["link"]]) | set(names["folder"])),
            )
        case _:
            return Surroundings()


def _folders(root: os.PathLike[str]) -> Iterable[str]:
    for folder, inner, _ in os.walk(root):
        yield from (os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/") for name in inner)


def _above(paths: Iterable[str]) -> set[str]:
    """All folders that some paths lie in."""
    parents = {path.rpartition("/")[0] for path in paths}
    return {str(folder) for parent in parents for folder in [PurePosixPath(parent), *PurePosixPath(parent).parents]} - {
        ".",
        "/",
    }


def _hidden(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for path in paths if is_hidden(PurePosixPath(path)))


def _bare(files: Iterable[str], folders: set[str]) -> tuple[str, ...]:
    full = _above(path for path in files if is_picture(PurePosixPath(path)))
    bare = {folder for folder in folders - full if not is_hidden(PurePosixPath(folder))}
    return tuple(sorted(folder for folder in bare if folder.rpartition("/")[0] not in bare))


def bare_classes(bare: Sequence[str], samples: Samples) -> list[str]:
    """Those of the bare folders that lie beside class folders, where one expects a class."""
    beside = set()
    for entries in samples.parts.values():
        for parent, label in {(path.rpartition("/")[0], label) for path, label in entries}:
            pieces = parent.split("/")
            if label != UNKNOWN and samples.classes[label] in pieces:
                beside.add("/".join(pieces[: pieces.index(samples.classes[label])]))
    return [folder for folder in bare if folder.rpartition("/")[0] in beside]


def odd_names(paths: Iterable[str]) -> list[str]:
    """Paths that scripts, or other systems, stumble over."""
    return [path for path in paths if ODD.search(path)]


def look_alikes(classes: Iterable[str]) -> list[tuple[str, ...]]:
    """Classes whose names differ in capitals, spaces or the spelling of accents alone."""
    alike = defaultdict(list)
    for name in classes:
        alike["".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())].append(name)
    return [tuple(names) for names in alike.values() if len(names) > 1]
