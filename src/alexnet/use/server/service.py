"""What all requests share: limits, the line, the model processes, the figures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alexnet.use.server.batching import Job, Line
from alexnet.use.server.limits import Limits
from alexnet.use.server.metrics import Metrics
from alexnet.use.server.problems import busy
from alexnet.use.server.uploads import Budget
from alexnet.use.server.workers import Workers

Answered = tuple[dict[str, Any], bytes]


@dataclass
class Service:
    """One server. `draining` since it was told to end."""

    model: str
    limits: Limits
    token: str | None = None
    index: str | None = None
    draining: bool = False
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.line = Line(self.limits)
        self.budget = Budget(self.limits.buffered_bytes)
        self.workers = Workers(self.model, self.index, self.limits, self.line)
        self.workers.batched = self.metrics.batches.observe

    async def ask(self, asked: dict[str, Any], pictures: Sequence[bytes]) -> list[Answered]:
        """What the model processes say to each picture. Raises Problem 503 when they have too much to do."""
        loop = asyncio.get_running_loop()
        jobs = [Job(asked, picture, loop.create_future()) for picture in pictures]
        self.line.add(jobs)
        self.workers.dispatch()
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return [await job.answer for job in jobs]
        except TimeoutError:
            raise busy(f"not answered after {self.limits.answer_seconds:g} seconds") from None
        finally:
            for job in jobs:
                job.answer.cancel()  # whoever has it need not hurry any more

    def figures(self) -> bytes:
        """The metrics, with what is so at this moment."""
        self.metrics.waiting.set(len(self.line.quick) + len(self.line.slow))
        self.metrics.buffered.set(self.budget.held)
        self.metrics.ready.set(sum(worker.ready for worker in self.workers.running))
        self.metrics.restarts.set(self.workers.restarts)
        return self.metrics.text()
