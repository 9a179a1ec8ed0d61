"""S4: memory, descriptors and threads stay flat over many mixed requests."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clients import Running, Start, encoded, form

MEBIBYTE = 2**20


def held(pid: int) -> tuple[int, int, int]:
    """Bytes of memory, descriptors, threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return 1024 * int(status["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])


def mixed(server: Running, number: int) -> int:
    """The status of one request of many kinds."""
    picture = PICTURES[number % len(PICTURES)]
    body, kind = form(("a.jpg", picture), ("b.txt", b"words"))
    match number % 11:
        case 0:
            return server.predict(body, headers=kind).status
        case 1:
            return server.predict(body[:-30], headers=kind).status
        case 2:
            return server.predict(picture[: len(picture) // 2]).status
        case 3:
            return server.predict(b"words" * 1000).status
        case 4:
            return server.predict(iter([picture[:500], picture[500:]])).status
        case 5:
            return server.ask("GET", ("/v1/model", "/metrics", "/nothing", "/openapi.json")[number % 4]).status
        case 6:
            return int(server.raw(b"nonsense\r\n\r\n").split(b" ")[1])
        case 7:
            with server.connect() as connection:  # and goes away in the middle
                connection.sendall(
                    b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + picture[:900]
                )
            return 200
        case 8:
            return server.predict(picture, "?views=10&top=10").status
        case _:
            return server.predict(picture).status


PICTURES = [encoded(kind, side) for kind in ("JPEG", "PNG", "WEBP", "GIF") for side in (33, 48, 300, 700)]
FORESEEN = {200, 400, 404, 415, 422}


def flat(server: Running, count: int, allowed: int) -> None:
    pids = [server.process.pid, *server.children()]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda number: mixed(server, number), range(count // 4))) <= FORESEEN
        before = [held(pid) for pid in pids]
        assert set(pool.map(lambda number: mixed(server, number), range(count))) <= FORESEEN
    assert [server.process.pid, *server.children()] == pids  # nobody died
    for (bytes_before, files_before, threads_before), pid in zip(before, pids, strict=True):
        bytes_after, files_after, threads_after = held(pid)
        assert threads_after == threads_before
        assert files_after <= files_before + 9  # connections of the eight clients that are just being closed
        assert bytes_after - bytes_before < allowed, (bytes_before, bytes_after)


def test_flat_over_mixed_requests(start: Start):
    flat(start("--workers", "2"), 800, 24 * MEBIBYTE)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["onnx", "torch"])
def test_flat_over_10_000_mixed_requests(start: Start, model):
    flat(start("--workers", "2", model=model), 10_000, 24 * MEBIBYTE)
