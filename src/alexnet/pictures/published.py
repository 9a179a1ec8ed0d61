"""Data sets in the very form in which their authors give them out: Microsoft's PetImages, CIFAR-10 in binary, ImageNet
(which has a folder of its own)."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import UsageError
from alexnet.pictures.archives import Archive
from alexnet.pictures.hub.folder import ParquetFolder, parquets
from alexnet.pictures.hub.source import HubSource
from alexnet.pictures.imagenet.ilsvrc import Ilsvrc, is_ilsvrc
from alexnet.pictures.layout import TEST, TRAIN, Samples
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.pictures.sources import Folder, Read, Source


def published(path: Path, limits: Limits = LIMITS) -> Source | None:
    """The data set that an archive or a folder holds in its authors' form, told by its contents; None if it holds
    none. Raises UsageError for a form that is refused."""
    if path.is_dir() and parquets(path):
        return HubSource(ParquetFolder(path), limits)
    if path.is_dir() and is_ilsvrc(path):
        return Ilsvrc(path, limits)
    names = _names(path)
    if any(map(PET.fullmatch, names)) and zipfile.is_zipfile(path):
        return PetImages(path, limits=limits)
    pieces = {piece for name in names for piece in PurePosixPath(name).parts}
    if "cifar-10-batches-py" in pieces or {"data_batch_1", "batches.meta"} <= pieces:
        raise UsageError(f"{path}: holds Python pickles, which can run code when read; use cifar-10-binary.tar.gz")
    if pieces & {BINARY, *CIFAR_TRAIN, *CIFAR_TEST}:
        return Cifar10(path / BINARY if (path / BINARY).is_dir() else path)
    return None


def _names(path: Path) -> list[str]:
    """What lies in a folder or a zip, or first in a tar, which is not read any further for it; nothing where it cannot
    be read, which is said by whoever reads it for good."""
    try:
        if path.is_dir():
            return os.listdir(path)
        archive = Archive(path)
        with archive.whole():
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as opened:
                    return opened.namelist()
            return [name for name, _, _ in islice(archive.members(), 1)]
    except (OSError, UsageError):
        return []


# ------------------------------------------------------------------------------------------------------------ PetImages


PET = re.compile(r"PetImages/(Cat|Dog)/[0-9]+\.jpg")


@dataclass(frozen=True)
class PetImages:
    """Microsoft's zip of cats and dogs, read as TensorFlow Datasets reads its `cats_vs_dogs`: without the files that do
    not begin as JFIF (1,738 of 25,000), in the order of their hashed names, the first 80 % for training
    (`train[:80%]`, 18,610) and the rest for testing (4,652).

    Its version 4.0.1 compresses every picture anew; here they stay as they are.
    """

    file: Path
    name: str = "cats-vs-dogs"
    classes: tuple[str, ...] = ("cat", "dog")
    limits: Limits = LIMITS

    def fingerprint(self) -> str:
        return f"{self.name} {Archive(self.file).fingerprint()}"

    def samples(self) -> Samples:
        with Archive(self.file).whole(), zipfile.ZipFile(self.file) as archive:
            files = [member for member in archive.infolist() if not member.is_dir()]
            pets = [member for member in files if PET.fullmatch(member.filename)]
            kept = [member.filename for member in pets if _begins_as_jfif(archive, member)]
        kept.sort(key=_hash)
        labelled = tuple((name, self.classes.index(PurePosixPath(name).parts[1].lower())) for name in kept)
        if len({label for _, label in labelled}) < 2:
            raise UsageError(f"{self.file}: PetImages with no cats or no dogs; it is not the whole file")
        train = round(0.8 * len(labelled))
        strays = tuple(sorted({member.filename for member in files} - set(kept)))
        return Samples(self.classes, {TRAIN: labelled[:train], TEST: labelled[train:]}, strays)

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        yield from Archive(self.file, self.limits).pictures(paths)


def _begins_as_jfif(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    with cast(zipfile.ZipExtFile, archive.open(member)) as stream:
        return b"JFIF" in stream.peek(10)  # which gives up to 512 bytes; the same call as there, so the same files


def _hash(name: str) -> bytes:
    """By what TensorFlow Datasets orders examples: MD5 of the split's name and the example's key."""
    return hashlib.md5(b"train" + name.encode(), usedforsecurity=False).digest()


# ------------------------------------------------------------------------------------------------------------- CIFAR-10

BINARY = "cifar-10-batches-bin"
CIFAR_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR_TEST = ("test_batch.bin",)
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10 in its authors' binary form, as archive or unpacked: in each file records of one byte for the class,
    then 32 x 32 bytes of red, of green and of blue."""

    root: Path
    name: str = "cifar10"

    def fingerprint(self) -> str:
        plain = Folder(self.root) if self.root.is_dir() else Archive(self.root)
        return f"{self.name} {plain.fingerprint()}"

    def samples(self) -> Samples:
        labels = {file: records[:, 0] for file, records in self._records()}
        parts = {}
        for part, files in ((TRAIN, CIFAR_TRAIN), (TEST, CIFAR_TEST)):
            there = [file for file in files if file in labels]
            parts[part] = tuple(
                (f"{file.removesuffix('.bin')}/{row:05d}", int(label))
                for file in there
                for row, label in enumerate(labels[file])
            )
        if not parts[TRAIN] or not parts[TEST]:
            raise UsageError(f"{self.root}: data_batch_1.bin … or test_batch.bin are missing; download CIFAR-10 anew")
        return Samples(CIFAR_CLASSES, parts)

    def pictures(self, paths: Sequence[str]) -> Iterator[tuple[int, Read]]:
        wanted = {path: index for index, path in enumerate(paths)}
        for file, records in self._records():
            for row, record in enumerate(records):
                index = wanted.get(f"{file.removesuffix('.bin')}/{row:05d}")
                if index is not None:
                    yield index, partial(_picture, record)

    def _records(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Name and records [N, 3073] of each file. Raises UsageError for one that is damaged."""
        for file, content in self._files():
            records = np.frombuffer(content, np.uint8)
            if len(records) % (1 + 3 * SIDE**2):
                raise UsageError(f"{self.root}: {file} is not made of whole pictures; download CIFAR-10 anew")
            records = records.reshape(-1, 1 + 3 * SIDE**2)
            if len(records) and records[:, 0].max() >= len(CIFAR_CLASSES):
                raise UsageError(f"{self.root}: {file} holds classes that CIFAR-10 has not; download it anew")
            yield file, records

    def _files(self) -> Iterator[tuple[str, bytes]]:
        wanted = {*CIFAR_TRAIN, *CIFAR_TEST}
        if self.root.is_dir():
            for file in sorted(wanted & set(os.listdir(self.root))):
                yield file, (self.root / file).read_bytes()
            return
        archive = Archive(self.root)
        with archive.whole():
            for path, _, contents in archive.members():
                if PurePosixPath(path).name in wanted:
                    yield PurePosixPath(path).name, contents()


def _picture(record: NDArray[np.uint8], least: int = 0) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(record[1:].reshape(3, SIDE, SIDE).transpose(1, 2, 0)))
