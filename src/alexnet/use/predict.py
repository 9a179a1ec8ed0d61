"""Answers about pictures that the network has not seen: files, folders, patterns of names, URLs."""

from __future__ import annotations

import glob
import http.client
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from alexnet.errors import AlexNetError, NetworkError, PictureError, UsageError
from alexnet.evaluation.evaluate import view_probabilities
from alexnet.pictures.batches import ahead
from alexnet.pictures.decode import LIMITS, Pixels, read, stored
from alexnet.pictures.layout import is_picture
from alexnet.progress import progress
from alexnet.storage import whole, write_csv, write_json
from alexnet.weights.model import Model, answer

BATCH = 32
URL_SECONDS = 20.0
COLUMNS = ("path", "label", "probability", "error")  # of a table of answers


def expand(inputs: Sequence[str]) -> list[str]:
    """Every picture that the inputs name, in their order; a folder gives its pictures sorted by path."""
    found: list[str] = []
    for text in inputs:
        if _is_url(text) or os.path.isfile(text):
            found.append(text)
        elif os.path.isdir(text):
            found += _inside(text) or [text]  # a folder without pictures is refused when it is read
        else:
            found += sorted(name for name in glob.glob(text, recursive=True) if os.path.isfile(name)) or [text]
    return found


def _inside(folder: str) -> list[str]:
    paths = (path.relative_to(folder) for path in Path(folder).rglob("*"))
    return sorted(os.path.join(folder, path) for path in paths if is_picture(PurePosixPath(path.as_posix())))


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def contents(text: str) -> bytes:
    """Bytes of a file or URL, within the limits of size and time. Raises PictureError or NetworkError."""
    if not _is_url(text):
        return read(text)
    try:
        request = urllib.request.Request(text, headers={"User-Agent": "alexnet"})
        with urllib.request.urlopen(request, timeout=URL_SECONDS) as response:
            return _received(response)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NetworkError(f"cannot be fetched: {getattr(error, 'reason', error)}") from None


def _received(response: IO[bytes]) -> bytes:
    """The whole body, or one byte more than is allowed; a sender that is too slow is not waited for."""
    data, deadline = bytearray(), time.monotonic() + URL_SECONDS
    while len(data) <= LIMITS.bytes and (chunk := response.read1(2**16)):  # type: ignore[attr-defined]
        data += chunk
        if time.monotonic() > deadline:
            raise NetworkError(f"cannot be fetched: not complete after {URL_SECONDS:.0f} s")
    return bytes(data)


def predict(model: Model, inputs: Sequence[str], top: int = 5, views: int = 1) -> list[dict[str, Any]]:
    """One entry per picture, in input order: {path, label, probability, top} or {path, error, exit_code}.

    Pictures are read and decoded ahead on other threads. A picture that is refused never loses the others.
    """
    paths = expand(inputs)
    rule = model.input

    def load(path: str) -> Pixels | AlexNetError:
        try:
            return stored(contents(path), rule.stored, rule.resize, rule.decode)
        except (PictureError, NetworkError) as error:
            return error

    entries: list[dict[str, Any]] = []
    loaded = progress(ahead(load, paths, os.cpu_count() or 1), len(paths), "predicting")
    for chunk in _chunks(zip(paths, loaded, strict=True)):
        entries += _answers(model, chunk, top, views)
    return entries


def _chunks(pairs: Iterator[tuple[str, Pixels | AlexNetError]]) -> Iterator[list[tuple[str, Pixels | AlexNetError]]]:
    while chunk := list(islice(pairs, BATCH)):
        yield chunk


def _answers(
    model: Model, chunk: list[tuple[str, Pixels | AlexNetError]], top: int, views: int
) -> Iterator[dict[str, Any]]:
    good = [picture for _, picture in chunk if not isinstance(picture, AlexNetError)]
    rows = iter(view_probabilities(model, np.stack(good), views) if good else ())
    for path, picture in chunk:
        if isinstance(picture, AlexNetError):
            yield {"path": path, "error": str(picture), "exit_code": picture.exit_code}
        else:
            yield {"path": path, **answer(next(rows), model.classes, top)}


def write(entries: Sequence[dict[str, Any]], out: Path) -> None:
    """Entries as .json, .csv or .parquet, by the file's ending; whole or not at all."""
    rows = [[entry.get(column) for column in COLUMNS] for entry in entries]
    match out.suffix.lower():
        case ".json":
            write_json(out, entries)
        case ".parquet":
            _parquet([dict(zip(COLUMNS, row, strict=True)) for row in rows], out)
        case _:
            write_csv(out, COLUMNS, rows)


def _parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("--out .parquet needs pyarrow: pip install 'alexnet[data]'") from None
    with whole(path) as partial:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), partial)
