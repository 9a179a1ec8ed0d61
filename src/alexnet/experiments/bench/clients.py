"""Clients that ask a server for predictions, as many as wanted, in one process of their own.

They know HTTP only as bytes that were made beforehand, so that little of the machine goes to them, and count their own
processor time, so that it can be taken off.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from alexnet.errors import StorageError

BOUNDARY = b"alexnet"
PATIENCE = 60.0  # seconds until an answer counts as lost
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Seen:
    """What the clients met: how often each status, how long the answers with 200 took, in seconds."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def request(path: str, picture: bytes, form: str | None) -> bytes:
    """One request; `form`: the name of the field, or None for the picture as it is."""
    body, kind = picture, b"application/octet-stream"
    if form:
        head = f'Content-Disposition: form-data; name="{form}"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        body = b"--" + BOUNDARY + b"\r\n" + head.encode() + picture + b"\r\n--" + BOUNDARY + b"--\r\n"
        kind = b"multipart/form-data; boundary=" + BOUNDARY
    line = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nContent-Type: "
    return line.encode() + kind + b"\r\n\r\n" + body


async def ask(stream: Stream, asked: bytes) -> int:
    """Status of the answer, which is read to its end."""
    reader, writer = stream
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
    await reader.readexactly(int(length))
    return int(head[9:12])


async def closed_loop(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Seen:
    """Each client asks again as soon as it has its answer."""
    seen, end = Seen(), time.perf_counter() + seconds
    asked = cycle(requests)

    async def client() -> None:
        stream: Stream | None = None
        while (began := time.perf_counter()) < end:
            stream = stream or await asyncio.open_connection("127.0.0.1", port)  # fails where the server has gone
            stream = await _counted(seen, port, stream, next(asked), began)
        if stream:
            stream[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return seen


async def open_loop(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> Seen:
    """`rate` requests a second, whether the others are answered or not."""
    seen, idle, asked = Seen(), deque[Stream](), cycle(requests)

    async def arrival() -> None:
        began = time.perf_counter()
        stream = await _counted(seen, port, idle.popleft() if idle else None, next(asked), began)
        if stream:
            idle.append(stream)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            await asyncio.sleep(began + number / rate - time.perf_counter())
            group.create_task(arrival())
    for _, writer in idle:
        writer.close()
    return seen


async def _counted(seen: Seen, port: int, stream: Stream | None, asked: bytes, began: float) -> Stream | None:
    """One request, over a new connection where there is none; the answer is the connection, if it can be used again."""
    try:
        async with asyncio.timeout(PATIENCE):
            stream = stream or await asyncio.open_connection("127.0.0.1", port)
            status = await ask(stream, asked)
    except (OSError, EOFError, IndexError, ValueError):  # TimeoutError is an OSError
        seen.statuses["lost"] += 1
        if stream:
            stream[1].close()
        return None
    seen.statuses[str(status)] += 1
    if status == 200:
        seen.seconds.append(time.perf_counter() - began)
    return stream


def run(settings: dict[str, Any]) -> dict[str, Any]:
    """Load a server for some time. `rate`: requests a second, or None for as many as `clients` get answered."""
    pictures = [file.read_bytes() for file in sorted(Path(settings["pictures"]).iterdir())]
    requests = [request(settings["path"], picture, settings["form"]) for picture in pictures]
    port, seconds, rate = settings["port"], settings["seconds"], settings["rate"]
    began, cpu = time.perf_counter(), time.process_time()
    work = (
        open_loop(port, requests, rate, seconds) if rate else closed_loop(port, requests, settings["clients"], seconds)
    )
    seen = asyncio.run(work)
    whole, cpu = time.perf_counter() - began, time.process_time() - cpu
    waited = sorted(seen.seconds) or [0.0]
    return {
        "answered": len(seen.seconds),
        "statuses": dict(seen.statuses),
        "seconds": whole,
        "cpu_seconds": cpu,
        "p50_ms": 1000 * statistics.median(waited),
        "p99_ms": 1000 * waited[min(len(waited) - 1, int(0.99 * len(waited)))],
    }


if __name__ == "__main__":
    try:
        found = run(json.loads(sys.argv[1]))
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        sys.exit(StorageError.exit_code)
    sys.stdout.write(json.dumps(found))
