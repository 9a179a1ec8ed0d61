"""Pictures that somebody names: files, folders, patterns of names, URLs, object stores, the rows of parquet files; read
and decoded ahead of their use."""

from __future__ import annotations

import glob
import http.client
import os
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, TypeVar

from alexnet.errors import AlexNetError, NetworkError, PictureError, UsageError
from alexnet.network.architecture import Input
from alexnet.pictures import parquet, uris
from alexnet.pictures.batches import ahead
from alexnet.pictures.decode import Pixels, read, stored
from alexnet.pictures.layout import is_picture
from alexnet.pictures.limits import LIMITS, Limits

T = TypeVar("T")

URL_SECONDS = 20.0


class Listing(Protocol):
    """Pictures by name, and a way to their bytes; small enough to be sent to another process."""

    @property
    def names(self) -> Sequence[str]: ...

    def part(self, places: slice) -> Listing:
        """Those from one place to another."""
        ...

    def contents(self) -> Iterator[str | bytes]:
        """Of each the bytes, or where to read them."""
        ...


@dataclass(frozen=True)
class Files:
    """Files and URLs, each a picture."""

    names: Sequence[str]

    def part(self, places: slice) -> Files:
        return Files(self.names[places])

    def contents(self) -> Iterator[str | bytes]:
        return iter(self.names)


def refusal(path: str, error: AlexNetError) -> dict[str, Any]:
    """The answer for a picture that could not be read."""
    return {"path": path, "error": str(error), "exit_code": error.exit_code}


def listed(inputs: Sequence[str]) -> Listing:
    """Every picture that the inputs name, in their order. Raises UsageError, also where some are pictures and some are
    tables of pictures."""
    names = expand(inputs)
    tables = [name for name in names if name.endswith(uris.PARQUET)]
    if not tables:
        return Files(names)
    if len(tables) < len(names):
        raise UsageError(f"{tables[0]} holds many pictures, and others are one each: take them one after the other")
    return parquet.listed(tables)


def expand(inputs: Sequence[str]) -> list[str]:
    """Every file that the inputs name, in their order; a folder gives its pictures sorted by path, its parquet files
    where it has no pictures."""
    found: list[str] = []
    for text in inputs:
        if _is_url(text) or os.path.isfile(text):
            found.append(text)
        elif uris.is_uri(text):
            found += uris.listed(text)
        elif os.path.isdir(text):
            found += _inside(text) or [text]  # a folder without pictures is refused when it is read
        else:
            found += sorted(name for name in glob.glob(text, recursive=True) if os.path.isfile(name)) or [text]
    return found


def _inside(folder: str) -> list[str]:
    paths = [path.relative_to(folder) for path in Path(folder).rglob("*")]
    found = [path for path in paths if is_picture(PurePosixPath(path.as_posix()))]
    return sorted(os.path.join(folder, path) for path in found or paths if found or path.suffix == uris.PARQUET)


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def contents(text: str, limits: Limits = LIMITS) -> bytes:
    """Bytes of a file or URL, within the limits of size and time. Raises PictureError or NetworkError."""
    if uris.is_uri(text) and not os.path.isfile(text):
        return uris.read(text, limits)
    if not _is_url(text):
        return read(text, limits)
    try:
        request = urllib.request.Request(text, headers={"User-Agent": "alexnet"})
        with urllib.request.urlopen(request, timeout=URL_SECONDS) as response:
            return _received(response, limits)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NetworkError(f"cannot be fetched: {getattr(error, 'reason', error)}") from None


def _received(response: IO[bytes], limits: Limits) -> bytes:
    """The whole body, or one byte more than is allowed; a sender that is too slow is not waited for."""
    data, deadline = bytearray(), time.monotonic() + URL_SECONDS
    while len(data) <= limits.bytes and (chunk := response.read1(2**16)):  # type: ignore[attr-defined]
        data += chunk
        if time.monotonic() > deadline:
            raise NetworkError(f"cannot be fetched: not complete after {URL_SECONDS:.0f} s")
    return bytes(data)


def opened(pictures: Iterable[str | bytes], rule: Input, limits: Limits = LIMITS) -> Iterator[Pixels | AlexNetError]:
    """Each picture as uint8 [stored, stored, 3], or why it is refused, in order; a few read ahead on other threads.

    What is no bytes is where to read them."""

    def load(picture: str | bytes) -> Pixels | AlexNetError:
        try:
            if isinstance(picture, bytes):
                limits.check_bytes(len(picture))
            data = picture if isinstance(picture, bytes) else contents(picture, limits)
            return stored(data, rule.stored, rule.resize, rule.decode, limits)
        except (PictureError, NetworkError) as error:
            return error

    return ahead(load, pictures, os.cpu_count() or 1)


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last may be shorter."""
    while chunk := list(islice(items, size)):
        yield chunk


def class_of(path: str, classes: Sequence[str]) -> str | None:
    """The class in whose folder a picture lies, if the folder that holds it is called after one."""
    folder = PurePosixPath(Path(path).as_posix()).parent.name
    return folder if folder in classes else None
