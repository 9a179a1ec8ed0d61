"""Training by several processes, as torchrun starts them: which of them one is, and what they tell each other.

Each takes its share of every step's pictures, and their gradients are summed; a process by itself is a group of one,
which waits for nobody. The first process leads: it alone prepares, writes and speaks. Whichever fails first says why,
and the others end with its exit code.
"""

from __future__ import annotations

import hashlib
import math
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from alexnet.errors import AlexNetError, NetworkError, SaidElsewhere, UsageError

T = TypeVar("T")

JOIN = timedelta(minutes=5)  # for processes that torchrun starts together to find each other
PATIENCE = timedelta(days=7)  # for what one process does while the others wait: preparing pictures, the report
MEET_EVERY = 1.0  # seconds between two meetings
SMALL = 2**16  # values; gradients of smaller tensors travel together, once the backward pass is over


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


# ------------------------------------------------------------------------------------------------------------- joining


@contextmanager
def joined() -> Iterator[Group]:
    """The group that torchrun started this process in; alone, where it did not.

    Of the others than the first nothing is heard inside. If one fails, the rest raise SaidElsewhere with its exit code.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    _end_with_parent()
    with _finding():
        shared, rank, size = next(rendezvous("env://", timeout=JOIN))
        store = PrefixStore(_round(shared, rank, size), shared)
    try:
        with ExitStack() as quiet:
            if rank:
                nowhere = quiet.enter_context(open(os.devnull, "w", encoding="utf-8"))
                quiet.enter_context(redirect_stdout(nowhere))
                quiet.enter_context(redirect_stderr(nowhere))
            with _finding():
                dist.init_process_group(_backend(), store=store, rank=rank, world_size=size, timeout=PATIENCE)
            group = Group(rank, size, int(os.environ.get("LOCAL_RANK", "0")), dist.group.WORLD)
            group.largest(0)  # none may fail while others still connect to it: torch has a line of its own for that
            yield group
    except BaseException as error:
        if (said := _first_to_fail(store, rank, _exit_code(error))) is not None:
            raise SaidElsewhere(said) from None
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _finding() -> Iterator[None]:
    """What torch raises where processes do not find each other, as an error of ours."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise NetworkError(f"torchrun's processes do not find each other: {str(error).splitlines()[0]}") from None


def _round(store: Store, rank: int, size: int) -> str:
    """A name for this start of the processes that all of them know and none before did.

    torchrun keeps one store for a job, in which lies what processes that it has started anew had told each other. So
    each asks under a name of its own, and the leading one answers those that are there, until all have its answer.
    """
    mine, deadline = uuid.uuid4().hex, time.monotonic() + JOIN.total_seconds()
    store.set(f"here {rank}", mine)
    if rank:
        name: str = store.get(f"round {mine}").decode()
        store.add(f"met {name}", 1)
        return name
    answered: dict[int, str] = {}
    while (met := store.add(f"met {mine}", 0)) < size - 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{size - 1 - met} of {size} did not come within {JOIN.seconds} seconds")
        for other in range(1, size):
            if store.check([f"here {other}"]) and (asked := store.get(f"here {other}").decode()) != answered.get(other):
                store.set(f"round {asked}", mine)
                answered[other] = asked
        time.sleep(0.01)
    return mine


def _backend() -> str:
    """Gloo for what lies in memory; on GPUs, each process with its own, NCCL for what lies there."""
    if not (torch.cuda.is_available() and dist.is_nccl_available()):
        return "gloo"
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return "cpu:gloo,cuda:nccl"


def _end_with_parent() -> None:
    """Send this process SIGTERM should torchrun be killed, which otherwise would leave it behind.

    Linux can do that by itself (PR_SET_PDEATHSIG), but once for each of torchrun's threads, and the second SIGTERM
    ends a run before its checkpoint.
    """

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()


