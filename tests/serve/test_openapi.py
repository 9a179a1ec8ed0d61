"""The server keeps to its own description: schemathesis makes requests from it and checks every answer in every way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients import Running, Start

HERE = str(Path(__file__).parent)


def attack(server: Running, examples: int, folder: Path, *options: str) -> int:
    """Requests that fit the description and such that do not, up to `examples` for each operation; how many."""
    address = f"http://127.0.0.1:{server.port}/openapi.json"
    options = ("-c", "all", "-m", "all", "-n", str(examples), "--seed", "1", "--generation-database", "none", *options)
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_pictures", "PYTHONPATH": HERE}
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis as st; st()", "run", address, *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    (passed,) = re.findall(r"(\d+) generated, (\d+) passed", done.stdout)
    assert passed[0] == passed[1]
    return int(passed[1])


def test_schemathesis(server, tmp_path):
    assert attack(server, 12, tmp_path) > 100


@pytest.mark.slow
@pytest.mark.parametrize("model", ["onnx", "torch"])
def test_schemathesis_at_length(start: Start, tmp_path, model):
    assert attack(start("--workers", "2", model=model), 500, tmp_path) > 500


@pytest.mark.slow
def test_schemathesis_with_a_token(start: Start, tmp_path):
    server = start("--workers", "2", "--token", "a-secret.1")
    assert attack(server, 500, tmp_path, "-H", "Authorization: Bearer a-secret.1") > 500


def test_everything_there_is_is_described(server):
    described = set(server.ask("GET", "/openapi.json").json["paths"])
    assert {"/v1/predict", "/v1/model", "/healthz", "/readyz", "/metrics"} <= described
