"""Reports as people meet them: at three widths, by day and by night, with the keyboard, on paper, read aloud.

Needs Debian's chromium; without it these tests are skipped, unless CI=true says that nothing may be.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from evaluated import evaluation
from playwright.sync_api import Browser, Page, sync_playwright

import alexnet
from alexnet.insight.reports import comparison, comparison_page, report

CHROMIUM = "/usr/bin/chromium"
LONG = "a name of a class that is longer than anybody would like it to be and has no end at all"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        told = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        told(f"{CHROMIUM} is not there: apt-get install chromium")
    with sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory, easy_picture) -> dict[str, Path]:
    """A run's report; evaluations of two classes with hostile names and of 22; two runs side by side."""
    root = tmp_path_factory.mktemp("pages")
    for kind, name in enumerate(("ash", LONG)):
        for split, count in (("train", 12), ("test", 6)):
            (root / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                easy_picture(kind, number).save(root / "photos" / split / name / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        alexnet.train(root / "photos", variant="lenet-5", epochs=2, settings=["batch_size=8"], out=root / "run")
        shutil.copytree(root / "run", root / "copy")
        hostile = ("<script>document.title='gone'</script>", "x" * 90)
        for name, names, images in (("two", hostile, 30), ("many", tuple(f"kind {n:02d}" for n in range(22)), 44)):
            report.evaluation(root / name, evaluation(root / name, images, names), ["m"], "d")
    runs = comparison.read([root / "run", root / "copy"])
    comparison_page.write(runs, comparison.comparison(runs), root / "compare.html")
    found = {name: root / name / "report.html" for name in ("run", "two", "many")}
    return found | {"compare": root / "compare.html"}


def opened(browser: Browser, path: Path, width: int, scheme: str) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("request", lambda r: r.url.startswith(("data:", "file:")) or page.complaints.append(r.url))
    page.goto(path.as_uri())
    return page


def violations(page: Page) -> dict[str, str]:
    """What axe finds serious, with the first place of each."""
    found = Axe().run(page).response["violations"]
    return {v["id"]: v["nodes"][0]["html"][:200] for v in found if v["impact"] in ("serious", "critical")}


def test_axe_would_tell(browser, pages):
    """Grey on white, a picture without words, a place to scroll that no key reaches."""
    page = opened(browser, pages["compare"], 768, "light")
    page.evaluate("document.querySelector('.lead').style.color = '#bbb'; document.body.append(new Image())")
    assert {"color-contrast", "image-alt"} <= set(violations(page))
    page.close()


@pytest.mark.parametrize("name", ["run", "two", "many", "compare"])
def test_nothing_is_cut_off_and_nothing_stands_in_anyones_way(browser, pages, name):
    for width, scheme in ((320, "dark"), (768, "light"), (1440, "light")):
        page = opened(browser, pages[name], width, scheme)
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0, (width, scheme)
        if width != 768:
            assert not violations(page), (width, scheme)
        assert page.complaints == [] and page.title() != "gone"
        page.close()


def test_tables_are_sorted_with_the_keyboard(browser, pages):
    page = opened(browser, pages["many"], 1440, "light")
    column = "[...document.querySelectorAll('#classes tbody tr')].map(r => r.cells[{}].textContent.trim())"
    given = page.evaluate(column.format(0))
    page.focus("#classes thead th:first-child button")
    page.keyboard.press("Enter")
    assert page.evaluate(column.format(0)) == sorted(given)
    assert page.get_attribute("#classes thead th:first-child", "aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert page.evaluate(column.format(0)) == sorted(given, reverse=True)
    page.click("#classes thead th:nth-child(2) button")
    recall = [float(text.split("\N{NO-BREAK SPACE}")[0]) for text in page.evaluate(column.format(1))]
    assert recall == sorted(recall)
    assert page.locator("#classes [aria-sort]").count() == 1
    page.close()


def test_by_day_and_by_night_ink_and_paper_change_places_and_paper_stays_white(browser, pages):
    ground = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)[0]"
    day, night = (opened(browser, pages["run"], 768, scheme) for scheme in ("light", "dark"))
    assert day.evaluate(ground) > 200 > 60 > night.evaluate(ground)
    night.emulate_media(media="print")
    assert night.evaluate(ground) == 255
    assert not night.is_visible("nav")
    assert night.pdf(format="A4").startswith(b"%PDF")
    for page in (day, night):
        page.close()


def test_without_scripts_everything_is_there(browser, pages):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["many"].as_uri())
    assert page.locator("#classes tbody tr").count() == 22 and page.locator("th button").count() == 0
    context.close()
