"""The page in a real browser against the real server: what a visitor sees and reaches, and what never happens."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import Running, Start, started, stop
from PIL import Image
from playwright.sync_api import Page, expect
from visitors import Visit, reached, told, words

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
CLASSES = (HOSTILE, "birch", "cedar & <b>oak</b>", "döner", "elm", "fig", "a" * 90, "gum", "holm", "ivy")
WIDTHS = (320, 360, 1280)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for a small network of convolutions whose class names want to be markup."""
    import torch

    from alexnet.network.architecture import Input
    from alexnet.network.model import build
    from alexnet.network.variants import variant
    from alexnet.weights import files

    value = variant("cifar-18pct", len(CLASSES))
    rule = Input(size=value.size, stored=value.stored, mean=(120.0,) * 3, scale=(1 / 64,) * 3)
    trained = {"data": {"name": HOSTILE, "counts": {"train": {"birch": 1200, "elm": 34}}}}
    description = files.Description(value, CLASSES, rule, trained, {"test": {"top1": 0.625, "images": 80}})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        tensors = build(value).state_dict()
        for name, tensor in tensors.items():
            if name.endswith("weight"):  # so large that answers are clear, and another for each picture
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
    path = tmp_path_factory.mktemp("gallery") / "small.safetensors"
    files.save(path, tensors, description)
    server = started(path, "--workers", "1", "--index", str(indexed(path)))
    yield server
    stop(server)


def indexed(model: Path) -> Path:
    """Features of ten pictures whose file names want to be markup."""
    folder = model.parent / "pictures"
    folder.mkdir()
    for name, data in pictures(*(f"{HOSTILE}{number}.png" for number in range(10))).items():
        (folder / name).write_bytes(data)
    command = [sys.executable, "-m", "alexnet", "features", str(folder), "--model", str(model), "--layers", "fc4"]
    subprocess.run([*command, "--out", str(model.parent / "index")], check=True, capture_output=True)
    return model.parent / "index"


def pictures(*names: str) -> dict[str, bytes]:
    """PNGs of colours and blocks that differ."""
    found = {}
    for number, name in enumerate(names):
        data = io.BytesIO()
        blocks = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((60, 80), Image.Resampling.NEAREST).save(data, "PNG")
        found[name] = data.getvalue()
    return found


def pixels(page: Page, selector: str) -> np.ndarray:
    """uint8 [H, W, 4]: what an image on the page shows, at its own size."""
    width, height, data = page.evaluate(
        """async selector => {
            const image = document.querySelector(selector);
            await image.decode();
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
            const pen = canvas.getContext("2d");
            pen.drawImage(image, 0, 0);
            return [canvas.width, canvas.height, [...pen.getImageData(0, 0, canvas.width, canvas.height).data]];
        }""",
        selector,
    )
    return np.array(data, np.uint8).reshape(height, width, 4)


def test_dropped_pictures_get_the_answers_of_the_api(visit: Visit, gallery: Running) -> None:
    files = pictures("one.png", HOSTILE + ".png", "three.png")
    visitor = visit()
    page = visitor.page
    visitor.drop(files)
    visitor.hung(3)
    for place, data in enumerate(files.values()):
        answer = gallery.predict(data, "?top=5").json["predictions"][0]
        page.locator("#hangings button").nth(place).click()
        expect(page.locator("#hangings button").nth(place)).to_have_attribute("aria-current", "true")
        assert words(page.locator("#answer")) == f"{answer['label']} {told(answer['probability'])}"
        bars = page.locator("#bars label")
        shown = [words(bars.nth(row)) for row in range(bars.count())]
        assert shown == [f"{entry['label']} {told(entry['probability'])}" for entry in answer["top"]]
    expect(page.locator("#status")).to_contain_text(f"three.png: {answer['label']}")
    with page.expect_download() as download:
        page.click("#download")
    saved = json.loads(Path(download.value.path()).read_text())["predictions"]
    assert [entry["name"] for entry in saved] == list(files)
    assert [entry["label"] for entry in saved[2]["top"]] == [entry["label"] for entry in answer["top"]]
    assert saved[2]["probability"] == pytest.approx(answer["probability"])
    page.click("#clear")
    visitor.hung(0)
    expect(page.locator("#before")).to_be_visible()
    assert page.evaluate("document.querySelectorAll('img[src=\"x\"], main b').length") == 0
    assert page.title() == "AlexNet: small.safetensors"
    visitor.leave()


