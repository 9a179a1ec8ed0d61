"""How many predictions a second `alexnet serve` answers, beside the same model and decoder without HTTP.

In each turn, one after the other on the same cores: as many processes as the server has, which decode and predict what
is in memory; the server under 16 clients that ask again as soon as they are answered; the server under four times the
requests that it answered then, whether it answers or not. The clients' own processor time is taken off: they would run
elsewhere.
"""

from __future__ import annotations

import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from alexnet.environment import environment
from alexnet.errors import AlexNetError, StorageError, UsageError
from alexnet.experiments.bench.turns import process
from alexnet.pictures import patterns
from alexnet.pictures.layout import is_picture
from alexnet.progress import say
from alexnet.weights.model import load as load_model

CLIENTS, BATCH, OVERLOAD = 16, 8, 4.0
MOST = 64  # pictures that are sent in turn
BYTES = 200_000  # of a picture, about
WARM = 2.0  # seconds of load that do not count
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}

Load = dict[str, Any]


def bench_serve(data: str | None, variant: str, model: str | None, turns: int, seconds: float) -> dict[str, Any]:
    """Answers a second with HTTP (`ours`) and without (`limit`), p50 and p99, errors, under 16 clients and overload.

    `data`: a folder of pictures to send; without it patterns are drawn, JPEGs of about 200 kB. `model`: MODEL; without
    it the network `variant` as it is before training.
    """
    workers = os.cpu_count() or 1
    named = variant if model is None else Path(model).name
    if model is not None:
        load_model(model)  # what is wrong with it is better said here than by the server's processes
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        pictures = _pictures(data, place / "pictures")
        if model is None:
            model = str(place / "model.safetensors")
            process(["model", variant, model])
        found = []
        with server(model) as (port, _):
            load(port, pictures, WARM, CLIENTS)
            for turn in range(turns):
                found.append(_turn(port, model, pictures, workers, seconds))
                say(f"turn {turn + 1} of {turns}: {_said(found[-1])}")
        size = statistics.mean(file.stat().st_size for file in pictures.iterdir())
    return _summary(found, turns, seconds, workers) | {
        "what": f"serve {named}, {CLIENTS} clients",
        "picture_bytes": size,
        "environment": environment(),
    }


def _turn(port: int, model: str, pictures: Path, workers: int, seconds: float) -> dict[str, Any]:
    bare = without_http(model, pictures, workers, seconds)
    full = load(port, pictures, seconds, CLIENTS)
    over = load(port, pictures, seconds, CLIENTS, rate=OVERLOAD * full["answered"] / full["seconds"])
    return {"bare": bare, "full": full, "over": over}


def rate(figures: Load, cores: int) -> float:
    """Answers a second, had the clients run elsewhere."""
    return float(figures["answered"] / (figures["seconds"] - figures["cpu_seconds"] / cores))


def _summary(found: list[dict[str, Any]], turns: int, seconds: float, cores: int) -> dict[str, Any]:
    """Medians of the turns; a share is the median of the turns' own."""
    ours, over = ([rate(turn[way], cores) for turn in found] for way in ("full", "over"))
    bare = [turn["bare"] for turn in found]
    refused = [turn["over"]["statuses"].get("503", 0) / sum(turn["over"]["statuses"].values()) for turn in found]
    wrong = [_errors(turn["full"], ()) + _errors(turn["over"], ("503",)) for turn in found]
    return {
        "ours": statistics.median(ours),
        "limit": statistics.median(bare),
        "share": statistics.median(o / b for o, b in zip(ours, bare, strict=True)),
        "unit": "requests/s",
        "p50_ms": statistics.median(turn["full"]["p50_ms"] for turn in found),
        "p99_ms": max(turn["full"]["p99_ms"] for turn in found),
        "errors": sum(wrong),
        "overload": {
            "times": OVERLOAD,
            "ours": statistics.median(over),
            "share_of_best": statistics.median(b / a for a, b in zip(ours, over, strict=True)),
            "refused": statistics.median(refused),
            "p99_ms": max(turn["over"]["p99_ms"] for turn in found),
        },
        "turns": turns,
        "seconds": seconds,
        "raw": found,
    }


def _errors(figures: Load, allowed: tuple[str, ...]) -> int:
    return sum(count for status, count in figures["statuses"].items() if status not in ("200", *allowed))


def _said(turn: dict[str, Any]) -> str:
    full, over = turn["full"], turn["over"]
    return (
        f"without HTTP {turn['bare']:.1f}/s, with {full['answered'] / full['seconds']:.1f}/s (clients took "
        f"{full['cpu_seconds']:.1f} s), p99 {full['p99_ms']:.0f} ms, "
        f"overloaded {over['answered'] / over['seconds']:.1f}/s"
    )


