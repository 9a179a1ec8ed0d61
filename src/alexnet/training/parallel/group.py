"""The processes of a run, and what they tell each other.

Each takes its share of every step's pictures; a process by itself is a group of one, which waits for nobody. The first
process leads: it alone prepares, writes and speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from alexnet.errors import NetworkError

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes of a run and this one's place among them; by default this one alone.

    What fails because another process has gone, or does not answer in time, raises NetworkError.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those of this machine
    processes: dist.ProcessGroup | None = None  # None: this one alone

    @property
    def leads(self) -> bool:
        """Whether this is the process that prepares, writes and speaks."""
        return self.rank == 0

    def within(self, seconds: float) -> Group:
        """The same processes, each of which must answer within so many seconds."""
        if self.size == 1:
            return self
        with _answered(self):
            return replace(self, processes=dist.new_group(timeout=timedelta(seconds=seconds)))

    def share(self, count: int) -> slice:
        """Which of `count` things in a row are this process's; no two processes differ by more than one thing."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, tensor: Tensor) -> Callable[[], None]:
        """Begin to add up a tensor over the processes, in place; what is returned waits until that is done."""
        if self.size == 1:
            return lambda: None
        with _answered(self):
            work = dist.all_reduce(tensor, group=self.processes, async_op=True)

        def wait() -> None:
            with _answered(self):
                work.wait()

        return wait

    def each(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, which have one shape [...]: [size, ...], in order of rank."""
        found = tensor.new_empty(self.size, *tensor.shape)
        if self.size == 1:
            return found.copy_(tensor)
        with _answered(self):
            dist.all_gather(list(found.unbind()), tensor.contiguous(), group=self.processes)
        return found

    def deal(self, tensors: Tensor) -> Tensor:
        """From tensors [size, …], one for each process: those for this one, [size, …] in order of rank."""
        own = tensors.contiguous()
        found = torch.empty_like(own)
        if self.size == 1:
            return found.copy_(own)
        with _answered(self):
            dist.all_to_all_single(found, own, group=self.processes)
        return found

    def largest(self, *values: int) -> list[int]:
        """Of each value the largest that any process has."""
        if self.size == 1:
            return list(values)
        found = torch.tensor(values)
        with _answered(self):
            dist.all_reduce(found, dist.ReduceOp.MAX, group=self.processes)
        return [int(value) for value in found.tolist()]

    @contextmanager
    def first_on_each_machine(self) -> Iterator[None]:
        """Inside, one process of each machine goes before the others there: what it makes, they find."""
        if self.local_rank:
            self.largest(0)
        yield
        if not self.local_rank:
            self.largest(0)

    def told(self, value: T) -> T:
        """The leading process's value."""
        if self.size == 1:
            return value
        carried = [value]
        with _answered(self):
            dist.broadcast_object_list(carried, 0, group=self.processes)
        return carried[0]

    def copied(self, tensors: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """The leading process's tensors, on the processor; the others need give none."""
        if self.size == 1:
            assert tensors is not None
            return tensors
        forms = self.told({name: (t.shape, t.dtype) for name, t in tensors.items()} if tensors is not None else None)
        assert forms is not None
        found = {}
        for name, (shape, kind) in forms.items():
            own = torch.empty(shape, dtype=kind) if tensors is None else tensors[name].detach().cpu().contiguous()
            with _answered(self):
                dist.broadcast(own, 0, group=self.processes)
            found[name] = own
        return found

    def gathered(self, own: NDArray[np.float64], counts: Sequence[int]) -> NDArray[np.float64] | None:
        """Rows [count, K] of each process, in order of rank, one below the other on the leading one; None elsewhere."""
        if self.size == 1:
            return own
        with _answered(self):
            if not self.leads:
                if len(own):
                    dist.send(torch.from_numpy(np.ascontiguousarray(own)), 0, group=self.processes)
                return None
            found = np.empty((sum(counts), own.shape[1]))
            found[: counts[0]] = own
            for rank, rows in enumerate(np.split(found, np.cumsum(counts)[:-1])):
                if rank and len(rows):
                    dist.recv(torch.from_numpy(rows), rank, group=self.processes)
            return found


ALONE = Group()


@contextmanager
def _answered(group: Group) -> Iterator[None]:
    """What torch raises when another process is gone, as an error of ours."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0].partition("] ")[2] or str(error)
        raise NetworkError(
            f"process {group.rank} of {group.size}: another one has gone or does not answer ({reason[:80]}); "
            "torchrun --max-restarts goes on by itself"
        ) from None
