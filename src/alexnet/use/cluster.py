"""The same work on the cores of this machine or of a cluster, through Ray Data.

A task is the names of some pictures, whole batches of them; a worker reads and decodes them and answers as this machine
would: the same model, batches and number of threads. So the answers are those of the local engine, whatever the number
of workers. Ray Data keeps them in order and has a task done again whose worker was lost.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from alexnet.environment import threads
from alexnet.errors import AlexNetError, NetworkError, UsageError
from alexnet.pictures.inputs import Listing
from alexnet.storage import sha256
from alexnet.weights import files
from alexnet.weights.model import BATCH, Model, Spread, Work, load

OBJECTS = 2**29  # bytes of tasks and answers that Ray keeps in memory here
SECONDS = 10.0  # until a cluster answers
TURNS = 4  # tasks for each worker, at least, where there are enough pictures: none waits long for the last


@dataclass(frozen=True)
class Loading:
    """The model as a worker loads it: the same file, arithmetic and number of threads as here."""

    path: str
    sha256: str
    precision: Any
    threads: int | None
    folder: str

    @property
    def cores(self) -> int:
        return self.threads or os.cpu_count() or 1

    def __call__(self) -> Model:
        with suppress(OSError):
            os.chdir(self.folder)  # names of pictures may be relative to it
        path = Path(self.path)
        if not path.is_file() or sha256(path) != self.sha256:
            raise UsageError(
                f"{path} is not the same file on {socket.gethostname()} as here; every machine of a cluster needs the "
                "model and the pictures under the same names"
            )
        return load(path, precision=self.precision, threads=self.threads)


class Worker:
    """A process of its own, which keeps the model."""

    def __init__(self, loading: Loading, work: Work) -> None:
        self.loading, self.work = loading, work
        self.model: Model | None = None

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """One task, and what came of it."""
        return {"result": [pickle.dumps(self._result(pickle.loads(task))) for task in rows["task"]]}

    def _result(self, pictures: Listing) -> list[Any] | AlexNetError:
        try:
            if self.model is None:
                self.model = self.loading()
            return list(self.work(self.model, pictures))
        except AlexNetError as error:
            return error


@contextmanager
def engine(address: str | None, model: str | os.PathLike[str], precision: Any = "auto") -> Iterator[Spread]:
    """What has work done by Ray's workers, with a model, while the block lasts.

    `address`: of a cluster that runs; by default $RAY_ADDRESS, else one is started here and ends with the block.
    Raises UsageError where Ray or the model is missing, NetworkError where there is no cluster.
    """
    path = files.locate(model).resolve()
    count = None if path.suffix.lower() == ".onnx" else threads()  # ONNX Runtime takes the cores, and needs no torch
    loading = Loading(str(path), sha256(path), precision, count, os.getcwd())
    with _cluster(address or os.environ.get("RAY_ADDRESS")) as ray:
        yield partial(_spread, ray, loading)


def _spread(ray: Any, loading: Loading, work: Work, pictures: Listing, most: int) -> Iterator[list[Any]]:
    count, workers = len(pictures.names), _workers(ray, loading.cores)
    batches = min(most // BATCH, -(-count // BATCH) // (TURNS * workers))
    size = BATCH * max(1, batches)
    tasks = [{"task": pickle.dumps(pictures.part(slice(start, start + size)))} for start in range(0, count, size)]
    if not tasks:
        return
    data = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
        Worker,
        fn_constructor_args=(loading, work),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(tasks))),
        num_cpus=loading.cores,
    )
    try:
        for row in data.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, AlexNetError):
                raise result
            yield result
    except ray.exceptions.RayTaskError:  # a fault of ours
        raise
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UsageError(f"Ray gave up: {reason}; every machine of a cluster needs this version of alexnet") from None


def _workers(ray: Any, cores: int) -> int:
    """How many workers of so many cores there is room for. Raises UsageError where there is none."""
    found = [int(node["Resources"].get("CPU", 0)) // cores for node in ray.nodes() if node["Alive"]]
    if not sum(found):
        raise UsageError(
            f"the cluster has no machine with {cores} cores, the number of threads that compute here; the answers of "
            "fewer differ in their last digits: set OMP_NUM_THREADS to what its machines have"
        )
    return sum(found)


# ------------------------------------------------------------------------------------------------------------- cluster


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected; what is started here is gone afterwards."""
    ray = _library()
    if ray.is_initialized():  # by who called us
        yield ray
        return
    # What its processes have to say about each other would come to standard output, which is the answers'.
    with redirect_stdout(sys.stderr), _folder() if address is None else nullcontext() as folder:
        try:
            _connect(ray, address, folder)
            yield ray
        finally:
            ray.shutdown()


def _library() -> Any:
    # It reports nothing to anyone.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_BACKEND_LOG_LEVEL="fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'alexnet[scale]'") from None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    return ray


def _connect(ray: Any, address: str | None, folder: Path | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    here = {"num_cpus": os.cpu_count(), "include_dashboard": False, "object_store_memory": OBJECTS}
    terminated = signal.getsignal(signal.SIGTERM)  # which Ray takes for itself
    try:
        if address is None:
            ray.init("local", **quiet, **here, _temp_dir=str(folder))
        else:
            _knock(address)
            ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise NetworkError(f"no Ray cluster at {address or 'this machine'}: {reason}") from None
    except SystemExit:  # by Ray's way to be terminated, which was for a moment ours
        sys.exit(128 + signal.SIGTERM)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)


def _knock(address: str) -> None:
    """Raise OSError where nothing answers at host:port, which Ray would try again and again."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), SECONDS).close()


@contextmanager
def _folder() -> Iterator[Path]:
    """For Ray's sockets and logs; a socket's path may have 107 characters, and Ray adds 64."""
    place = tempfile.gettempdir() if len(tempfile.gettempdir()) < 24 else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="ray", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
