"""What goes wrong around a server that has long been ready: its model file, its folder, who hears it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from clients import Running, Start
from safetensors.torch import load_file

from alexnet.weights import files, onnx_graph


def kill_one(server: Running) -> None:
    """One model process dies, and it is seen that another has begun and ended, or come."""
    before = server.figure("alexnet_process_restarts")
    os.kill(server.children()[0], signal.SIGKILL)
    until(server, "alexnet_process_restarts", before + 1)


def until(server: Running, name: str, least: float) -> None:
    began = time.monotonic()
    while server.figure(name) < least:
        assert time.monotonic() - began < 60, f"{name} stays below {least}"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["onnx", pytest.param("torch", marks=pytest.mark.slow)])
def test_another_file_or_rubbish_in_the_place_of_the_model(start: Start, models, jpeg, tmp_path: Path, kind: str):
    """Nobody is answered by another model. A process that dies then is missed until the file is back."""
    model, aside = tmp_path / models[kind].name, tmp_path / "aside"
    shutil.copy2(models[kind], model)
    server = start("--workers", "2", model=model)
    until(server, "alexnet_processes_ready", 2)
    before = server.predict(jpeg).json
    model.rename(aside)
    for content in (other(models, kind, tmp_path / f"other{model.suffix}"), b"rubbish", None):
        model.write_bytes(content) if content is not None else model.unlink()
        if server.figure("alexnet_processes_ready") == 2:
            kill_one(server)
        until(server, "alexnet_process_restarts", server.figure("alexnet_process_restarts") + 1)
        assert [server.predict(jpeg).json for _ in range(5)] == [before] * 5
        assert server.figure("alexnet_processes_ready") == 1
    aside.rename(model)
    until(server, "alexnet_processes_ready", 2)
    model.unlink()
    for child in server.children():
        os.kill(child, signal.SIGKILL)
    assert server.process.wait(60) == 2  # nobody has it any more


def other(models: dict[str, Path], kind: str, place: Path) -> bytes:
    """A model with the same names and other weights."""
    description = files.describe(models["torch"])
    tensors = {name: -tensor for name, tensor in load_file(models["torch"]).items()}
    (files.save(place, tensors, description) if kind == "torch" else onnx_graph.write(place, description, tensors))
    return place.read_bytes()


def test_nobody_hears_it_and_its_folder_is_gone(start: Start, models, jpeg, tmp_path: Path):
    place = tmp_path / "gone"
    place.mkdir()
    server = start("--workers", "1", cwd=place, stderr=subprocess.PIPE)
    place.rmdir()
    server.process.stdout.close()
    server.process.stderr.close()
    assert server.predict(jpeg).status == 200
    kill_one(server)  # of which it would speak
    assert server.ask("GET", "/healthz").status == 200 and server.alive()
    assert server.end() == 0