def _exit_code(error: BaseException) -> int:
    if isinstance(error, AlexNetError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    return error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1


def _first_to_fail(store: Store, rank: int, code: int) -> int | None:
    """None for the first process that fails; for the others its exit code."""
    mine = f"{rank} {code}"
    try:
        first = store.compare_set("failure", "", mine).decode()
    except RuntimeError:  # torchrun has gone, and the store with it
        return code if rank else None
    return None if first == mine else int(first.split()[1])


def check(size: int, batch_size: int, device: torch.device) -> None:
    """Raises UsageError where so many processes cannot train with such batches on such devices."""
    if size == 1:
        return
    if batch_size < size:
        raise UsageError(f"--set batch_size={batch_size}: {size} processes need a picture each; start fewer")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--set device={device.type}: several processes compute on processors or CUDA GPUs alone")
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type == "cuda" and beside > (count := torch.cuda.device_count()):
        raise UsageError(f"{beside} processes for {count} GPUs: start torchrun with --nproc-per-node {count}")


def job() -> str:
    """What torchrun's job and the command in it are known by, the same when they are started again; else empty."""
    run = os.environ.get("TORCHELASTIC_RUN_ID", "")
    if run in ("", "none"):  # a static rendezvous has no name; the folder of its logs has one by chance
        run = os.path.dirname(os.path.dirname(os.path.dirname(os.environ.get("TORCHELASTIC_ERROR_FILE", ""))))
    return hashlib.sha256("\n".join([run, *sys.argv[1:]]).encode("utf-8", "surrogateescape")).hexdigest() if run else ""


def restarts() -> bool:
    """Whether torchrun starts the same command again when it fails."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


# ------------------------------------------------------------------------------------------------------------ training


def alone(figures: Tensor) -> Tensor:
    """What `Exchange` is where nobody else is: the figures themselves."""
    return figures


class Exchange:
    """Adds up gradients over the processes: of large tensors each as soon as the backward pass has it, while that goes
    on; of small ones together, with the figures of the step and the means of the running statistics.

    So every process takes the same step and has the same state. `compressed`: large ones travel as bfloat16.
    """

    def __init__(self, network: nn.Module, group: Group, compressed: bool = False) -> None:
        self.group, self.compressed = group, compressed
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.small = [parameter for parameter in learning if parameter.numel() < SMALL]
        for parameter in learning:
            if parameter.numel() >= SMALL:
                parameter.register_post_accumulate_grad_hook(self._send)
        learns = (c for c in network.children() if all(parameter.requires_grad for parameter in c.parameters()))
        self.statistics = [b for child in learns for b in child.buffers() if b.is_floating_point()]
        self.sent: list[tuple[Tensor, Tensor, Callable[[], None]]] = []

    def _send(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        values = _in_memory(parameter.grad)
        travelling = values.bfloat16() if self.compressed else values
        self.sent.append((values, travelling, self.group.sum(travelling)))

    def __call__(self, figures: Tensor) -> Tensor:
        """Called after the backward pass, with figures [K] of this process's share; returns their sums."""
        gradients = [parameter.grad for parameter in self.small if parameter.grad is not None]
        together = [*gradients, *self.statistics, figures]
        flat = torch.cat([tensor.reshape(-1) for tensor in together])
        self.group.sum(flat)()
        sums = flat.split([tensor.numel() for tensor in together])
        for tensor, total in zip(together, sums, strict=True):
            tensor.copy_(total.view_as(tensor))
        for statistic in self.statistics:
            statistic /= self.group.size
        for values, travelled, wait in self.sent:
            wait()
            if self.compressed:
                values.copy_(travelled)
        self.sent.clear()
        return figures


def _in_memory(tensor: Tensor) -> Tensor:
    """The values of a tensor without gaps, in the order in which they lie, whatever that is: a view [N]."""
    return tensor.as_strided((tensor.numel(),), (1,))


@dataclass
class Meetings:
    """Where the processes tell each other what their clocks and signals ask for: after every step of one that is alone,
    else about once a second, since all wait for the slowest then."""

    group: Group
    last: int  # step of the meeting before; of the first one: with which training goes on
    next: int = 0  # step
    moment: float = field(default_factory=time.monotonic)

    def heard(self, step: int, *asked: int) -> list[int]:
        """Of each thing that is asked for the largest that any process asks; zeros where they do not meet."""
        if step < self.next:
            return [0] * len(asked)
        *found, pause = self.group.largest(*asked, self._pause(step))
        self.next, self.last, self.moment = step + pause, step, time.monotonic()
        return found

    def _pause(self, step: int) -> int:
        """Steps until the next meeting, as the leading process sees it."""
        if self.group.size == 1 or not self.group.leads:
            return 1
        done = max(1, step - self.last)
        pace = done / max(1e-6, time.monotonic() - self.moment)
        return max(1, min(2 * done, math.floor(MEET_EVERY * pace)))
