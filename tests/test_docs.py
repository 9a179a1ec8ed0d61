"""The documents against the house: links that lead somewhere, commands that exist, numbers that were measured."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from alexnet.cli.main import cli
from alexnet.experiments.known import EXPERIMENTS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RERUN = [ROOT / "docs/paper.md", ROOT / "docs/articles.md"]
RAW = re.compile(r"\((\.\./results/experiment-[\w-]+\.json)\)")


def anchors(page: Path) -> set[str]:
    """Of its headings, as Markdown makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))):
        if "://" in target or target.startswith("mailto:"):
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("page", RERUN, ids=lambda page: page.name)
def test_commands_are_taken(page: Path) -> None:
    """As far as they can be without being carried out: names and options."""
    commands = [shlex.split(text)[1:] for text in re.findall(r"`(alexnet [^`]+)`", page.read_text("utf-8"))]
    assert len(commands) > 10
    for name, *arguments in commands:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        command.make_context(name, arguments)


def test_every_experiment_is_told_of_with_its_result() -> None:
    text = "\n".join(page.read_text("utf-8") for page in RERUN)
    assert set(re.findall(r"`alexnet experiment ([\w-]+)`", text)) == set(EXPERIMENTS)
    kept = {f"../results/{path.name}" for path in (ROOT / "results").glob("experiment-*.json")}
    assert set(RAW.findall(text)) == kept


def test_means_and_deviations_are_those_of_the_raw_results() -> None:
    found = 0
    for line in (line for page in RERUN for line in page.read_text("utf-8").splitlines()):
        for file in RAW.findall(line)[:1]:
            rows = json.loads((ROOT / "docs" / file).read_text("utf-8"))["rows"]
            measured = {(round(row["mean"], 2), round(row["deviation"], 2)) for row in rows if row["deviation"]}
            for mean, deviation in re.findall(r"(−?[\d.]+) ± ([\d.]+)", line):
                assert (float(mean.replace("−", "-")), float(deviation)) in measured, line
                found += 1
    assert found >= 10
