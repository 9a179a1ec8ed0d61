"""HTTP with deadlines and bounded heads, which uvicorn's own protocol lacks.

httptools rather than h11: it parses a request with a picture of 200 kB in a fraction of the time, and limits of size
have to be ours with either one for the time that a sender takes.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from alexnet.use.server.limits import Limits
from alexnet.use.server.problems import MEDIA_TYPE, Problem, busy

SWEEP = 0.5  # seconds between looks at the clock
IDLE = 1.0  # seconds that a silent connection is kept while the server ends
LINGER = 1.0  # seconds in which the sender of what was refused can read why, before its bytes meet a closed door


class Connection(HttpToolsProtocol):
    """A connection that is closed when its sender or its reader takes too long."""

    limits = Limits()  # of all connections: uvicorn makes them itself

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.receiving: float | None = time.monotonic()  # since when a request is awaited or on its way
        self.parsing_head = True
        self.head = self.header_count = 0  # bytes, lines
        self.unsent, self.stalled = 0, 0.0  # bytes that the reader has yet to take, since when no fewer
        self.ending: float | None = None
        self.refused: float | None = None
        self.refusal: Problem | None = None
        if len(self.connections) > 2 * self.limits.connections:
            transport.abort()
        elif len(self.connections) > self.limits.connections:
            self.refuse(busy("too many connections"))

    def data_received(self, data: bytes) -> None:
        if self.refused is not None:
            return
        if self.receiving is None:
            self.receiving = time.monotonic()
        if self.parsing_head:
            self.head += len(data)
        super().data_received(data)
        if self.parser is not None and self.parsing_head and self.head > self.limits.head_bytes:
            self.refuse(self._too_long())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.receiving = self.receiving or time.monotonic()
        self.parsing_head, self.head, self.header_count = True, 0, 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._bound(len(self.url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self.header_count += 1
        self._bound(sum(len(n) + len(v) for n, v in self.headers))

    def _bound(self, size: int) -> None:
        if size > self.limits.head_bytes or self.header_count > self.limits.headers:
            self.refusal = self._too_long()
            raise ValueError  # ends the parsing, and `send_400_response` is called

    def _too_long(self) -> Problem:
        limits = self.limits
        return Problem(431, f"a request's head may have {limits.head_bytes:,} bytes and {limits.headers} headers")

    def on_headers_complete(self) -> None:
        self.parsing_head = False
        if self.parser.should_upgrade():  # its body would be taken for the other protocol's
            self.refusal = Problem(400, "this server changes to no other protocol: send neither Upgrade nor CONNECT")
            raise ValueError
        super().on_headers_complete()
        if self.ending is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.receiving = None

    def send_400_response(self, msg: str) -> None:
        self.refuse(self.refusal or Problem(400, "this is not HTTP as it should be"))

    def refuse(self, problem: Problem) -> None:
        """Answer in place of the application, unless it has begun to answer itself, and close."""
        if self.refused is not None:
            return
        self.refused = time.monotonic()
        self._unset_keepalive_if_required()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_response(problem))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write_eof()

    def shutdown(self) -> None:
        """The server ends: what is on its way is answered, silence is waited for a moment."""
        self.ending = time.monotonic()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def sweep(self, now: float) -> None:
        """Close what takes too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent == self.unsent:
            if now - self.stalled > self.limits.stall_seconds:
                self.transport.abort()
        else:
            self.unsent, self.stalled = unsent, now
        if self.refused is not None and now - self.refused > LINGER:
            self.transport.close()
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.receiving is not None and self.refused is None and now - self.receiving > self.limits.receive_seconds:
            self.refuse(Problem(408, f"the request was not complete after {self.limits.receive_seconds:g} seconds"))
        elif self.ending is not None and now - self.ending > IDLE and not answering:
            self.transport.close()


def _response(problem: Problem) -> bytes:
    body = problem.body()
    headers: dict[str, Any] = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": len(body),
        "Connection": "close",
        "X-Content-Type-Options": "nosniff",
        **problem.headers,
    }
    lines = [
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def sweep(connections: set[Any]) -> None:
    """Look at all connections now and then, for as long as the server runs."""
    while True:
        await asyncio.sleep(SWEEP)
        now = time.monotonic()
        for connection in list(connections):
            connection.sweep(now)
