"""The line in front of the model processes: bounded, first come first served, explanations beside predictions."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from alexnet.use.server.limits import Limits
from alexnet.use.server.problems import busy

PREDICT = "predict"


@dataclass
class Job:
    """One picture and what is asked about it; `answer` is a document and, for some work, bytes."""

    ask: dict[str, Any]
    data: bytes
    answer: asyncio.Future[tuple[dict[str, Any], bytes]]
    suspect: bool = False  # a process died over it, and it alone shall answer for the next
    deaths: int = 0  # of processes that had nothing else to do

    @property
    def slow(self) -> bool:
        return bool(self.ask["work"] != PREDICT)

    @property
    def alone(self) -> bool:
        return self.slow or self.suspect


class Line:
    """Jobs that wait. Those whose asker has gone are passed over."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.quick: deque[Job] = deque()
        self.slow: deque[Job] = deque()

    def full(self, slow: bool = False) -> bool:
        return len(self.slow) >= self.limits.slow_queue if slow else len(self.quick) >= self.limits.queue

    def add(self, jobs: list[Job]) -> None:
        """All of them or none. Raises Problem 503 when there is no room."""
        line, most = (self.slow, self.limits.slow_queue) if jobs[0].slow else (self.quick, self.limits.queue)
        if line and len(line) + len(jobs) > most:
            raise busy("too many pictures are waiting")
        line.extend(jobs)

    def back(self, job: Job) -> None:
        """To the head of the line."""
        (self.slow if job.slow else self.quick).appendleft(job)

    def first(self, slow: bool) -> Job | None:
        """The one whose turn it is, still in the line."""
        line = self.slow if slow else self.quick
        while line and line[0].answer.done():
            line.popleft()
        return line[0] if line else None

    def take(self, slow: bool) -> Job:
        return (self.slow if slow else self.quick).popleft()
