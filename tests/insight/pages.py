"""A page taken apart by Python's own parser, and what it would fetch."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "link", "br", "wbr", "input", "hr"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; the open elements must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.attributes = text, [], []
        self.words, self.cells, self.ids = [], [], set()
        self._open: list[str] = []
        self._row: list[str] | None = None
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        self.ids |= {value for name, value in attributes if name == "id"}
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, (tag, self._open)
        self._open.pop()

    def handle_data(self, data):
        self.words.append(data)
        if {"td", "th"} & set(self._open[-4:]):
            self.tables[-1][-1][-1] += data.strip()

    @property
    def said(self) -> str:
        """All text but style and script, in one line."""
        return " ".join(" ".join(self.words).split())

    def table(self, *headings: str) -> list[list[str]]:
        """The rows of the table whose first headings are these."""
        (found,) = [t for t in self.tables if t and tuple(t[0][: len(headings)]) == headings]
        return found[1:]


def fetched(page: Page) -> list[str]:
    """Addresses that a browser would go to by itself or on a click, but those within the page."""
    named = [
        value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action", "poster", "data")
    ]
    named += re.findall(r"url\(([^)]*)\)", page.text) + re.findall(r"@import[^;]*", page.text)
    inside = ("data:image/jpeg;base64,", "data:image/png;base64,")
    return [a for a in named if not a.startswith(inside) and not (a[:1] == "#" and a[1:] in page.ids)]
