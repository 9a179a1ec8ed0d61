"""The page as it is first met: the model in the box, its drawn cat and dog, and a picture that shows neither."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from importlib import resources

import pytest
from clients import Running, started, stop
from photographs import PHOTOGRAPHS
from playwright.sync_api import expect
from visitors import Visit, reached, told, words

import alexnet


@pytest.fixture(scope="module")
def gallery() -> Iterator[Running]:
    """The server as a newcomer starts it: without a model."""
    server = started(None, "--workers", "1")
    yield server
    stop(server)


@pytest.fixture(scope="module")
def three() -> dict[str, bytes]:
    """The page's two drawings and a photograph."""
    photograph = io.BytesIO()
    PHOTOGRAPHS[0].save(photograph, "JPEG")
    page = resources.files("alexnet.use") / "page"
    drawn = {name: (page / name).read_bytes() for name in ("cat.jpg", "dog.jpg")}
    return drawn | {"temple.jpg": photograph.getvalue()}


def test_three_pictures_their_labels_the_overlay_and_a_layer(visit: Visit, three: dict[str, bytes]) -> None:
    visitor = visit(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = visitor.page
    expect(page.locator("#before")).to_contain_text("the 2 names it knows, cats and dogs")
    visitor.drop(three | {"words.txt": b"no picture", "nothing.jpg": b""})
    visitor.hung(3)
    notes = page.locator("#notes .note")
    expect(notes).to_have_text([re.compile("^words.txt Not a picture.*JPEG"), re.compile("^nothing.jpg is empty")])
    answers = alexnet.load().predict(list(three.values()))
    assert [answer["label"] for answer in answers[:2]] == ["cats", "dogs"]
    for place, answer in enumerate(answers):
        page.locator("#hangings button").nth(place).click()
        assert words(page.locator("#answer")) == f"{answer['label']} {told(answer['probability'])}"
    expect(page.locator("#knows")).to_contain_text("nothing but cats and dogs")  # no temple
    visitor.look()
    expect(page.locator("#status")).to_contain_text(f"speaks for {answer['label']} in temple.jpg")
    for layer, key in (("conv1", "red speaks for"), ("pool2", "bright is strong"), ("fc8", "red speaks for")):
        page.locator(f"#strip input[value={layer}]").check(force=True)
        expect(page.locator("#layer-figures img")).to_have_attribute("alt", f"What {layer} makes of temple.jpg")
        expect(page.locator("#layer-key")).to_contain_text(key)
    assert visitor.serious() == []
    assert visitor.fits()
    visitor.leave(415)


def test_a_phone_without_a_finger(visit: Visit) -> None:
    visitor = visit(viewport={"width": 360, "height": 740}, color_scheme="dark", reduced_motion="reduce")
    page = visitor.page
    page.locator("#examples img").first.wait_for()
    reached(page, "Try dog")
    page.keyboard.press("Enter")
    visitor.hung(1)
    expect(page.locator("#answer")).to_contain_text("dogs")
    reached(page, "bar")
    page.keyboard.press("ArrowDown")
    expect(page.locator("img.heat")).to_be_visible()
    assert page.locator("#target option:checked").inner_text() == "cats"
    reached(page, "layer")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#layer-figures img")).to_have_attribute("alt", "What bn1 makes of dog")
    assert visitor.serious() == []
    assert visitor.fits()
    visitor.leave()
