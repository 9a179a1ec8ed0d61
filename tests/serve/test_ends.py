"""S6: SIGTERM finishes the work in hand and exits with 0; under load no request that was taken is lost."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from pathlib import Path

import pytest
from clients import Running, Start

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


def client(server: Running, picture: bytes, counts: list[int], lost: list[str]) -> None:
    """Asks again and again on one connection until the server says that it closes it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    while True:
        try:
            connection.request("POST", "/v1/predict", picture)
            response = connection.getresponse()
            response.read()
        except ConnectionRefusedError:
            return  # it takes no more connections, and never had this request
        except (OSError, http.client.HTTPException) as error:
            lost.append(repr(error))
            return
        counts.append(response.status)
        if response.getheader("connection") == "close":
            connection.close()


def test_sigterm_under_load_loses_no_request(start: Start, jpeg):
    server = start("--workers", "2")
    counts: list[int] = []
    lost: list[str] = []
    clients = [threading.Thread(target=client, args=(server, jpeg, counts, lost)) for _ in range(12)]
    for thread in clients:
        thread.start()
    time.sleep(1)
    before = len(counts)
    children = server.children()
    assert server.end() == 0
    assert len(children) == 2 and not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    for thread in clients:
        thread.join(30)
    assert not lost and set(counts) == {200} and before > 20 and len(counts) > before


def test_what_was_begun_is_answered(start: Start, jpeg):
    """A request whose body is still on its way when the signal comes."""
    server = start("--workers", "1")
    with server.connect() as connection:
        connection.sendall(HEAD % len(jpeg) + jpeg[:100])
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(2)
        connection.sendall(jpeg[100:])
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(20) == 0


def test_not_ready_while_it_ends(start: Start):
    server = start("--workers", "1", "--drain-seconds", "3")
    assert server.ask("GET", "/readyz").status == 200
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    answer = server.ask("GET", "/readyz")
    assert answer.status == 503 and answer.problem
    assert server.ask("GET", "/healthz").status == 200
    assert server.process.wait(20) == 0


def test_model_processes_end_when_the_server_is_killed(start: Start):
    server = start("--workers", "2")
    children = server.children()
    server.process.kill()
    server.process.wait()
    began = time.monotonic()
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() - began < 10
        time.sleep(0.05)


@pytest.mark.slow
def test_ctrl_c_ends_it_as_it_ends_other_commands(start: Start):
    server = start("--workers", "1")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 130


def test_a_stalled_client_does_not_keep_it_from_ending(start: Start):
    server = start("--workers", "1", "--receive-seconds", "2")
    with server.connect() as silent, server.connect() as halfway:
        halfway.sendall(HEAD % 5000 + b"x")
        began = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - began < 8
        silent.close()
