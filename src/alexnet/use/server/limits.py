"""How much the server takes from anyone before it says no."""

from __future__ import annotations

import os
from dataclasses import dataclass

from alexnet.pictures import decode


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds. Nothing that a sender can choose is without one of these."""

    body: int = 16 * 2**20  # of one request
    buffered: int = 256 * 2**20  # of all bodies in memory together
    head: int = 16 * 2**10  # request line and headers
    headers: int = 100  # how many of them
    files: int = 16  # of one form
    fields: int = 16  # of one form that are no files; nothing is read from them
    part_head: int = 4 * 2**10  # a header of a part of a form
    pixels: int = 64_000_000  # of one picture
    receive: float = 14.0  # until a request is there, from its first byte
    stall: float = 14.0  # without the reader taking anything
    deadline: float = 30.0  # until a request is answered, once it is there
    queue: int = 64  # pictures that wait
    slow: int = 4  # explanations and the like that wait
    batch: int = 8  # pictures that a model process takes at once
    workers: int = os.cpu_count() or 1  # model processes
    connections: int = 512
    drain: float = 1.0  # between the signal to end and the last connection taken

    @property
    def picture(self) -> decode.Limits:
        """Those of the decoder."""
        return decode.Limits(pixels=self.pixels, bytes=self.body)
