"""HDF5 files from anyone: values and texts that lie in the file itself, plainly, and nothing else.

HDF5 can point into other files, into itself in circles, and to values that are computed or unpacked when read. Of all
that Keras writes nothing, so everything but hard links and plain values is refused, by what the file says about an
object before any of it is read.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import AlexNetError, UsageError, WeightsError

MAGIC = b"\x89HDF\r\n\x1a\n"
MEMBERS = 1_000  # of a group
TEXT = 2**20  # bytes of a text; a configuration has some 20,000
TEXTS = 256  # in a list
HEAP = b"GCOL\x01\0\0\0"  # before the texts of a file, which stand together; then their length in 8 bytes

Group = Any  # h5py carries no types
Dataset = Any


def library() -> ModuleType:
    """h5py. Raises UsageError where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise UsageError("Keras' files need h5py: pip install 'alexnet[keras]'") from None
    module: ModuleType = h5py
    return module


@contextmanager
def opened(path: Path, content: bytes | None = None) -> Iterator[Group]:
    """The root of an HDF5 file, or of `content`, which is what a file within `path` holds.

    Raises WeightsError, also for whatever h5py says about its objects while it is open.
    """
    h5py = library()
    try:
        with h5py.File(path if content is None else io.BytesIO(content), "r") as file:
            yield file
    except AlexNetError:
        raise
    except Exception as error:  # h5py raises a dozen kinds of exception for damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(f"{path}: damaged, or not a whole HDF5 file: {reason}") from None


def member(path: Path, group: Group, name: str) -> Any:
    """What stands under a name in a group, which may be several groups deep. Raises WeightsError."""
    h5py = library()
    for part in name.split("/"):
        found = isinstance(group, h5py.Group) and part not in ("", ".") and part in group
        if not found:
            raise WeightsError(f"{path}: nothing stands under {name[:80]!r} in its group {_place(group)}")
        _check_link(path, group, part)
        group = group[part]
    return group


def names(path: Path, group: Group) -> list[str]:
    """The names in a group. Raises WeightsError if one of them leads elsewhere."""
    h5py = library()
    if not isinstance(group, h5py.Group):
        raise WeightsError(f"{path}: {_place(group)} is not a group")
    if len(group) > MEMBERS:
        raise WeightsError(f"{path}: its group {_place(group)} has {len(group):,} members, more than {MEMBERS:,}")
    found = list(group)
    for name in found:
        _check_link(path, group, name)
    return found


def _check_link(path: Path, group: Group, name: str) -> None:
    link = group.get(name, getlink=True)
    if not isinstance(link, library().HardLink):
        raise WeightsError(f"{path}: {name[:80]!r} in its group {_place(group)} is a link: {type(link).__name__}")


def _place(thing: Any) -> str:
    return str(getattr(thing, "name", thing))[:80]


def shape(path: Path, dataset: Dataset) -> tuple[int, ...]:
    """The shape of values that lie in the file: plain, uncompressed, of a floating-point type. Raises WeightsError."""
    h5py = library()
    place = _place(dataset)
    if not isinstance(dataset, h5py.Dataset):
        raise WeightsError(f"{path}: {place} does not hold values but is a {type(dataset).__name__.lower()}")
    plan = dataset.id.get_create_plist()
    if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or plan.get_nfilters():
        raise WeightsError(
            f"{path}: the values of {place} are virtual, chunked or compressed; Keras writes them plainly"
        )
    if plan.get_external_count():
        raise WeightsError(f"{path}: the values of {place} lie in another file")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (2, 4, 8):
        raise WeightsError(f"{path}: the values of {place} are {dataset.dtype}; float16, float32 and float64 are known")
    if dataset.shape is None or dataset.id.get_storage_size() != dataset.nbytes:
        raise WeightsError(f"{path}: {place} claims {dataset.shape} values, which the file does not hold")
    return tuple(map(int, dataset.shape))


def values(path: Path, dataset: Dataset) -> NDArray[np.float32]:
    """The values, in float32; first ask for their `shape`. Raises WeightsError for values that are not finite."""
    with np.errstate(over="ignore"):
        result: NDArray[np.float32] = dataset[()].astype(np.float32, copy=False)
    if not np.isfinite(result).all():
        raise WeightsError(f"{path}: {_place(dataset)} holds values that are not finite in float32")
    return result


def text(path: Path, group: Group, name: str) -> str:
    """A text that stands with a group as its attribute. Raises WeightsError."""
    found = _attribute(path, group, name)
    if not isinstance(found, str | bytes):
        raise WeightsError(f"{path}: {name} of {_place(group)} is not a text")
    return found.decode("utf-8", "strict") if isinstance(found, bytes) else found


def texts(path: Path, group: Group, name: str) -> list[str]:
    """A list of texts that stands with a group as its attribute; what is empty may be of any type."""
    found = np.asarray(_attribute(path, group, name))
    if found.ndim != 1:
        raise WeightsError(f"{path}: {name} of {_place(group)} is not a list of texts")
    return [entry.decode("utf-8", "strict") if isinstance(entry, bytes) else str(entry) for entry in found.tolist()]


def _attribute(path: Path, group: Group, name: str) -> Any:
    h5py = library()
    if name not in group.attrs:
        raise WeightsError(f"{path}: {_place(group)} has no {name}")
    attribute = h5py.h5a.open(group.id, name.encode())
    lengths, kind = attribute.get_space().shape or (), attribute.get_type()
    if lengths == (0,):
        return []
    if kind.get_class() != h5py.h5t.STRING or len(lengths) > 1 or any(length > TEXTS for length in lengths):
        raise WeightsError(f"{path}: {name} of {_place(group)} is neither a text nor a list of up to {TEXTS}")
    if kind.get_size() > TEXT:
        raise WeightsError(f"{path}: {name} of {_place(group)} is longer than {TEXT:,} bytes")
    if kind.is_variable_str():
        _check_heaps(path)
    return group.attrs[name]


def _check_heaps(path: Path) -> None:
    """Raise WeightsError for a file with long texts: each entry of a list could refer to the same one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(HEAP)
        while place >= 0:
            if int.from_bytes(content[place + 8 : place + 16], "little") > TEXT:
                raise WeightsError(f"{path}: it has texts longer than {TEXT:,} bytes")
            place = content.find(HEAP, place + 1)
