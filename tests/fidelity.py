"""Which facts of a list of facts about AlexNet no test holds: `python tests/fidelity.py LIST.md`.

The list is Markdown in numbered sections, `## 1. …`. A fact is a bullet, a numbered point or a row of a table; in a
paragraph that begins in bold, as `**article 0** - one. - two.`, each dash begins one. Facts are numbered in the order
of their section: 1.01, 1.02, … The first column of the tables in `docs/fidelity.md` names the facts that a row covers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "fidelity.md"
SECTIONS = ("1", "2", "3", "6")  # what was published, and what the articles get wrong
NOTHING = "nothing to hold: "  # in place of a test, where a statement fixes nothing in a program; the reason follows
FROM_MEMORY = "[mem]"  # marks what the list's writer has not verified

ITEM = re.compile(r"- |\d+\. ")
REFERENCE = re.compile(r"`([\w/.]+\.py)::(\w+)`")


@dataclass(frozen=True)
class Row:
    """One statement on the page. `code` and `tests` are pairs of file and name."""

    facts: tuple[str, ...]
    statement: str
    source: str
    code: tuple[tuple[str, str], ...]
    tests: tuple[tuple[str, str], ...]
    held: str  # the last cell, as it stands

    @property
    def nothing(self) -> bool:
        """Whether it fixes nothing that a test could hold."""
        return self.held.startswith(NOTHING)

    @property
    def settled(self) -> bool:
        """Whether a test holds it, or nothing can."""
        return bool(self.tests) or self.nothing


def rows(page: str) -> Iterator[Row]:
    """The rows of all tables on the page."""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"[\d. ]*", cells[0]):
            numbers, statement, source, code, held = cells
            yield Row(
                facts=tuple(numbers.split()),
                statement=statement,
                source=source,
                code=tuple(REFERENCE.findall(code)),
                tests=tuple(REFERENCE.findall(held)),
                held=held,
            )


def facts(text: str) -> dict[str, str]:
    """Number → text of every fact in the sections that count."""
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        number, _, body = section.partition(".")
        if number in SECTIONS:
            found |= {f"{number}.{place:02d}": fact for place, fact in enumerate(statements(body), start=1)}
    return found


def statements(section: str) -> Iterator[str]:
    """The bullets, points, rows of tables and pieces of bold paragraphs of a section."""
    for block in blocks(section.splitlines()[1:]):
        if block[0].startswith("|"):
            yield from (row.strip("| ") for row in block[2:])  # without heading and rule
        elif ITEM.match(block[0]):
            yield " ".join(block)
        elif block[0].startswith("**"):
            yield from " ".join(block).split(" - ")[1:]


def blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Tables, items and paragraphs, each as its lines: an item goes on where a line is indented."""
    block: list[str] = []
    for line in lines:
        joins = block and line.strip() and (line[0].isspace() or block[0][0] == line[0] == "|")
        if joins:
            block.append(line.strip())
        else:
            if block:
                yield block
            block = [line.strip()] if line.strip() else []
    if block:
        yield block


def main(path: str) -> int:
    """Print the facts that no row of the page settles; 1 if there are any, but for those from memory."""
    known = facts(Path(path).read_text("utf-8"))
    page = list(rows(PAGE.read_text("utf-8")))
    named = {number for row in page for number in row.facts}
    open_rows = {number for row in page if not row.settled for number in row.facts}
    missing = {n: text for n, text in known.items() if n in open_rows or n not in named}
    for number, text in missing.items():
        print(number, text)
    for number in sorted(named - known.keys()):
        print(f"{number} is on the page and not in {path}")
    nothing = {number for row in page if row.nothing for number in row.facts}
    print(f"{len(known)} facts: {len(missing)} without a test; {len(nothing)} on rows where there is nothing to hold")
    return int(any(FROM_MEMORY not in text for text in missing.values()) or bool(named - known.keys()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} LIST.md")
    sys.exit(main(sys.argv[1]))
