"""Raw results, published with the repository: they say what was done, not where on somebody's disk."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet.environment import command

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "results").glob("*.json"))


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def places(document: Any) -> list[str]:
    """What names a place on a disk."""
    words = [word for text in texts(document) for word in text.replace("=", " ").split()]
    return [word for word in words if os.path.isabs(word)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_result_names_no_place(path: Path) -> None:
    document = json.loads(path.read_text("utf-8"))
    assert not places(document)
    assert {"torch", "numpy"} <= document["environment"]["packages"].keys() and document["environment"]["started"]


def test_a_command_as_typed() -> None:
    there = os.path.abspath(os.path.join("somewhere", "photos"))
    program = os.path.join(os.path.dirname(there), "__main__.py")
    assert command([program, "train", there, f"--out={there}", "--set", "size=127", "runs/a", "-"]) == [
        *("alexnet", "train", "photos", "--out=photos", "--set", "size=127", "runs/a", "-")
    ]


@given(st.lists(st.text(alphabet="ab/=.-", max_size=12), min_size=1))
def test_a_command_names_no_place(arguments: list[str]) -> None:
    shortened = command(arguments)
    assert len(shortened) == len(arguments) and not places(shortened)
    assert all(a == b for a, b in zip(arguments, shortened, strict=True) if "/" not in a)


def test_a_run_as_it_is_kept(tmp_path: Path) -> None:
    specification = importlib.util.spec_from_file_location("record", ROOT / "benchmarks" / "record.py")
    assert specification and specification.loader
    record = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(record)
    run = tmp_path / "runs" / "photos"
    run.mkdir(parents=True)
    data, out = str(tmp_path / "photos.tar"), str(run)
    documents = {
        "config": {"data": data, "valid": None, "seed": 3, "weights": {"model": out, "sha256": "ab"}},
        "environment": {"command": ["alexnet", "train", data, "--out", out], "started": "2026-11-21"},
        "evaluation": {"top1": 0.5},
        "result": {"run": out, "seconds": 1.5},
    }
    for name, document in documents.items():
        (run / f"{name}.json").write_text(json.dumps(document))
    (run / "history.csv").write_text("epoch,train_loss\n1,0.7\n")
    (run / "best.safetensors").write_bytes(b"")
    kept = record.of_run(run)
    assert not places(kept)
    assert kept["environment"]["command"] == ["alexnet", "train", "photos.tar", "--out", "photos"]
    weights = {"model": "photos", "sha256": "ab"}
    assert kept["config"] == {"data": "photos.tar", "valid": None, "seed": 3, "weights": weights}
    assert kept["history"] == [{"epoch": "1", "train_loss": "0.7"}] and kept["result"]["run"] == "photos"
