"""People at a browser: what they do, what they are shown, and what goes wrong behind the page."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from clients import Running
from playwright.sync_api import Browser, JSHandle, Page, expect

BAD = ("serious", "critical")

expect.set_options(timeout=20_000)  # two slow cores, shared


class Visitor:
    """A person at a browser: what went wrong behind the page, and where it wanted to go."""

    def __init__(self, browser: Browser, server: Running, **options: Any) -> None:
        self.home = f"http://127.0.0.1:{server.port}"
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.strayed: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.route("**/*", self._guard)
        self.page.goto(self.home)

    def _guard(self, route: Any) -> None:
        if route.request.url.startswith(f"{self.home}/"):
            return route.continue_()
        self.strayed.append(route.request.url)
        route.abort()

    def drop(self, files: Mapping[str, bytes | int]) -> None:
        """Files let go over the page: their bytes, or how many zeros."""
        transfer = self._transfer(files)
        for kind in ("dragenter", "dragover", "drop"):
            self.page.dispatch_event("main", kind, {"dataTransfer": transfer})

    def paste(self, files: Mapping[str, bytes | int]) -> None:
        paste = "data => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }))"
        self.page.evaluate(paste, self._transfer(files))

    def _transfer(self, files: Mapping[str, bytes | int]) -> JSHandle:
        encoded = [
            [name, data if isinstance(data, int) else base64.b64encode(data).decode()] for name, data in files.items()
        ]
        return self.page.evaluate_handle(
            """files => {
                const bytes = data => typeof data === "number" ? new Uint8Array(data)
                    : Uint8Array.from(atob(data), sign => sign.charCodeAt(0));
                const transfer = new DataTransfer();
                for (const [name, data] of files) transfer.items.add(new File([bytes(data)], name));
                return transfer;
            }""",
            encoded,
        )

    def hung(self, count: int) -> None:
        expect(self.page.locator("#hangings li")).to_have_count(count)

    def look(self) -> None:
        """Opens the overlay and waits until the heat is there."""
        self.page.click("#overlay")
        expect(self.page.locator("img.heat")).to_be_visible()

    def serious(self) -> list[str]:
        """What axe finds in the page as it is now."""
        found = Axe().run(self.page).response["violations"]
        return [f"{entry['id']}: {entry['nodes'][0]['html']}" for entry in found if entry["impact"] in BAD]

    def fits(self) -> bool:
        """Whether nothing has to be scrolled sideways to be read."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    def leave(self, *expected: int) -> None:
        """Nothing strayed, nothing complained but the browser itself about the statuses that the test brought about."""
        self.context.close()
        assert self.strayed == []
        known = [f"status of {status} " for status in expected] + (["ERR_CONNECTION_REFUSED"] if 0 in expected else [])
        unexpected = [text for text in self.complaints if not any(part in text for part in known)]
        assert unexpected == [], unexpected


Visit = Callable[..., Visitor]


def words(locator: Any) -> str:
    return re.sub(r"\s+", " ", locator.inner_text()).strip()


def told(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def reached(page: Page, wanted: str, most: int = 60) -> None:
    """Tabs on until what has the focus is called that; every stop on the way can be seen to have it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        called, marked = page.evaluate(
            """() => {
                const here = document.activeElement;
                const shown = [here, here.closest("label"), here.nextElementSibling].filter(Boolean);
                const called = [here.id, here.name, here.getAttribute("aria-label"), here.textContent.trim()];
                return [called, shown.some(one => getComputedStyle(one).outlineStyle !== "none")];
            }"""
        )
        assert marked, f"the focus on {called} cannot be seen"
        if wanted in called:
            return
    raise AssertionError(f"{wanted} is not reached")
