"""`alexnet serve` as a person starts it: what is said when it cannot."""

from __future__ import annotations

import socket
import sys

import pytest


def test_help(alexnet):
    outcome = alexnet("serve", "--help")
    assert outcome.code == 0 and "Example: alexnet serve" in " ".join(outcome.out.split())
    assert "--body-bytes" in outcome.out and "--receive-seconds" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "nowhere"], 2, "nowhere"),
        (["--model", "damaged.safetensors"], 4, "damaged.safetensors"),
        (["--model", "damaged.safetensors", "--port", "70000"], 2, "--port"),
        (["--model", "damaged.safetensors", "--queue", "0"], 2, "--queue"),
        (["--model", "damaged.safetensors", "--token", "two words"], 2, "token"),
        (["--model", "damaged.safetensors", "--token", "a", "--token-file", "b"], 2, "--token-file"),
        (["--model", "damaged.safetensors", "--token-file", "nowhere"], 2, "nowhere"),
    ],
)
def test_mistakes(alexnet, tmp_path, arguments, code, words):
    (tmp_path / "damaged.safetensors").write_bytes(b"\x10" * 200)
    outcome = alexnet("serve", "--port", "0", *arguments, "--workers", "1")
    assert outcome.code == code and words in outcome.err and not outcome.out
    assert len(outcome.err.strip().splitlines()) == 1 and "Traceback" not in outcome.err


def test_a_port_that_is_taken(alexnet, models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        outcome = alexnet("serve", "--model", models["onnx"], "--port", port)
    assert outcome.code == 2 and port in outcome.err and "--port" in outcome.err


def test_without_the_extra(alexnet, models, tmp_path):
    """Where FastAPI is not installed, the message names what to install."""
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError('none', name='fastapi')")
    path = f"{tmp_path}:{':'.join(sys.path)}"
    outcome = alexnet("serve", "--model", models["onnx"], PYTHONPATH=path)
    assert outcome.code == 2 and "pip install 'alexnet[serve]'" in outcome.err
