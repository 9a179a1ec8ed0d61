"""Small models to serve, and servers that end with what they were started for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import CLASSES, Running, Start, encoded, started, stop


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return encoded("JPEG")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small network, in both forms that can be served."""
    import torch

    from alexnet.network.architecture import Input
    from alexnet.network.model import build
    from alexnet.network.variants import variant
    from alexnet.weights import files, onnx_graph

    folder = tmp_path_factory.mktemp("models")
    value = variant("lenet-5")
    rule = Input(size=value.size, stored=value.stored, order="grey", mean=(120.0,), scale=(1 / 64,))
    description = files.Description(value, CLASSES, rule, {"data": "drawn"}, {"top1": 0.5})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tensors = build("lenet-5").state_dict()
    places = {"torch": folder / "small.safetensors", "onnx": folder / "small.onnx"}
    files.save(places["torch"], tensors, description)
    onnx_graph.write(places["onnx"], description, tensors)
    return places


@pytest.fixture
def start(models: dict[str, Path]) -> Iterator[Start]:
    """Starts servers that end with the test."""
    running: list[Running] = []

    def starter(*options: str, model: str = "onnx") -> Running:
        running.append(started(models[model], *options))
        return running[-1]

    yield starter
    for server in running:
        stop(server)


@pytest.fixture(scope="session")
def server(models: dict[str, Path]) -> Iterator[Running]:
    """One for all tests that leave it as it was; impatient, so that they need not be patient."""
    running = started(models["onnx"], "--workers", "2", "--receive-seconds", "2", "--stall-seconds", "2")
    yield running
    stop(running)
