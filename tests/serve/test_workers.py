"""Model processes that the system does not let start; those that die are in test_ends and test_steady."""

from __future__ import annotations

import asyncio
import errno

import pytest

from alexnet.errors import StorageError
from alexnet.use.server import workers as module
from alexnet.use.server.batching import Line
from alexnet.use.server.limits import Limits
from alexnet.use.server.workers import Workers


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    async def refused(*command: str, **options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module.asyncio, "create_subprocess_exec", refused)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)
    limits = Limits(workers=1)
    return Workers("m.safetensors", None, limits, Line(limits))


def test_one_that_cannot_be_started_ends_the_server(workers: Workers) -> None:
    asyncio.run(asyncio.wait_for(workers._keep(slow=True), 5))
    assert isinstance(workers.failed, StorageError) and "cannot be started: Too many open" in str(workers.failed)


def test_a_later_one_is_tried_again(workers: Workers, capsys: pytest.CaptureFixture[str]) -> None:
    workers.about = {}  # one was ready before

    async def some_time() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(workers._keep(slow=True), 0.3)

    asyncio.run(some_time())
    assert workers.failed is None and capsys.readouterr().err.count("Too many open files; trying again") > 1
