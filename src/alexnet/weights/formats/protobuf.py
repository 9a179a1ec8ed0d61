"""A bounded reader of protobuf's wire format, for files that come from anywhere.

Fields are found by number, without a schema. A message is scanned when it is first asked for something, itself alone:
nesting is followed only where a reader asks for it, lengths are held against what is left before anything is done with
them, and large values stay where the file is mapped. Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import WeightsError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # 3 and 4 begin and end a group, a form given up in 2008
WIDTHS = {FIXED32: 4, FIXED64: 8}
LONGEST_VARINT = 10  # bytes: 64 bits, seven in each
MOST_FIELDS = 2**14  # of one message, and numbers in one list; an AlexNet has a few dozen
MOST_TEXT = 2**24  # bytes
RUN = 2**20  # fields that are looked at together


class Damage(Exception):
    """Bytes that are no message: where, and why."""


class Place(NamedTuple):
    """Where a field lies in a message: a value, or for fixed widths a run of fields with their tags."""

    number: int
    wire: int
    start: int
    end: int
    value: int = 0  # of a varint


class Message:
    """One message of a file. Every method raises WeightsError where the bytes are not what it asks for."""

    def __init__(self, data: memoryview, path: Path, start: int = 0) -> None:
        self._data, self._path, self._start = data, path, start

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def numbers(self) -> set[int]:
        """Of the fields that there are."""
        return set(self._fields)

    def integers(self, number: int) -> list[int]:
        """Every value of an integer field, packed or not, as int64."""
        values: list[int] = []
        for place in self._fields.get(number, []):
            if place.wire == BYTES:
                values += self._packed(place)
            else:
                values.append(self._checked(place, VARINT).value)
            if len(values) > MOST_FIELDS:
                raise self._error(place.start, f"more than {MOST_FIELDS} numbers in field {number}")
        return [value - 2**64 if value >= 2**63 else value for value in values]

    def integer(self, number: int, default: int = 0) -> int:
        return (self.integers(number) or [default])[-1]

    def floats(self, number: int) -> NDArray[np.float32]:
        """Every value of a float field, packed or not; where they lie, if they lie together."""
        return self._fixed(number, FIXED32, "<f4")

    def doubles(self, number: int) -> NDArray[np.float64]:
        """Every value of a double field, packed or not; where they lie, if they lie together."""
        return self._fixed(number, FIXED64, "<f8")

    def reals(self, number: int) -> list[float]:
        """Every value of a float field as the shortest decimal that float32 rounds to it: as it was once written."""
        values = self.floats(number)
        if len(values) > MOST_FIELDS:
            raise self._error(self._fields[number][0].start, f"more than {MOST_FIELDS} numbers in field {number}")
        return [float(str(value)) for value in values]

    def real(self, number: int, default: float = 0.0) -> float:
        return (self.reals(number) or [default])[-1]

    def octets(self, number: int) -> memoryview:
        """The value of a bytes field, where it lies."""
        return self._values(number)[-1][1] if number in self else memoryview(b"")

    def texts(self, number: int) -> list[str]:
        found = []
        for place, value in self._values(number):
            if len(value) > MOST_TEXT:
                raise self._error(place.start, f"a text of {len(value):,} bytes")
            try:
                found.append(str(value, "utf-8"))
            except UnicodeDecodeError:
                raise self._error(place.start, f"the text in field {number} is not UTF-8") from None
        return found

    def text(self, number: int, default: str = "") -> str:
        return (self.texts(number) or [default])[-1]

    def messages(self, number: int) -> list[Message]:
        return [Message(value, self._path, self._start + place.start) for place, value in self._values(number)]

    def message(self, number: int) -> Message:
        """The message in a field that is there once; one without fields where it is missing."""
        found = self.messages(number)
        if len(found) > 1:
            raise self._error(self._fields[number][1].start, f"field {number} is there twice")
        return found[0] if found else Message(memoryview(b""), self._path)

    @cached_property
    def _fields(self) -> Mapping[int, list[Place]]:
        found: dict[int, list[Place]] = defaultdict(list)
        try:
            for count, place in enumerate(places(self._data)):
                if place.end > len(self._data):
                    length, left = place.end - place.start, len(self._data) - place.start
                    raise Damage(place.start, f"a field of {length:,} bytes where {left:,} are left")
                if count == MOST_FIELDS:
                    raise Damage(place.start, f"more than {MOST_FIELDS} fields in one message")
                found[place.number].append(place)
        except Damage as damage:
            raise self._error(*damage.args) from None
        return dict(found)

    def _values(self, number: int) -> list[tuple[Place, memoryview]]:
        found = [self._checked(place, BYTES) for place in self._fields.get(number, [])]
        return [(place, self._data[place.start : place.end]) for place in found]

    def _packed(self, place: Place) -> list[int]:
        values: list[int] = []
        data, here = self._data[: place.end], place.start
        try:
            while here < place.end and len(values) <= MOST_FIELDS:
                value, here = varint(data, here)
                values.append(value)
        except Damage as damage:
            raise self._error(*damage.args) from None
        return values

    def _fixed(self, number: int, wire: int, dtype: str) -> NDArray[Any]:
        parts = [self._part(place, wire, np.dtype(dtype)) for place in self._fields.get(number, [])]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])

    def _part(self, place: Place, wire: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        data = self._data[place.start : place.end]
        if place.wire == BYTES:
            if len(data) % dtype.itemsize:
                raise self._error(place.start, f"{len(data):,} bytes are no whole number of {dtype.name} values")
            return np.frombuffer(data, dtype)
        self._checked(place, wire)
        rows = np.frombuffer(data, np.uint8).reshape(-1, place.value)
        return np.ascontiguousarray(rows[:, -dtype.itemsize :]).view(dtype).reshape(-1)

    def _checked(self, place: Place, wire: int) -> Place:
        if place.wire != wire:
            raise self._error(place.start, f"field {place.number} is of wire type {place.wire}, not {wire}")
        return place

    def _error(self, place: int, reason: str) -> WeightsError:
        return WeightsError(f"{self._path}: damaged at byte {self._start + place:,}: {reason}")


def opened(path: Path) -> Message:
    """The message that a file holds, mapped rather than read. Raises WeightsError."""
    try:
        with path.open("rb") as file:
            return Message(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), path)
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        reason = "an empty file" if isinstance(error, ValueError) else f"cannot be read: {error.strerror}"
        raise WeightsError(f"{path}: {reason}") from None


def begins(data: bytes | memoryview, wires: Mapping[int, int]) -> list[Place]:
    """The fields with which some bytes begin, if all of them are of these numbers and wire types; else none.

    The bytes may end within a field.
    """
    found: list[Place] = []
    try:
        for place in places(memoryview(data)):
            if wires.get(place.number) != place.wire:
                return []
            found.append(place)
            if len(found) == MOST_FIELDS:
                break
    except Damage as damage:
        return found if damage.args[0] + LONGEST_VARINT >= len(data) else []
    return found


def places(data: memoryview) -> Iterator[Place]:
    """The fields of a message in order. The last may end behind the data: that is for the caller to see."""
    here = 0
    while here < len(data):
        tag, start = varint(data, here)
        number, wire, value = tag >> 3, tag & 7, 0
        if not 0 < number < 2**29:
            raise Damage(here, f"a field cannot have the number {number}")
        if wire == VARINT:
            value, end = varint(data, start)
        elif wire == BYTES:
            length, start = varint(data, start)
            end = start + length
        elif wire in WIDTHS:
            value = start - here + WIDTHS[wire]
            start, end = here, here + value * _run(data, here, bytes(data[here:start]), value)
        else:
            raise Damage(here, f"wire type {wire}: groups are not read")
        yield Place(number, wire, start, end, value)
        here = end


def varint(data: memoryview, here: int) -> tuple[int, int]:
    """The number at a place, below 2^64, and the place behind it."""
    value = 0
    for position, byte in enumerate(data[here : here + LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            if value >= 2**64:
                raise Damage(here, "a number of more than 64 bits")
            return value, here + position + 1
    left = len(data) - here
    raise Damage(here, "it ends within a number" if left < LONGEST_VARINT else "a number of more than ten bytes")


def _run(data: memoryview, here: int, tag: bytes, step: int) -> int:
    """How many fields of one tag and a fixed width follow each other, at least one: unpacked weights are millions."""
    count, block = 1, 1
    while (block := min(2 * block, RUN, (len(data) - here) // step - count)) > 0:
        rows = np.frombuffer(data, np.uint8, block * step, here + count * step).reshape(block, step)
        same = np.logical_and.reduce([rows[:, position] == byte for position, byte in enumerate(tag)])
        if not same.all():
            return count + int(same.argmin())
        count += block
    return count
