"""S1 and S3: a full line answers at once, a process that dies costs nobody an answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from clients import Running, Start, form

from alexnet.use.server.batching import Job, Line
from alexnet.use.server.limits import Limits
from alexnet.use.server.workers import Worker, Workers


@contextlib.contextmanager
def halted(server: Running) -> Iterator[None]:
    """The model processes stand still."""
    children = server.children()
    for child in children:
        os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)


def until(server: Running, name: str, least: float) -> None:
    began = time.monotonic()
    while server.figure(name) < least:
        assert time.monotonic() - began < 20, f"{name} stays below {least}"
        time.sleep(0.02)


def test_a_full_line_answers_503_at_once(start: Start, jpeg):
    server = start("--workers", "1", "--batch", "2", "--queue", "4")
    with ThreadPoolExecutor(6) as pool:
        with halted(server):
            waiting = [pool.submit(server.predict, jpeg) for _ in range(6)]  # two in work, four in the line
            until(server, "alexnet_pictures_waiting", 4)
            for _ in range(20):
                refused = server.predict(jpeg)
                assert refused.status == 503 and refused.problem and refused.seconds < 0.5
                assert int(refused.headers["retry-after"]) >= 1
            body, kind = form(*[("a.jpg", jpeg)] * 5)
            assert server.predict(body, headers=kind).status == 503
            assert server.ask("GET", "/healthz").status == 200  # everything else goes on
        assert [answer.result().status for answer in waiting] == [200] * 6
    assert server.predict(jpeg).status == 200


def test_who_waits_too_long_is_told_to_come_again(start: Start, jpeg):
    server = start("--workers", "1", "--answer-seconds", "1")
    with halted(server):
        answer = server.predict(jpeg)
    assert answer.status == 503 and answer.headers["retry-after"] and 0.9 < answer.seconds < 3
    assert server.predict(jpeg).status == 200


def test_processes_killed_under_load_cost_nobody_an_answer(start: Start, jpeg):
    server = start("--workers", "2")
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.predict, jpeg, timeout=60) for _ in range(400)]
        for _ in range(3):
            time.sleep(0.3)
            for child in server.children()[:1]:
                os.kill(child, signal.SIGKILL)
        found = [answer.result() for answer in answers]
    assert [answer.status for answer in found] == [200] * 400
    assert len({answer.json["predictions"][0]["label"] for answer in found}) == 1
    until(server, "alexnet_processes_ready", 2)
    assert server.figure("alexnet_process_restarts") == 3


def test_all_processes_killed_while_they_hold_pictures(start: Start, jpeg):
    server = start("--workers", "2", "--batch", "4")
    with ThreadPoolExecutor(8) as pool:
        with halted(server):
            answers = [pool.submit(server.predict, jpeg, timeout=60) for _ in range(8)]
            time.sleep(0.5)
            for child in server.children():
                os.kill(child, signal.SIGKILL)
        assert [answer.result().status for answer in answers] == [200] * 8


def test_a_picture_over_which_processes_die_again_and_again_is_refused():
    """And those that were beside it are tried alone, and not blamed."""

    async def scene() -> tuple[list[Job], Workers]:
        limits = Limits(workers=1)
        workers = Workers("", None, limits, Line(limits))
        stdin = SimpleNamespace(is_closing=lambda: False, writelines=lambda pieces: None)
        loop = asyncio.get_running_loop()
        jobs = [Job({"work": "predict"}, b"", loop.create_future()) for _ in range(3)]
        workers.line.add(jobs)
        while workers.line.first(slow=False):
            worker = Worker(SimpleNamespace(stdin=stdin), slow=False)  # type: ignore[arg-type]
            worker.ready = True
            workers.running = [worker]
            workers.dispatch()
            workers.running = []
            if jobs[1] in worker.held:
                workers._orphaned(worker)  # it dies
            else:
                workers._answered(worker, [{} for _ in worker.held], [])
        return jobs, workers

    jobs, _ = asyncio.run(scene())
    good, bad, other = (job.answer.result()[0] for job in jobs)
    assert good == other == {} and bad["status"] == 422


@pytest.mark.slow
def test_a_process_that_is_stuck_is_replaced(start: Start, jpeg):
    server = start("--workers", "1", "--answer-seconds", "0.5")
    with halted(server):
        assert server.predict(jpeg).status == 503
        until(server, "alexnet_process_restarts", 1)
    until(server, "alexnet_processes_ready", 1)
    assert server.predict(jpeg).status == 200
