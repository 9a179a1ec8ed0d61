"""`alexnet serve`: the socket, the model processes and uvicorn, from the start to the end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from alexnet.errors import Interrupted, UsageError, reason
from alexnet.insight.features import folder
from alexnet.use.server.app import make_app
from alexnet.use.server.guard import guarded
from alexnet.use.server.protocol import Connection, sweep
from alexnet.use.server.service import Service
from alexnet.weights import files

BACKLOG = 512
TAKEN = 0.1  # seconds to take the connections that the system has made


class Server(uvicorn.Server):
    """uvicorn's, which goes on for a moment after the signal to end: the last connections are taken and told."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.service, self.ready = service, ready
        self.told: float | None = None
        self.signal: int | None = None
        self.announced = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.told is not None and sig == signal.SIGINT:
            self.force_exit = True
        self.told = self.told or time.monotonic()
        self.signal = self.signal or sig
        self.service.draining = True

    async def on_tick(self, counter: int) -> bool:
        if not self.announced and self.service.workers.ready():
            self.announced = True
            self.ready()
        over = self.told is not None and time.monotonic() - self.told > self.service.limits.drain_seconds
        return await super().on_tick(counter) or over or self.service.workers.failed is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in sockets or []:  # who has connected already is taken; closing the socket would cut them off
            listening.listen(0)
        await asyncio.sleep(TAKEN)
        await super().shutdown(sockets)


def serve(service: Service, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Answer requests until a signal. `ready` is called with the address once pictures are taken.

    Raises UsageError when the address cannot be had, the model's own error when it cannot be loaded, Interrupted
    after Ctrl-C.
    """
    _look(service)
    listening = _bound(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    limits = service.limits
    config = uvicorn.Config(
        guarded(make_app(service), service),
        http=type("Connection", (Connection,), {"limits": limits}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(limits.answer_seconds + limits.receive_seconds) + 1,
    )
    for noisy in ("uvicorn.error", "python_multipart"):  # not a line for whatever strangers send
        logging.getLogger(noisy).setLevel(logging.ERROR)
    server = Server(config, service, lambda: ready(address))
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(server, listening))
    if service.workers.failed:
        raise service.workers.failed
    if server.signal == signal.SIGINT:
        raise Interrupted("interrupted", signal.SIGINT)


async def _run(server: Server, listening: socket.socket) -> None:
    async with _working(server):
        await server.serve(sockets=[listening])


@asynccontextmanager
async def _working(server: Server) -> AsyncIterator[None]:
    """The model processes and the look at the clock, while the server runs."""
    server.service.workers.start()
    sweeping = asyncio.create_task(sweep(server.server_state.connections))
    try:
        yield
    finally:
        sweeping.cancel()
        await server.service.workers.end()


def _look(service: Service) -> None:
    """Raise at once what a model process would say after seconds."""
    path = files.locate(service.model)
    if path.suffix.lower() != ".onnx":
        files.describe(path)
    if service.index is not None:
        folder.read(Path(service.index))


def _bound(host: str, port: int) -> socket.socket:
    if not host:
        raise UsageError("--host '': name the address to listen at; 0.0.0.0 is every one that this machine has")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        listening.close()
        raise UsageError(f"{host}:{port}: {reason(error)}; choose another --host or --port") from None
    return listening


def document(address: str, about: dict[str, Any]) -> dict[str, Any]:
    """What is said once pictures are taken."""
    return {"url": address, "model": about["name"], "variant": about["variant"], "classes": len(about["classes"])}
