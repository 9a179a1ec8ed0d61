"""Pages: one self-contained HTML file each, from the templates in `pages/`. Nothing in them is fetched from anywhere.

Whatever comes from outside, names of classes and files above all, is escaped by the templates; beyond that a page's
policy allows no script but our own, which its digest names, and no address but those of pictures inside the page.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **context: Any) -> str:
    """The text of a page. Bytes of names that are not UTF-8 are shown as such and make no page invalid."""
    text = _environment(template.endswith(".html")).get_template(template).render(**context)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@cache
def _environment(html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("alexnet.insight.reports", "pages"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(style=Markup(_asset("page.css")), script=Markup(script), script_digest=digest)
    filters = (percent, count, duration, line, breakable, probability)
    environment.filters.update({each.__name__: each for each in filters})
    return environment


def _asset(name: str) -> str:
    return resources.files("alexnet.insight.reports").joinpath("pages", name).read_text("utf-8")


def percent(share: float | None, digits: int = 1) -> str:
    """0.593 → 59.3 %, with a space that does not break; nothing for None."""
    return "" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def count(number: int) -> str:
    """1234567 → 1,234,567."""
    return f"{number:,}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 0.42 s, 42 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def line(text: str) -> str:
    """Any text on one line."""
    return " ".join(text.split())


def breakable(path: str) -> Markup:
    """A path that may go on in the next line after each stroke."""
    return Markup("/<wbr>").join(path.split("/"))


def probability(p: float) -> str:
    """Two digits, as far as they mean something."""
    return f"{p:.2g}" if p >= 1e-4 else "below 0.0001"
