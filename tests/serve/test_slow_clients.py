"""S2: who sends or reads slowly is closed in time, and does not hold the others."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, repeat

import pytest
from clients import Running, Start, until_closed

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"
PIPELINED = b"GET /v1/model HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"


def closed_after(connection: socket.socket, pieces: Iterator[bytes]) -> tuple[float, bytes]:
    """Seconds until the server closes a connection to which a piece is sent now and then, and what it said."""
    began, said = time.monotonic(), b""
    connection.settimeout(0.1)
    while time.monotonic() - began < 40:
        try:
            connection.sendall(next(pieces, b""))
            piece = connection.recv(2**16)
            if not piece:
                break
            said += piece
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began, said


def letters(text: bytes) -> Iterator[bytes]:
    return (text[place : place + 1] for place in range(len(text)))


CHUNKED = HEAD.replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked")
SLOW: dict[str, Callable[[], Iterator[bytes]]] = {
    "nothing at all": lambda: iter(()),
    "a head letter by letter": lambda: letters(b"GET /" + b"x" * 500),
    "empty lines": lambda: repeat(b"\r\n"),
    "headers one by one": lambda: chain([b"GET / HTTP/1.1\r\n"], repeat(b"X: y\r\n", 90)),
    "a body byte by byte": lambda: chain([HEAD], repeat(b"x")),
    "a body that stops": lambda: iter([HEAD]),
    "chunks byte by byte": lambda: chain([CHUNKED], repeat(b"1\r\nx\r\n")),
}


def slowly(server: Running, name: str) -> tuple[float, bytes]:
    with server.connect() as connection:
        return closed_after(connection, SLOW[name]())


def all_at_once(server: Running) -> dict[str, tuple[float, bytes]]:
    with ThreadPoolExecutor(len(SLOW)) as pool:
        return dict(zip(SLOW, pool.map(lambda name: slowly(server, name), SLOW), strict=True))


def test_slow_senders_are_closed(server):
    """With a deadline of 2 seconds instead of 14."""
    for name, (seconds, said) in all_at_once(server).items():
        assert 1.5 < seconds < 5, name
        assert said.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in said, name


@pytest.mark.slow
def test_slow_senders_are_closed_in_15_seconds(start):
    for name, (seconds, said) in all_at_once(start("--workers", "1")).items():
        assert 13 < seconds < 15.5 and said.startswith(b"HTTP/1.1 408 "), name


def test_a_second_request_of_a_connection_has_its_own_deadline(server, jpeg):
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.8)  # three times: longer than one deadline
            assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
        seconds, said = closed_after(connection, letters(b"GET /" + b"x" * 500))
        assert 1.5 < seconds < 5 and said.startswith(b"HTTP/1.1 408 ")


def test_a_reader_that_stalls_is_closed(server):
    """Asks for far more than the system keeps for a connection, and reads none of it."""
    before = descriptors(server)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.settimeout(1)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 30:
                connection.sendall(LARGE * 200)
        except (TimeoutError, ConnectionError):
            pass
        while descriptors(server) > before and time.monotonic() - began < 30:
            time.sleep(0.2)
    assert time.monotonic() - began < 28  # the loops above end at 30
    assert server.ask("GET", "/healthz").status == 200


def descriptors(server: Running) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def harm(server: Running, count: int, until: ExitStack) -> list[socket.socket]:
    """Connections that send part of a head, part of a body, or ask and do not read, in turn."""
    found = []
    for number in range(count):
        connection = until.enter_context(server.connect())
        kind = number % 4
        connection.sendall([b"GET / HT", HEAD + b"x" * 900, PIPELINED * 3, b""][kind])
        found.append(connection)
    return found


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_good_clients_go_on_beside_300_bad_ones(start: Start, jpeg, many_files):
    server = start("--workers", "1", "--receive-seconds", "6", "--stall-seconds", "6")
    with ExitStack() as until:
        bad = harm(server, 300, until)
        answered, began = 0, time.monotonic()
        while time.monotonic() - began < 3:
            good = server.predict(jpeg)
            assert good.status == 200 and good.seconds < 2
            answered += 1
        assert answered > 30
        with ThreadPoolExecutor(300) as pool:  # the server closes all of them
            list(pool.map(until_closed, bad, timeout=20))
    assert server.predict(jpeg).status == 200


def test_more_connections_than_allowed_are_told_so(start: Start, jpeg):
    server = start("--workers", "1", "--connections", "20")
    with ExitStack() as until:
        for _ in range(20):
            until.enter_context(server.connect())
        answer = server.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in answer
    assert any(server.predict(jpeg).status == 200 for _ in range(50))
