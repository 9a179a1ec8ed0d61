"""How the processes that torchrun starts become a group.

Whichever fails first says why, and the others end with its exit code.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from alexnet.errors import AlexNetError, NetworkError, SaidElsewhere, UsageError
from alexnet.training.parallel.group import ALONE, Group

JOIN = timedelta(minutes=5)  # for processes that torchrun starts together to find each other
PATIENCE = timedelta(days=7)  # for what one process does while the others wait: preparing pictures, the report


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