# --------------------------------------------------------------------------------------------------------------- sides


@contextmanager
def server(model: str, *options: str) -> Iterator[tuple[int, int]]:
    """`alexnet serve` for a while: its port and its process."""
    command = [sys.executable, "-m", "alexnet", "serve", "--json", "--port", "0", "--model", model, *options]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)  # Ctrl-C is ours
    assert running.stdout is not None
    try:
        line = running.stdout.readline()
        if not line:
            raise AlexNetError(f"{model}: the server did not start")
        yield int(json.loads(line)["url"].rpartition(":")[2]), running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()
        running.stdout.close()


def load(
    port: int,
    pictures: Path,
    seconds: float,
    clients: int,
    rate: float | None = None,
    path: str = "/v1/predict",
    form: str | None = None,
) -> Load:
    """Load a server from a process of its own (`clients`)."""
    settings = {"port": port, "pictures": str(pictures), "seconds": seconds, "clients": clients, "rate": rate}
    command = [
        sys.executable,
        "-m",
        "alexnet.experiments.bench.clients",
        json.dumps(settings | {"path": path, "form": form}),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        kind = StorageError if done.returncode == StorageError.exit_code else AlexNetError
        raise kind(f"the clients failed: {(done.stderr.splitlines() or ['without a word'])[-1]}")
    return dict(json.loads(done.stdout))


def without_http(model: str, pictures: Path, workers: int, seconds: float) -> float:
    """Pictures a second of as many processes as the server has, one thread each, in full batches."""
    command = [sys.executable, "-m", "alexnet.experiments.bench.serve", model, str(pictures), str(seconds)]
    environ = {**os.environ, **ENVIRONMENT}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environ}
    with ExitStack() as stack:
        running = []
        for _ in range(workers):
            running.append(stack.enter_context(subprocess.Popen(command, **pipes, start_new_session=True)))
            stack.callback(running[-1].kill)  # where we are interrupted
        for one in running:
            one.stdout.readline()  # type: ignore[union-attr]  # it is ready
        for one in running:
            one.stdin.write("\n")  # type: ignore[union-attr]
            one.stdin.flush()  # type: ignore[union-attr]
        return sum(float(one.communicate()[0]) for one in running)


def compute(model: str, pictures: str, seconds: float) -> None:
    """One of these processes: says that it is ready, waits for a line, says how many pictures a second it did."""
    from alexnet.use.server import answers
    from alexnet.use.server.limits import Limits

    loaded, limits = load_model(model, threads=1), Limits().picture
    files = [file.read_bytes() for file in sorted(Path(pictures).iterdir())]
    asks = [{"top": 5, "views": 1}] * BATCH

    def batch(number: int) -> None:
        some = [files[(number * BATCH + place) % len(files)] for place in range(BATCH)]
        json.dumps(answers.predictions(loaded, [answers.opened(loaded, data, limits) for data in some], asks))

    batch(0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        batch(done)
        done += 1
    sys.stdout.write(str(done * BATCH / (time.perf_counter() - began)))


# ------------------------------------------------------------------------------------------------------------ pictures


def _pictures(data: str | None, folder: Path) -> Path:
    """Pictures to send, as files of a folder."""
    if data is None:
        return drawn_pictures(folder)
    folder.mkdir()
    files = [file for file in sorted(Path(data).rglob("*")) if is_picture(PurePosixPath(file.name))][:MOST]
    if not files:
        raise UsageError(f"{data}: no pictures there; bench serve takes a folder of them")
    for number, file in enumerate(files):
        (folder / f"{number:03d}").write_bytes(file.read_bytes())
    return folder


def drawn_pictures(folder: Path) -> Path:
    """A new folder of JPEGs of about BYTES."""
    folder.mkdir()
    for number in range(MOST // 4):
        (folder / f"{number:03d}").write_bytes(_drawn(number))
    return folder


def _drawn(index: int) -> bytes:
    """A pattern with some grain, as a JPEG of about BYTES, 800 x 600."""
    picture = Image.fromarray(patterns.draw(index)[0]).resize((800, 600), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(index).normal(0, 10, (600, 800, 3))
    picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    encoded = b""
    for quality in range(96, 20, -2):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality)
        encoded = data.getvalue()
        if len(encoded) <= BYTES:
            break
    return encoded


if __name__ == "__main__":
    compute(sys.argv[1], sys.argv[2], float(sys.argv[3]))
