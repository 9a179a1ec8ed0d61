"""What the server draws, beside what the program draws by itself; and that it keeps nobody from predictions."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from clients import Running, form, started, stop
from PIL import Image

from alexnet.insight.explanations import explain, kernels, panels
from alexnet.pictures import views
from alexnet.pictures.decode import stored
from alexnet.use.server.batching import Job, Line
from alexnet.use.server.limits import Limits
from alexnet.use.server.workers import Worker, Workers
from alexnet.weights.model import load


@pytest.fixture(scope="module")
def layered(models):
    """A server whose model can be taken apart."""
    running = started(models["torch"], "--workers", "2")
    yield running
    stop(running)


@pytest.fixture(scope="module")
def model(models):
    return load(models["torch"])


@pytest.fixture(scope="module")
def seen(model, jpeg):
    return views.centre(np.stack([stored(jpeg, model.input.stored)]), model.input.size)


def drawn(server: Running, picture: bytes, query: str) -> np.ndarray:
    answer = server.ask("POST", f"/v1/explain?{query}", picture)
    assert answer.status == 200 and answer.headers["content-type"] == "image/png", answer.body
    return np.asarray(Image.open(io.BytesIO(answer.body)))


@pytest.mark.parametrize("method", explain.HEAT)
def test_heat(layered, jpeg, model, seen, method):
    heat = explain.explain(model, seen, method, None, 3)[0]
    expected = panels.heat_colours(heat).astype(int)
    assert abs(drawn(layered, jpeg, f"method={method}&target=3&output=map") - expected).max() <= 4
    over = panels.overlay(panels.as_seen(seen, model.input)[0], heat).astype(int)
    assert abs(drawn(layered, jpeg, f"method={method}&target=3") - over).max() <= 4


def test_the_crop_that_the_network_saw(layered, server, jpeg, model, seen):
    for running in (layered, server):
        assert (drawn(running, jpeg, "method=input") == panels.as_seen(seen, model.input)[0]).all()


def test_maps_of_a_layer(layered, jpeg, model, seen):
    expected = panels.maps(explain.activations(model, seen, "conv2")[0])
    assert (drawn(layered, jpeg, "method=activations&layer=conv2") == expected).mean() > 0.99


def test_kernels(layered, server, model):
    expected = panels.kernels(kernels.kernels(model), kernels.columns(model.variant))
    for _ in range(2):
        answer = layered.ask("GET", "/v1/kernels")
        assert (np.asarray(Image.open(io.BytesIO(answer.body))) == expected).all()
    assert server.ask("GET", "/v1/kernels").status in (200, 404)


def test_what_an_onnx_file_allows(server, layered, jpeg):
    assert server.ask("GET", "/v1/model").json["methods"] == ["occlusion", "input"]
    assert layered.ask("GET", "/v1/model").json["methods"][:2] == ["grad-cam", "occlusion"]
    assert (drawn(server, jpeg, "method=occlusion") == drawn(server, jpeg, "")).all()
    for method in ("grad-cam", "saliency", "activations"):
        refused = server.ask("POST", f"/v1/explain?method={method}", jpeg)
        assert refused.status == 422 and "ONNX" in refused.json["detail"] and "/" not in refused.json["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("method=guess", 400),
        ("output=svg", 400),
        ("target=-1", 400),
        ("target=10", 404),
        ("layer=conv9", 404),
        ("layer=conv9&method=input", 404),
        ("layer=fc5", 404),
        ("method=activations&layer=../../etc/passwd", 404),
        ("radius=3", 400),
    ],
)
def test_questions_that_make_no_sense(layered, jpeg, query, status):
    answer = layered.ask("POST", f"/v1/explain?{query}", jpeg)
    assert answer.status == status and answer.problem


def test_pictures_that_are_none(layered, jpeg):
    several, kind = form(("a.jpg", jpeg), ("b.jpg", jpeg))
    assert layered.ask("POST", "/v1/explain", several, kind).status == 400
    found = [layered.ask("POST", "/v1/explain", body).status for body in (b"words", jpeg[:600], b"")]
    assert found == [415, 422, 400]


def test_predictions_go_on_beside_explanations(layered, jpeg):
    with ThreadPoolExecutor(12) as pool:
        slow = [pool.submit(layered.ask, "POST", "/v1/explain?method=occlusion", jpeg) for _ in range(12)]
        quick = [pool.submit(layered.predict, jpeg) for _ in range(60)]
        assert [answer.result().status for answer in quick] == [200] * 60
        assert {answer.result().status for answer in slow} == {200}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_slow_work_takes_turns_and_keeps_to_half_of_the_processes(count):
    """Each process does one thing after the other; while both kinds wait, both go on."""

    async def scene() -> list[tuple[int, str]]:
        limits = Limits(workers=count, batch=2)
        workers = Workers("", None, limits, Line(limits))
        stdin = SimpleNamespace(is_closing=lambda: False, writelines=lambda pieces: None)
        for number in range(count):
            worker = Worker(SimpleNamespace(stdin=stdin), slow=number < max(1, count // 2))  # type: ignore[arg-type]
            worker.ready = True
            workers.running.append(worker)
        loop = asyncio.get_running_loop()
        for work in ("predict", "explain"):
            workers.line.add([Job({"work": work}, b"", loop.create_future()) for _ in range(12)])
        workers.dispatch()
        done = []
        while any(worker.held for worker in workers.running):
            for number, worker in enumerate(workers.running):
                if worker.held:
                    done.append((number, worker.held[0].ask["work"]))
                    assert len(worker.held) == 1 or worker.held[0].ask["work"] == "predict"
                    workers._answered(worker, [{} for _ in worker.held], [])
                    workers.dispatch()
        return done

    done = asyncio.run(scene())
    assert sum(work == "explain" for _, work in done) == 12
    assert {number for number, work in done if work == "explain"} == set(range(max(1, count // 2)))
    first = [work for number, work in done if number == 0][:8]
    assert "explain" in first and "predict" in first
    if count == 1:  # both kinds wait all the time
        assert first == ["explain", "predict"] * 4
