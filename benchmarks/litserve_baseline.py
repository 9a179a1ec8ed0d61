"""Requests a second of LitServe and of `alexnet serve` with the same model: writes results/bench-litserve.json.

    python3 -m venv /tmp/litserve
    /tmp/litserve/bin/pip install litserve==0.2.19 python-multipart -e . -c constraints.txt
    python benchmarks/litserve_baseline.py --litserve /tmp/litserve/bin/python --turns 3 --seconds 30

In turn, under the same 16 clients with the same pictures. LitServe decodes, batches (up to 8, waiting 5 ms) and answers
in two workers of one thread, by the same functions as ours. It lives in an environment of its own.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from record import record

from alexnet.experiments.bench.serve import CLIENTS, WARM, drawn_pictures, load, rate, server
from alexnet.experiments.bench.turns import process

WORKERS = os.cpu_count() or 1

LITSERVE = """
import sys
import litserve
from alexnet.use.server import answers
from alexnet.use.server.limits import Limits
from alexnet.weights.model import load

class Api(litserve.LitAPI):
    def setup(self, device):
        self.model, self.limits = load(sys.argv[1], threads=1), Limits().picture

    def decode_request(self, request):
        return request["file"].file.read()

    def batch(self, inputs):
        return inputs

    def predict(self, inputs):
        opened = [answers.opened(self.model, data, self.limits) for data in inputs]
        return answers.predictions(self.model, opened, [{"top": 5, "views": 1}] * len(inputs))

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"predictions": [output]}

if __name__ == "__main__":
    api = Api(max_batch_size=8, batch_timeout=0.005)
    served = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(sys.argv[3]))
    served.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
"""


@contextmanager
def litserve(python: str, script: Path, model: str) -> Iterator[int]:
    """LitServe for a while: its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    script.write_text(LITSERVE)
    command, environ = [python, str(script), model, str(port), str(WORKERS)], {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until_healthy(f"http://127.0.0.1:{port}/health", running)
        yield port
    finally:
        os.killpg(running.pid, signal.SIGKILL)  # its processes outlive SIGTERM
        running.wait()


def until_healthy(address: str, running: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if running.poll() is not None:
            sys.exit("LitServe ended before it was ready")
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit("LitServe did not get ready")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--litserve", required=True, help="Python of an environment with LitServe and alexnet")
    parser.add_argument("--variant", default="krizhevsky-2012")
    parser.add_argument("--model")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    turns = []
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        pictures = drawn_pictures(place / "pictures")
        model = asked.model or str(place / "model.safetensors")
        if asked.model is None:
            process(["model", asked.variant, model])
        for _ in range(asked.turns):
            with server(model) as (port, _):
                load(port, pictures, WARM, CLIENTS)
                ours = load(port, pictures, asked.seconds, CLIENTS)
            with litserve(asked.litserve, place / "served.py", model) as port:
                load(port, pictures, WARM, CLIENTS, path="/predict", form="file")
                stock = load(port, pictures, asked.seconds, CLIENTS, path="/predict", form="file")
            if wrong := {status for side in (ours, stock) for status in side["statuses"]} - {"200"}:
                sys.exit(f"answered with {', '.join(sorted(wrong))} too: this says nothing of speed")
            turns.append({"ours": ours, "stock": stock})
    found = {side: statistics.median(rate(turn[side], WORKERS) for turn in turns) for side in ("ours", "stock")}
    version = "from importlib.metadata import version; print(version('litserve'))"
    installed = subprocess.run([asked.litserve, "-c", version], capture_output=True, text=True, check=True).stdout
    figures = {
        "what": f"serve {Path(asked.model).name if asked.model else asked.variant}, {CLIENTS} clients, requests/s",
        **found,
        "ratio": found["ours"] / found["stock"],
        "litserve": installed.strip(),
        "turns": turns,
    }
    record("bench-litserve", figures)


if __name__ == "__main__":
    main()
