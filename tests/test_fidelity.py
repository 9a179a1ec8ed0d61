"""The fidelity page: everything it names exists, and the audit that reads it counts right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from fidelity import PAGE, Row, facts, main, rows

import alexnet
from alexnet.network.variants import VARIANTS
from alexnet.training.recipes import RECIPES

ROOT, PACKAGE = PAGE.parents[1], Path(alexnet.__file__).parent
ROWS = list(rows(PAGE.read_text("utf-8")))

LIST = """# Facts
Words before the first section.

## 1. First
| layer | size |
|---|---|
| conv1 | 11 |
| conv2 | 5 |
- A bullet
  that goes on. - Not another.
1. A point [mem]

Words - with a dash.
## 4. Not counted
- A bullet.
## 6. Last
**article 0** - One. - Two,
  still two.
**article 1** - Three.
"""


def ids(row: Row) -> str:
    return "-".join(row.facts)


# ------------------------------------------------------------------------------------------------------------ the page


def defined(file: Path) -> set[str]:
    """Names of the functions, classes and values at the top of a module."""
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_everything_a_row_names_exists(row: Row) -> None:
    assert row.facts and row.statement and row.source
    assert row.settled
    assert row.code or not row.tests, "held, but nowhere"
    for root, references in ((PACKAGE, row.code), (ROOT, row.tests)):
        for file, name in references:
            assert name in defined(root / file), f"{file}::{name}"
    assert all(file.startswith("tests/") and name.startswith("test_") for file, name in row.tests)


def test_nothing_in_the_last_two_columns_is_passed_by() -> None:
    """A slip in a path or name would otherwise leave the checks above with less to look at."""
    cells = [line.split(" | ")[3:] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    found = sum(len(row.code) + len(row.tests) for row in ROWS)
    assert sum(cell.count("::") for line in cells for cell in line) == found > 300


def test_every_published_network_and_recipe_has_a_row() -> None:
    named = {name for row in ROWS for _, name in row.code}
    networks, recipes = set(VARIANTS) - {"batch-norm"}, set(RECIPES) - {"fast", "large-batch"}
    assert {name.replace("-", "_") for name in networks} <= named
    assert {name.replace("-", "_").upper() for name in recipes} <= named


def test_the_page_is_in_the_documentation() -> None:
    assert '"fidelity.md"' in (ROOT / "zensical.toml").read_text("utf-8")


# ----------------------------------------------------------------------------------------------------------- the audit


def test_facts_of_a_list() -> None:
    assert facts(LIST) == {
        "1.01": "conv1 | 11",
        "1.02": "conv2 | 5",
        "1.03": "- A bullet that goes on. - Not another.",
        "1.04": "1. A point [mem]",
        "6.01": "One.",
        "6.02": "Two, still two.",
        "6.03": "Three.",
    }


def row(numbers: str, held: str) -> str:
    return f"| {numbers} | said | there | `a/b.py::c` | {held} |\n"


HELD = row("1.01 1.02 1.03 6.01 6.02", "`tests/test_a.py::test_b`")


@pytest.mark.parametrize(
    ("page", "missing", "code"),
    [
        (HELD + row("6.03", "nothing to hold: a remark"), ["1.04"], 0),  # from memory
        (HELD + row("6.03", "`tests/test_a.py::test_c`") + row("1.04", ""), ["1.04"], 0),
        (HELD, ["1.04", "6.03"], 1),
        (HELD + row("6.03", "some day"), ["1.04", "6.03"], 1),
        (HELD + row("6.03", "`tests/test_a.py::test_c`") + row("6.01", ""), ["1.04", "6.01"], 1),  # a part is not held
        (HELD + row("6.03 6.04", "nothing to hold: a remark"), ["1.04", "6.04"], 1),  # no such fact
    ],
)
def test_what_no_test_holds_is_listed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    page: str,
    missing: list[str],
    code: int,
) -> None:
    (tmp_path / "list.md").write_text(LIST)
    (tmp_path / "page.md").write_text(
        "| no. | statement | source | our code | held by |\n|---|---|---|---|---|\n" + page
    )
    monkeypatch.setattr("fidelity.PAGE", tmp_path / "page.md")
    assert main(str(tmp_path / "list.md")) == code
    *listed, total = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == missing
    assert total.startswith("7 facts")
