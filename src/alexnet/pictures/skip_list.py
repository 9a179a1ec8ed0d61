"""Lists of pictures to leave out: text files with one path a line, as `check` writes and `train` reads them.

A path that a line cannot hold as it is, with a line break in it for one, is written as a JSON string, in quotation
marks. Names that are not UTF-8 keep their bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from alexnet.errors import UsageError
from alexnet.storage import write_text


def write_skip_list(path: Path, paths: Iterable[str]) -> None:
    """A skip list of some paths. Raises StorageError."""
    write_text(path, "".join(f"{_line(each)}\n" for each in paths))


def _line(path: str) -> str:
    return path if _plain(path) else json.dumps(path)


def _plain(path: str) -> bool:
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return not any(break_ in path for break_ in "\r\n") and not path.startswith(('"', "\ufeff"))


def read_skip_list(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The paths in a skip list. Raises UsageError."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
        lines = text.replace("\r\n", "\n").split("\n")
        return tuple(_path(line) for line in lines if line)
    except OSError as error:
        raise UsageError(f"{path}: the skip list cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not a skip list: a path in quotation marks must be JSON: {error}") from None


def _path(line: str) -> str:
    path = json.loads(line) if line.startswith('"') else line
    if not isinstance(path, str):
        raise ValueError(line)
    return path
