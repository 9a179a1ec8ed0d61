"""Small models to serve, servers that end with what they were started for, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import CLASSES, Running, Start, encoded, started, stop
from playwright.sync_api import Browser, sync_playwright
from visitors import Visit, Visitor


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

    def starter(*options: str, model: str | Path = "onnx", **more: Any) -> Running:
        running.append(started(models.get(model, model), *options, **more))
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if not chromium and os.environ.get("CI") != "true":
        pytest.skip("there is no chromium; apt-get install chromium")
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium or "chromium", args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, gallery: Running) -> Iterator[Visit]:
    """People who go to a server, else to `gallery`, which each module of tests has its own of."""
    visitors: list[Visitor] = []

    def visit(server: Running | None = None, **options: Any) -> Visitor:
        visitors.append(Visitor(browser, server or gallery, **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.context.close()
