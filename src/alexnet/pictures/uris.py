"""Object stores and other places that are named by a URI: s3://, gs://, hdfs://, file://, and what fsspec knows."""

from __future__ import annotations

import posixpath
from functools import lru_cache
from pathlib import PurePosixPath
from typing import IO, Any

from alexnet.errors import NetworkError, PictureError, UsageError
from alexnet.pictures.layout import is_picture
from alexnet.pictures.limits import LIMITS, Limits

PARQUET = ".parquet"


def is_uri(text: str) -> bool:
    """Whether a name is that of a place which pyarrow reads; http(s) is not."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.isidentifier() and scheme not in ("http", "https")


def listed(uri: str) -> list[str]:
    """The pictures below a place, or its parquet files where it has no pictures, sorted by path; of a file, itself. One
    that cannot be listed is refused when it is read. Raises UsageError for a kind of place that nothing here reads."""
    system, path = _place(uri)
    arrow = library()
    try:
        if system.get_file_info(path).type != arrow.fs.FileType.Directory:
            return [uri]
        below = system.get_file_info(arrow.fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise NetworkError(f"{uri}: cannot be listed: {_reason(error)}") from None
    names = sorted(posixpath.relpath(info.path, path) for info in below if info.is_file)
    pictures = [name for name in names if is_picture(PurePosixPath(name))]
    found = pictures or [name for name in names if name.endswith(PARQUET)]
    return [f"{uri.rstrip('/')}/{name}" for name in found] or [uri]


def read(uri: str, limits: Limits = LIMITS) -> bytes:
    """Bytes of a file. Raises PictureError where there is none or it is too large, and NetworkError."""
    try:
        with opened(uri) as file:
            limits.check_bytes(file.size())  # type: ignore[attr-defined]
            return bytes(file.read(limits.bytes + 1))
    except FileNotFoundError:
        raise PictureError("No such file or directory") from None
    except OSError as error:
        raise NetworkError(f"cannot be fetched: {_reason(error)}") from None


def opened(path: str) -> IO[bytes]:
    """A file to read from any place, as pyarrow has it. Raises OSError, and UsageError for an unknown kind of place."""
    system, inside = _place(path) if is_uri(path) else (library().fs.LocalFileSystem(), path)
    file: IO[bytes] = system.open_input_file(inside)
    return file


def library() -> Any:
    """pyarrow. Raises UsageError."""
    try:
        import pyarrow
        import pyarrow.fs
        import pyarrow.parquet
    except ImportError:
        raise UsageError("parquet and object stores need pyarrow: pip install 'alexnet[data]'") from None
    return pyarrow


def _place(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it."""
    scheme, _, rest = uri.partition("://")
    authority, _, path = rest.partition("/")
    system, base = _system(f"{scheme}://{authority}/")
    return system, posixpath.join(base, path)


@lru_cache  # a connection for each bucket, not for each file
def _system(root: str) -> tuple[Any, str]:
    fs = library().fs
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(root)
        return found
    except ValueError:  # none of pyarrow's own
        try:
            import fsspec

            system, base = fsspec.core.url_to_fs(root)
            return fs.PyFileSystem(fs.FSSpecHandler(system)), base
        except (ImportError, ValueError) as error:
            raise UsageError(f"{root}: cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
