"""Picture files with faults: odd pictures, changed by chance, each by its number; and what must hold of every one.

python mutants.py FIRST COUNT PLACE    decodes those mutants, writes the number of the current one to PLACE and
                                       prints what came out as JSON
"""

from __future__ import annotations

import json
import mmap
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from odd_pictures import everything

from alexnet.errors import PictureError
from alexnet.pictures.decode import Limits, stored
from alexnet.pictures.encodings.kinds import kind_of

Chance = np.random.Generator
LIMITS = Limits(pixels=300_000, frames=100)
SEED_BYTES = 20_000  # larger ones change too little for the time they take
NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
ADDRESS_BYTES = 3 * 2**30
SECONDS = 5.0  # of the processor, for one mutant: other work does not count; what waits for ever ends its batch


def seeds() -> list[bytes]:
    return [odd.data for odd in everything() if len(odd.data) <= SEED_BYTES]


def mutant(number: int, seeds: list[bytes]) -> bytes:
    """The file of that number: one seed after the other, with one to four changes."""
    chance = np.random.Generator(np.random.Philox(key=number))
    data = bytearray(seeds[number % len(seeds)])
    for _ in range(chance.integers(1, 5)):
        change = CHANGES[chance.integers(len(CHANGES))]
        change(data, chance, seeds)
    return with_checksums(bytes(data)) if chance.random() < 0.8 else bytes(data)


def place(data: bytearray, chance: Chance) -> int:
    """Half of the time in the heading."""
    return int(chance.integers(max(1, len(data) if chance.random() < 0.5 else min(len(data), 120))))


def flip(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    if data:
        data[place(data, chance)] ^= 1 << int(chance.integers(8))


def change(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    if data:
        data[place(data, chance)] = int(chance.integers(256))


def lie(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    """Another number, as lengths, counts, sizes and places are."""
    kind = "<>"[chance.integers(2)] + "HIQ"[chance.integers(3)]
    at, size = place(data, chance), struct.calcsize(kind)
    if at + size <= len(data):
        (old,) = struct.unpack_from(kind, data, at)
        numbers = [*NUMBERS, len(data), old + 1, old - 1, old * 2, old // 2]
        struct.pack_into(kind, data, at, numbers[chance.integers(len(numbers))] % 256**size)


def cut(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    del data[place(data, chance) :]


def remove(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    at = place(data, chance)
    del data[at : at + int(chance.integers(1, 40))]


def repeat(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    at, end = sorted((place(data, chance), place(data, chance)))
    data[at:at] = data[at:end] * int(chance.integers(1, 8))


def swap(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    a, b, c = sorted(place(data, chance) for _ in range(3))
    data[a:c] = data[b:c] + data[a:b]


def splice(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    other = seeds[chance.integers(len(seeds))]
    start = int(chance.integers(len(other))) if other else 0
    data[place(data, chance) :] = other[start:]


def noise(data: bytearray, chance: Chance, seeds: list[bytes]) -> None:
    at = place(data, chance)
    data[at:at] = chance.bytes(int(chance.integers(1, 30)))


CHANGES: tuple[Callable[[bytearray, Chance, list[bytes]], None], ...] = (
    *(flip, flip, change, change, lie, lie, lie),
    *(cut, remove, repeat, swap, splice, noise),
)


def with_checksums(data: bytes) -> bytes:
    """A PNG whose checksums are right again, so that faults reach what lies behind them."""
    if not data.startswith(b"\x89PNG"):
        return data
    mended, at = bytearray(data), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def outcome(data: bytes, number: int) -> str | bytes:
    """The pixels, or the reason; what is neither is a finding, as text that begins with '!'."""
    side = 1 + number % 40
    try:
        pixels = stored(data, side, ("crop", "squash", "pad")[number % 3], ("full", "scaled")[number % 2], LIMITS)
    except PictureError as error:
        reason = str(error)
        return reason if reason and reason.isprintable() else f"! {reason!r}"
    except BaseException as error:
        return f"! {type(error).__name__}: {error}"
    right = pixels.shape == (side, side, 3) and pixels.dtype == np.uint8
    return pixels.tobytes() if right else f"! {pixels.dtype} {pixels.shape}"


def kind(data: bytes) -> str:
    try:
        return kind_of(data)
    except PictureError:
        return "none"


def tried(first: int, count: int, place: Path) -> dict[str, Any]:
    """Every mutant twice: counts by format, findings, the longest time and the most memory."""
    known, counts, findings, longest = seeds(), Counter[str](), [], 0.0
    with place.open("r+b") as file, mmap.mmap(file.fileno(), 8) as current:
        before = peak_memory(anew=True)
        for number in range(first, first + count):
            current[:8] = struct.pack("<Q", number)
            data = mutant(number, known)
            started = time.process_time()
            found, again = outcome(data, number), outcome(data, number)
            longest = max(longest, seconds := (time.process_time() - started) / 2)
            fault = "not the same twice" if found != again else found if str(found).startswith("!") else ""
            if fault or seconds > SECONDS:
                findings.append(f"{number}: {fault or f'{seconds:.1f} s'}")
            counts[f"{kind(data)} {'refused' if isinstance(found, str) else 'shown'}"] += 1
        more = peak_memory() - before
    return {"counts": counts, "findings": findings, "longest_seconds": round(longest, 2), "more_memory_kb": more}


def peak_memory(anew: bool = False) -> int:
    """The most memory that the process had, in kB; `anew`: from now on."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # bytes on macOS
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    print(json.dumps(tried(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
