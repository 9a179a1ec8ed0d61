"""How a store keeps its pictures: as raw pixels, or as JPEGs where a set is too large for that.

Raw ones are mapped and take no work to read. JPEGs take a seventh of the room and are decoded whenever they are read;
they differ a little from what was decoded first (`docs/performance.md` has the numbers).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import PictureError, UsageError
from alexnet.pictures.decode import Pixels, decode

QUALITY = 90  # of JPEGs in a store, with the colours at full size: less blurs edges between colours

Rows = NDArray[np.int64] | slice
Put = Callable[[int, memoryview], object]
"""Writes a packed picture as that of a row."""


class Pictures(Protocol):
    """uint8 [N, S, S, 3] on the disk; rows are copied into memory when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Rows, /) -> Pixels: ...


def read(pictures: Pictures, rows: Rows) -> Pixels:
    """Rows, copied into memory. Raises UsageError for a file that is damaged, or is shorter than when it was opened: to
    reach for what is mapped of a file and not there any more ends the process."""
    if isinstance(pictures, np.memmap):
        _still_whole(pictures)
    return pictures[rows]


def _still_whole(mapped: np.memmap[Any, Any]) -> None:
    mapping: Any = mapped.base  # an mmap.mmap, which knows how long its file is by now
    if mapping.size() < mapped.offset + mapped.nbytes:
        raise UsageError(f"{mapped.filename}: damaged: was cut while it was read; prepare the store anew")


@dataclass(frozen=True)
class Form:
    """How pictures are packed, written and read again.

    `pack` makes bytes of a picture, on any thread; `create` and `open` take folder, part and the shape of its pictures.
    `bytes` is what a value of a picture takes, at most.
    """

    pack: Callable[[Pixels], memoryview]
    create: Callable[[Path, str, tuple[int, ...]], AbstractContextManager[Put]]
    open: Callable[[Path, str, tuple[int, ...]], Pictures]
    bytes: float


# --------------------------------------------------------------------------------------------------------------- raw


@contextmanager
def _create_raw(folder: Path, part: str, shape: tuple[int, ...]) -> Iterator[Put]:
    """A .npy file of uint8 `shape`, all zero.

    Written to, not mapped: on a full disk a write raises an error where a mapped page would end the process.
    """
    with (folder / f"{part}.npy").open("w+b") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start, size = file.tell(), int(np.prod(shape[1:]))
        file.truncate(start + shape[0] * size)

        def put(row: int, packed: memoryview) -> None:
            file.seek(start + row * size)
            file.write(packed)

        yield put


def _open_raw(folder: Path, part: str, shape: tuple[int, ...]) -> Pictures:
    pictures: Pixels = np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
    if pictures.shape != shape or pictures.dtype != np.uint8:
        raise ValueError(f"{part}.npy is {pictures.dtype} {pictures.shape}, not uint8 {shape}")
    return pictures


# -------------------------------------------------------------------------------------------------------------- JPEG


@dataclass(frozen=True)
class Jpegs:
    """JPEGs one after the other in a mapped file; `places` int64 [N, 2] holds start and length of each, in bytes."""

    file: Path
    data: np.memmap[Any, np.dtype[np.uint8]]
    places: NDArray[np.int64]
    shape: tuple[int, ...]

    def __getitem__(self, rows: Rows, /) -> Pixels:
        _still_whole(self.data)
        places = self.places[rows]
        pictures = np.zeros((len(places), *self.shape[1:]), np.uint8)
        for picture, (start, length) in zip(pictures, places.tolist(), strict=True):
            if length:  # else it was refused
                picture[:] = self._picture(self.data[start : start + length].tobytes())
        return pictures

    def _picture(self, data: bytes) -> Pixels:
        try:
            picture = np.asarray(decode(data))
        except PictureError as error:
            raise UsageError(f"{self.file}: damaged: {error}; prepare the store anew") from None
        if picture.shape != self.shape[1:]:
            raise UsageError(f"{self.file}: damaged: a picture of {picture.shape}; prepare the store anew")
        return picture


def _pack_jpeg(picture: Pixels) -> memoryview:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=QUALITY, subsampling=0)
    return data.getbuffer()


@contextmanager
def _create_jpeg(folder: Path, part: str, shape: tuple[int, ...]) -> Iterator[Put]:
    places = np.zeros((shape[0], 2), np.int64)
    with (folder / f"{part}.jpegs").open("wb") as file:

        def put(row: int, packed: memoryview) -> None:
            places[row] = file.tell(), len(packed)
            file.write(packed)

        yield put
    np.save(folder / f"{part}.places.npy", places)


def _open_jpeg(folder: Path, part: str, shape: tuple[int, ...]) -> Pictures:
    places = np.load(folder / f"{part}.places.npy", allow_pickle=False)
    data = np.memmap(folder / f"{part}.jpegs", np.uint8, "r")
    if places.shape != (shape[0], 2) or places.dtype != np.int64:
        raise ValueError(f"{part}.places.npy is {places.dtype} {places.shape}, not int64 {(shape[0], 2)}")
    if places.size and (places.min() < 0 or (places[:, 0] > len(data) - places[:, 1]).any()):
        raise ValueError(f"{part}.jpegs is shorter than {part}.places.npy says")
    return Jpegs(folder / f"{part}.jpegs", data, places, shape)


Kept = Literal["raw", "jpeg"]
FORMS: dict[Kept, Form] = {
    "raw": Form(lambda picture: picture.data, _create_raw, _open_raw, 1.0),
    "jpeg": Form(_pack_jpeg, _create_jpeg, _open_jpeg, 0.5),  # noise comes to 0.7, photographs to 0.14
}