def test_the_frame_shows_what_the_network_saw_and_the_heat_over_it(visit: Visit, gallery: Running) -> None:
    data = pictures("one.png")["one.png"]
    visitor = visit()
    page = visitor.page
    visitor.paste({"one.png": data})
    visitor.hung(1)
    expect(page.locator("img.seen")).to_have_attribute("src", re.compile("^blob:"))
    seen = gallery.ask("POST", "/v1/explain?method=input", data).body
    assert (pixels(page, "img.seen")[..., :3] == np.asarray(Image.open(io.BytesIO(seen)).convert("RGB"))).all()

    visitor.look()
    first = page.get_attribute("img.heat", "src")
    page.locator("#bars label").nth(2).click()
    expect(page.locator("img.heat")).not_to_have_attribute("src", first or "")
    index = gallery.predict(data, "?top=5").json["predictions"][0]["top"][2]["index"]
    assert page.locator("#target").input_value() == str(index)
    second = page.get_attribute("img.heat", "src")
    page.select_option("#target", "9")  # a name that is not among the five
    expect(page.locator("img.heat")).not_to_have_attribute("src", second or "")
    page.select_option("#method", "occlusion")
    expect(page.locator("#at-layer")).to_be_hidden()
    expect(page.locator("#looked-text")).to_contain_text("grey")
    page.locator("#opacity").fill("30")
    assert page.evaluate("document.querySelector('img.heat').style.opacity") == "0.3"
    page.click("#overlay")
    expect(page.locator("img.heat")).to_be_hidden()
    visitor.leave()


def test_the_walk_shows_every_layer(visit: Visit, gallery: Running) -> None:
    model = gallery.ask("GET", "/v1/model").json
    visitor = visit()
    page = visitor.page
    expect(page.locator("#layer-figures img")).to_be_visible()  # the kernels, before any picture
    visitor.drop(pictures("one.png"))
    visitor.hung(1)
    assert page.locator("#strip input").count() == len(model["layers"])
    for layer in model["layers"]:
        page.locator(f"#strip input[value={layer['name']}]").check(force=True)
        expect(page.locator("#layer-title")).to_contain_text(f"{layer['name']}: ")
        expect(page.locator("#layer-figures img")).to_have_attribute("alt", f"What {layer['name']} makes of one.png")
        shape = layer["output"]
        expected = f"{shape[0]} maps of {shape[1]} × {shape[2]}" if len(shape) == 3 else f"{shape[0]} numbers"
        assert page.inner_text("#layer-shape") == expected
        assert "Turns what it is given" not in page.inner_text("#layer-text")  # every kind has its own words
    page.click("#stroll")
    expect(page.locator("#layer-title")).to_contain_text("conv1")  # from the end to the beginning
    expect(page.locator("#layer-title")).to_contain_text(model["layers"][1]["name"])
    page.click("#stroll")
    visitor.leave()


