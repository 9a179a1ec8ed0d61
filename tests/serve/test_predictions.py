"""What the server answers to pictures, beside what the model itself says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from clients import CLASSES, encoded, form

from alexnet.evaluation.evaluate import view_probabilities
from alexnet.pictures.decode import stored
from alexnet.weights.model import answer, load

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@pytest.fixture(scope="module")
def expected(models):
    """What the model says about a picture, computed here."""
    model = load(models["onnx"])

    def compute(data: bytes, top: int = 5, views: int = 1):
        picture = stored(data, model.input.stored, model.input.resize, model.input.decode)
        return answer(view_probabilities(model, picture[None], views)[0], model.classes, top)

    return compute


def same(found, wanted):
    """Labels and order are equal, probabilities to rounding: a batch may be summed in another order."""
    assert [entry["index"] for entry in found["top"]] == [entry["index"] for entry in wanted["top"]]
    assert found["label"] == wanted["label"]
    for one, other in zip(found["top"], wanted["top"], strict=True):
        assert one["label"] == other["label"] and abs(one["probability"] - other["probability"]) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_as_the_body(server, expected, kind):
    data = encoded(kind)
    found = server.predict(data, "?top=3&views=10", headers={"Content-Type": "text/plain"})  # content tells
    assert found.status == 200
    (entry,) = found.json["predictions"]
    same(entry, expected(data, 3, 10))


def test_files_of_a_form_in_the_order_sent(server, expected):
    pictures = [encoded("PNG", side) for side in range(40, 52)]
    names = [f"{number}.png" for number in range(12)]
    body, kind = form(*zip(names, pictures, strict=True))
    found = server.predict(body, headers=kind).json["predictions"]
    assert [entry["name"] for entry in found] == names
    for entry, picture in zip(found, pictures, strict=True):
        same(entry, expected(picture))


def test_a_bad_file_never_loses_the_others(server, jpeg, expected):
    files = [("text.jpg", b"words"), ("good.jpg", jpeg), ("cut.jpg", jpeg[: len(jpeg) // 2]), ("none.jpg", b"")]
    body, kind = form(*files)
    answered = server.predict(body, headers=kind)
    assert answered.status == 200
    text, good, cut, nothing = answered.json["predictions"]
    same(good, expected(jpeg))
    assert (text["status"], cut["status"], nothing["status"]) == (415, 422, 422)
    assert text["detail"] == "not a picture of a known format" and cut["title"] and cut["detail"]


def test_where_all_are_refused_the_status_says_so(server, jpeg):
    body, kind = form(("text.jpg", b"words"), ("cut.jpg", jpeg[:500]))
    assert server.predict(body, headers=kind).status == 415
    assert server.predict(jpeg[:500]).status == 422
    assert server.predict(b"").status == 400
    assert all(server.predict(data).problem for data in (b"", b"words", jpeg[:500]))


def test_many_at_once_each_get_their_own(server, expected):
    pictures = [encoded("PNG", 30 + side) for side in range(24)]
    wanted = [expected(picture) for picture in pictures]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda place: server.predict(pictures[place % 24]).json["predictions"][0], range(96)))
    for place, entry in enumerate(found):
        same(entry, wanted[place % 24])


@pytest.mark.parametrize("query", ["?top=0", "?top=1001", "?top=x", "?views=2", "?views=", "?tpo=3"])
def test_questions_that_make_no_sense(server, jpeg, query):
    found = server.predict(jpeg, query)
    assert found.status == 400 and found.problem
    assert query[1:].split("=")[0] in found.json["detail"]


def test_the_model_says_what_it_is(server, models):
    found = server.ask("GET", "/v1/model").json
    assert found["classes"] == list(CLASSES) and found["variant"] == "lenet-5"
    assert found["name"] == models["onnx"].name and found["parameters"] == 61_706
    assert found["layers"][0] == {"name": "conv1", "type": "Conv", "output": [6, 28, 28]}
    assert found["scores"] == {"top1": 0.5} and found["trained_on"] == "drawn"
    assert found["limits"]["body_bytes"] >= 16 * 2**20


def test_a_torch_model_answers_alike(start, models, jpeg):
    server = start("--workers", "1", model="torch")
    (entry,) = server.predict(jpeg).json["predictions"]
    wanted = load(models["torch"]).predict(jpeg)[0]
    assert entry["label"] == wanted["label"] and np.isclose(entry["probability"], wanted["probability"])
