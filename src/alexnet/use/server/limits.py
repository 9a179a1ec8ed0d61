"""How much the server takes from anyone before it says no."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alexnet.pictures import decode


def _limit(default: float, meaning: str) -> float:
    return field(default=default, metadata={"meaning": meaning, "most": 86_400.0})


def _count(default: int, meaning: str, most: int = 10**6) -> int:
    return field(default=default, metadata={"meaning": meaning, "most": most})


@dataclass(frozen=True)
class Limits:
    """Nothing that a sender can choose is without one of these. Each is an option of `alexnet serve`."""

    workers: int = _count(os.cpu_count() or 1, "Model processes, of one thread each.", 1024)
    batch: int = _count(8, "Most pictures that a model process takes at once.")
    queue: int = _count(64, "Most pictures that wait; more are answered with 503.")
    slow_queue: int = _count(16, "Most explanations and the like that wait.")
    answer_seconds: float = _limit(30.0, "Until a request is answered, once it is there.")
    receive_seconds: float = _limit(14.0, "Until a request is there, from its first byte.")
    stall_seconds: float = _limit(14.0, "Without the reader of an answer taking anything.")
    drain_seconds: float = _limit(1.0, "Between the signal to end and the last connection that is taken.")
    body_bytes: int = _count(16 * 2**20, "Largest body of a request.", 2**40)
    buffered_bytes: int = _count(256 * 2**20, "All bodies in memory together.", 2**40)
    head_bytes: int = _count(16 * 2**10, "Longest line and headers of a request.")
    headers: int = _count(100, "Most headers of a request.")
    files: int = _count(16, "Most files in a form.")
    fields: int = _count(16, "Most other parts of a form; they are passed over.")
    part_head_bytes: int = _count(4 * 2**10, "Longest header within a form.")
    pixels: int = _count(64_000_000, "Largest picture, by what its header says.", 10**12)
    connections: int = _count(512, "Most connections at a time.")

    @property
    def picture(self) -> decode.Limits:
        """Those of the decoder."""
        from alexnet.pictures import decode

        return decode.Limits(pixels=self.pixels, bytes=self.body_bytes)