def test_what_is_refused_is_told_in_words_and_loses_nothing_else(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.locator("#facts dt").first.wait_for()
    visitor.drop({HOSTILE: b"not a picture at all", **pictures("good.png"), "huge.png": 16 * 2**20 + 1})
    visitor.hung(1)
    notes = page.locator("#notes .note")
    expect(notes).to_have_count(2)
    expect(notes.nth(0)).to_contain_text(HOSTILE)
    expect(notes.nth(1)).to_contain_text("huge.png is 16 MiB; this server takes up to 16 MiB")
    assert visitor.serious() == []
    page.keyboard.press("Tab")
    notes.nth(0).get_by_role("button").click()
    expect(notes).to_have_count(1)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Close this note"
    visitor.leave(415)


def test_what_is_taken_down_while_it_is_drawn_is_not_missed(visit: Visit) -> None:
    visitor = visit()
    held: list[Any] = []
    visitor.context.route("**/v1/explain*", lambda route: held.append(route))
    with visitor.page.expect_request("**/v1/explain*"):
        visitor.drop(pictures("one.png"))
    visitor.hung(1)
    visitor.page.click("#clear")
    with visitor.page.expect_response("**/v1/explain*"):
        for route in held:
            route.fallback()
    visitor.page.wait_for_timeout(500)
    expect(visitor.page.locator("#strip .entry")).to_be_hidden()
    visitor.leave()


def test_a_busy_server_is_asked_again_and_a_lost_one_is_told_of(visit: Visit, start: Start) -> None:
    server = start(model="onnx")
    visitor = visit(server)
    page = visitor.page
    refusals = [503, 503]

    def busy(route: Any) -> None:
        if not refusals:
            return route.fallback()
        body = json.dumps({"status": refusals.pop(), "detail": "too many pictures are waiting"})
        route.fulfill(status=503, body=body, headers={"Retry-After": "1", "Content-Type": "application/problem+json"})

    page.locator("#facts dt").first.wait_for()
    visitor.context.route("**/v1/predict*", busy)
    visitor.drop(pictures("one.png"))
    expect(page.locator("#status")).to_contain_text("busy; asking again in 1 s")
    visitor.hung(1)
    assert refusals == [] and page.locator(".note").count() == 0

    server.end()
    visitor.drop(pictures("late.png"))
    expect(page.locator(".note")).to_contain_text("late.png The server does not answer.")
    expect(page.locator(".note").get_by_text("Try again")).to_be_visible()
    visitor.hung(1)
    visitor.leave(503, 0)


def test_a_token_is_asked_for_until_it_is_right(visit: Visit, start: Start) -> None:
    visitor = visit(start("--token", "s3cret", model="onnx"))
    page = visitor.page
    expect(page.locator("#key")).to_be_visible()
    assert visitor.serious() == []
    page.fill("#token", "guess")
    page.keyboard.press("Enter")
    expect(page.locator("#key-text")).to_contain_text("That was not it")
    page.fill("#token", "s3cret")
    page.keyboard.press("Enter")
    visitor.drop(pictures("one.png"))
    visitor.hung(1)
    expect(page.locator("img.seen")).to_have_attribute("src", re.compile("^blob:"))  # pictures bring it too
    visitor.leave(401)


def test_all_of_it_by_keyboard_alone(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.locator("#examples button").first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the way past the links
    reached(page, "Try rings")
    page.keyboard.press("Enter")
    visitor.hung(1)
    reached(page, "bar")
    page.keyboard.press("ArrowDown")
    expect(page.locator("img.heat")).to_be_visible()
    reached(page, "opacity")
    page.keyboard.press("Home")
    assert page.inner_text("#opacity-text") == "0 %"
    reached(page, "target")
    page.keyboard.press("ArrowDown")
    reached(page, "layer")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#layer-title")).not_to_contain_text("conv1")
    page.locator("#open-drawing").focus()
    page.keyboard.press("Enter")
    reached(page, "zigzag")
    page.keyboard.press("Enter")
    reached(page, "hang-drawing")
    page.keyboard.press("Enter")
    visitor.hung(2)
    expect(page.locator("#name")).to_contain_text("drawing 1")
    visitor.leave()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_anyones_way(visit: Visit, scheme: str) -> None:
    visitor = visit(color_scheme=scheme, reduced_motion="reduce")
    page = visitor.page
    page.locator("#facts dt").first.wait_for()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")
    assert visitor.serious() == []
    visitor.drop(pictures("one.png", "two.png", "x" * 120 + ".png"))
    visitor.hung(3)
    visitor.look()
    page.locator("summary").click()
    expect(page.locator("#layer-figures img")).to_be_visible()
    assert visitor.serious() == []
    page.click("#open-drawing")
    assert visitor.serious() == []
    page.click("#close-drawing")
    page.click("#open-camera")
    expect(page.locator("#camera-guess")).to_contain_text("%")
    assert visitor.serious() == []
    page.click("#take")
    visitor.hung(4)
    visitor.leave()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits(visit: Visit, width: int) -> None:
    visitor = visit(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page = visitor.page
    page.locator("#facts dt").first.wait_for()
    assert visitor.fits()
    visitor.drop({**pictures("one.png", "x" * 120 + ".png"), "y" * 120: b"no picture"})
    visitor.hung(2)
    visitor.look()
    page.locator("summary").click()
    expect(page.locator(".note")).to_be_visible()
    assert visitor.fits()
    page.click("#open-drawing")
    box = page.locator("#drawing").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
    visitor.leave(415)


def test_pictures_alike_come_with_their_own_pictures(visit: Visit, gallery: Running) -> None:
    data = pictures("one.png")["one.png"]
    visitor = visit()
    page = visitor.page
    expect(page.locator("nav [href='#alike']")).to_be_visible()
    visitor.drop({"one.png": data})
    items = page.locator("#neighbours li")
    expect(items).to_have_count(8)
    found = gallery.ask("POST", "/v1/neighbours?count=8", data).json["neighbours"]
    assert words(items.nth(7)) == f"{found[7]['name']} distance {found[7]['distance']:.3g}"
    assert found[7]["name"].startswith("<img src=x")
    expect(items.nth(7).locator("img")).to_have_attribute("src", re.compile("^blob:"))
    row = Image.open(io.BytesIO(gallery.ask("GET", f"/v1/neighbours/{found[7]['row']}").body)).convert("RGB")
    shown = pixels(page, "#neighbours li:nth-child(8) img")[..., :3].astype(int)
    assert abs(shown - np.asarray(row)).max() <= 8  # two JPEG decoders
    assert visitor.serious() == []
    visitor.leave()


def test_the_pages_files_hold_no_script_or_style_in_place_and_name_no_other_host() -> None:
    import alexnet.use

    folder = Path(next(iter(alexnet.use.__path__))) / "page"
    for file in folder.iterdir():
        if file.suffix == ".jpg":
            continue
        text = file.read_text("utf-8")
        hosts = set(re.findall(r"https?://([^/\"' )]+)", text)) - {"www.w3.org"}  # the name of SVG's namespace
        assert hosts == set(), file
        if file.suffix == ".html":
            assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", text), file
        if file.suffix == ".js":
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text), file
