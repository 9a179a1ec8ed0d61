"""The model processes: started, given work, started anew when they die.

Each holds as many pictures as one batch, so that those which come while it decodes join those it has. Only the first
half of the processes, at least one, do slow work, one piece at a time and never two in a row while predictions wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from alexnet import errors
from alexnet.errors import AlexNetError, StorageError, UsageError, reason
from alexnet.progress import say
from alexnet.use.server.batching import Job, Line
from alexnet.use.server.frames import pack, receive
from alexnet.use.server.limits import Limits
from alexnet.use.server.problems import document

TRIES = 2  # processes that may die over a picture that they had alone
LONGEST_PAUSE = 30.0  # seconds before a process is started anew that keeps dying
PATIENCE = 5.0  # seconds beyond the deadline until a process counts as stuck
WATCHED = 1.0


class Worker:
    """One process and the jobs it has, oldest first."""

    def __init__(self, process: asyncio.subprocess.Process, slow: bool) -> None:
        self.process = process
        self.may_slow = slow
        self.held: deque[Job] = deque()
        self.since = 0.0  # when the oldest was begun
        self.rested = True  # has predicted since its last slow work
        self.ready = False

    def room(self, job: Job, batch: int) -> bool:
        """Whether it can take this job now."""
        assert self.process.stdin is not None
        if not self.ready or self.process.stdin.is_closing() or (job.slow and not self.may_slow):
            return False
        return not self.held if job.alone else len(self.held) < batch and not any(held.alone for held in self.held)

    def give(self, job: Job) -> None:
        if not self.held:
            self.since = time.monotonic()
        self.held.append(job)
        assert self.process.stdin is not None
        self.process.stdin.writelines(pack(job.ask, [job.data]))


class Workers:
    """All processes of one server. `about` is what the model says of itself, once one of them is ready."""

    def __init__(self, model: str, index: str | None, limits: Limits, line: Line) -> None:
        self.model, self.index, self.limits, self.line = model, index, limits, line
        self.about: dict[str, Any] | None = None
        self.file: list[int] | None = None  # which one they have, by what the system knows of it
        self.failed: AlexNetError | None = None  # what keeps all of them from starting
        self.running: list[Worker] = []
        self.restarts = 0
        self.batched: Callable[[int], None] = lambda size: None  # told the size of each batch
        self.ending = False
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        slow = max(1, self.limits.workers // 2)
        self.tasks = [asyncio.create_task(self._keep(number < slow)) for number in range(self.limits.workers)]
        self.tasks.append(asyncio.create_task(self._watch()))

    async def end(self) -> None:
        """Let the processes end; those that do not are killed."""
        self.ending = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def ready(self) -> bool:
        return any(worker.ready for worker in self.running)

    # ------------------------------------------------------------------------------------------------------- a process

    async def _keep(self, slow: bool) -> None:
        """Keep one process running. What keeps the first one from starting ends the server; a later one, whose file is
        damaged by then or another, only where no process has the model any more."""
        pause, began = 0.0, False
        while not self.failed:
            try:
                worker, why = await self._started(slow), ""
            except OSError as error:  # the system has no process or no descriptor left
                failure = StorageError(f"a model process cannot be started: {reason(error)}")
                if self.about is None:
                    self.failed = failure
                    return
                say(f"alexnet serve: {failure}; trying again")
                pause = min(LONGEST_PAUSE, 2 * pause + 1)
                await asyncio.sleep(pause)
                continue
            try:
                await self._listen(worker)
            except (asyncio.IncompleteReadError, OSError):
                pass
            except AlexNetError as error:
                why = f": {error}"
                if not (began and self.ready()):
                    self.failed = error
            finally:
                self.running.remove(worker)
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
                code = await worker.process.wait()
            began = began or worker.ready
            pause = 0.0 if worker.ready else min(LONGEST_PAUSE, 2 * pause + 1)
            if self.about is None or self.failed:
                self.failed = self.failed or AlexNetError(f"a model process ended with {code} before it was ready")
                return
            self.restarts += 1
            say(f"alexnet serve: a model process ended with {code}{why}; starting another")
            self._orphaned(worker)
            await asyncio.sleep(pause)

    async def _started(self, slow: bool) -> Worker:
        index = self.index if slow else None
        settings = json.dumps({"model": self.model, "index": index, "limits": dataclasses.asdict(self.limits)})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "alexnet.use.server.worker", settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C, which goes to the whole group, is the server's
        )
        worker = Worker(process, slow)
        self.running.append(worker)
        return worker

    async def _listen(self, worker: Worker) -> None:
        """Take what a process says, until it ends. Raises the error that keeps it from starting."""
        assert worker.process.stdout is not None
        while True:
            said, blobs = await receive(worker.process.stdout)
            if "ready" in said:
                if said["file"] != (self.file or said["file"]):
                    raise UsageError(f"{self.model}: not the file any more that is served; start the server anew")
                self.about, self.file, worker.ready = said["ready"], said["file"], True
            elif "error" in said:
                raise getattr(errors, said["kind"])(said["error"])
            else:
                self._answered(worker, said["answers"], blobs)
            self.dispatch()

    def _answered(self, worker: Worker, answers: list[dict[str, Any]], blobs: list[bytes]) -> None:
        self.batched(len(answers))
        worker.since = time.monotonic()
        for place, answer in enumerate(answers):
            job = worker.held.popleft()
            worker.rested = not job.slow
            if not job.answer.done():
                job.answer.set_result((answer, blobs[place] if blobs else b""))

    def _orphaned(self, worker: Worker) -> None:
        """The jobs of a process that died go back to the line, each to be tried alone; one over which processes die
        again and again is refused."""
        for job in reversed(worker.held):
            job.deaths += len(worker.held) == 1
            job.suspect = True
            if job.deaths < TRIES:
                self.line.back(job)
            elif not job.answer.done():
                job.answer.set_result((document(422, "the process that decoded it ended, more than once"), b""))
        self.dispatch()

    async def _watch(self) -> None:
        """Kill processes that are stuck."""
        while True:
            await asyncio.sleep(WATCHED)
            late = time.monotonic() - self.limits.answer_seconds - PATIENCE
            for worker in self.running:
                if worker.held and worker.since < late:
                    worker.process.kill()

    # ------------------------------------------------------------------------------------------------------------ work

    def dispatch(self) -> None:
        """Give waiting jobs to the processes that have room, the emptiest first."""
        while job := self.line.first(slow=True):
            worker = self._for(job, [w for w in self.running if w.rested or not self.line.quick])
            if worker is None:
                break
            worker.give(self.line.take(slow=True))
        while job := self.line.first(slow=False):
            worker = self._for(job, [w for w in self.running if not self._kept(w)])
            if worker is None:
                break
            worker.give(self.line.take(slow=False))

    def _kept(self, worker: Worker) -> bool:
        """Whether a process shall run empty, because slow work waits for it."""
        return bool(self.line.slow) and worker.may_slow and worker.rested

    def _for(self, job: Job, workers: list[Worker]) -> Worker | None:
        free = [worker for worker in workers if worker.room(job, self.limits.batch)]
        return min(free, key=lambda worker: len(worker.held), default=None)
