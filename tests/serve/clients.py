"""A server as a process of its own, and clients that know HTTP only as bytes."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = tuple(f"<b>class & {number}</b>" for number in range(10))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> bool:
        """Whether it is a refusal in the form of RFC 9457."""
        kind = self.headers["content-type"]
        return kind == "application/problem+json" and self.json["status"] == self.status and bool(self.json["detail"])


@dataclass
class Running:
    """`alexnet serve`, listening at a port of this machine."""

    process: subprocess.Popen[str]
    port: int
    said: dict[str, Any] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 30
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        began = time.monotonic()
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes | None))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, content, time.monotonic() - began)

    def predict(self, body: bytes, query: str = "", **options: Any) -> Answer:
        return self.ask("POST", f"/v1/predict{query}", body, **options)

    def connect(self, timeout: float = 30) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, data: bytes, timeout: float = 30) -> bytes:
        """All that comes back for some bytes, until the server closes."""
        with self.connect(timeout) as connection:
            connection.sendall(data)
            return until_closed(connection)

    def children(self) -> list[int]:
        """The model processes."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def alive(self) -> bool:
        return self.process.poll() is None

    def figure(self, name: str) -> float:
        """One of the metrics, summed over its labels."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def end(self, timeout: float = 60) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


def until_closed(connection: socket.socket) -> bytes:
    found = bytearray()
    try:
        while piece := connection.recv(2**16):
            found += piece
    except ConnectionError:
        pass
    return bytes(found)


def form(*files: tuple[str, bytes], boundary: str = "alexnet") -> tuple[bytes, dict[str, str]]:
    """A body of multipart/form-data and its header."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), kind


def encoded(kind: str, side: int = 48) -> bytes:
    rng = np.random.default_rng(side)
    data = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(data, kind)
    return data.getvalue()


Start = Callable[..., Running]


def started(model: Path | None, *options: str, **more: Any) -> Running:
    """A server that listens; without a model, for the one in the box."""
    named = ["--model", str(model)] if model else []
    command = [sys.executable, "-m", "alexnet", "serve", "--json", "--port", "0", *named, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **more)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the server ended before it was ready"
    said = json.loads(line)
    return Running(process, int(said["url"].rpartition(":")[2]), said)


def stop(server: Running) -> None:
    for child in server.children() if server.alive() else []:
        os.kill(child, signal.SIGCONT)
    if server.alive():
        server.process.kill()
    server.process.wait()
    assert server.process.stdout is not None
    server.process.stdout.close()
