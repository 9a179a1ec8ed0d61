"""Features and nearest pictures over HTTP, beside what the program finds by itself."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from clients import encoded, form, started, stop
from PIL import Image

from alexnet.insight.features.neighbours import Index
from alexnet.weights.model import load


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory):
    """An index of 20 pictures, and the folder where they lie."""
    root = tmp_path_factory.mktemp("index")
    (root / "pictures").mkdir()
    for number in range(20):
        (root / "pictures" / f"{number:02d}.png").write_bytes(encoded("PNG", 40 + number))
    command = [sys.executable, "-m", "alexnet", "features", str(root / "pictures"), "--model", str(models["torch"])]
    subprocess.run([*command, "--layers", "fc4", "--out", str(root / "features")], check=True, capture_output=True)
    return root


@pytest.fixture(scope="module")
def indexed(models, folder):
    running = started(models["torch"], "--workers", "2", "--index", str(folder / "features"))
    yield running
    stop(running)


@pytest.mark.parametrize("layer", ["fc4", "conv2", None])
def test_features(indexed, models, jpeg, layer):
    answer = indexed.ask("POST", f"/v1/features{f'?layer={layer}' if layer else ''}", jpeg)
    (found,) = answer.json["features"]
    expected = load(models["torch"]).features(jpeg, layer)[0]
    assert found["shape"] == list(expected.shape) and (layer is None or found["layer"] == layer)
    np.testing.assert_allclose(np.reshape(found["values"], expected.shape), expected, rtol=1e-4, atol=1e-5)


def test_features_of_several_of_which_one_is_none(indexed, jpeg):
    body, kind = form(("a.jpg", jpeg), ("words.txt", b"words"), ("b.jpg", jpeg))
    first, second, third = indexed.ask("POST", "/v1/features?layer=fc4", body, kind).json["features"]
    assert first["values"] == third["values"] and [first["name"], third["name"]] == ["a.jpg", "b.jpg"]
    assert second["status"] == 415 and "values" not in second
    assert indexed.ask("POST", "/v1/features", b"words").status == 415
    assert indexed.ask("POST", "/v1/features?layer=conv9", jpeg).status == 404


def test_features_of_an_onnx_model_do_not_pile_up(server, jpeg):
    for layer in ("fc4", "conv2", "tanh1", "fc4", "pool1"):
        answer = server.ask("POST", f"/v1/features?layer={layer}", jpeg)
        assert answer.status == 200 and answer.json["features"][0]["layer"] == layer


def test_neighbours(indexed, models, folder, jpeg):
    assert indexed.ask("GET", "/v1/model").json["index"] is True
    found = indexed.ask("POST", "/v1/neighbours?count=5", jpeg).json["neighbours"]
    index = Index.open(folder / "features")
    distances, rows = index.search(load(models["torch"]).features(jpeg, "fc4"), 5)
    assert [entry["row"] for entry in found] == rows[0].tolist()
    np.testing.assert_allclose([entry["distance"] for entry in found], distances[0], rtol=1e-4)
    own = indexed.ask("POST", "/v1/neighbours?count=1", encoded("PNG", 47)).json["neighbours"]
    assert own == [{"row": 7, "name": "07.png", "label": None, "distance": pytest.approx(0, abs=1e-3)}]
    assert len(indexed.ask("POST", "/v1/neighbours?count=100", jpeg).json["neighbours"]) == 20


def test_thumbnails(indexed, folder):
    answer = indexed.ask("GET", "/v1/neighbours/7")
    assert answer.status == 200 and answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.body)).size == (47, 47)
    for row, status in (("20", 404), ("-1", 400), ("x", 400), ("99999999999999999999", 400)):
        assert indexed.ask("GET", f"/v1/neighbours/{row}").status == status
    (folder / "pictures" / "03.png").unlink()
    gone = indexed.ask("GET", "/v1/neighbours/3")
    assert gone.status == 404 and str(folder) not in gone.json["detail"]


def test_without_an_index(server, jpeg):
    for answer in (server.ask("POST", "/v1/neighbours", jpeg), server.ask("GET", "/v1/neighbours/0")):
        assert answer.status == 404 and "--index" in answer.json["detail"]
    assert server.ask("GET", "/v1/model").json["index"] is False


def test_an_index_that_does_not_fit(alexnet, models, folder, tmp_path):
    for index, words in ((folder / "features", "another model"), (tmp_path, "not a folder of features")):
        outcome = alexnet("serve", "--port", "0", "--model", models["onnx"], "--index", index, "--workers", "1")
        assert outcome.code == 2 and words in outcome.err and "Traceback" not in outcome.err
