"""Odd pictures with faults by chance: pixels or our error, the same twice, within memory and time, in silence.

The full form: `pytest -m slow tests/pictures/test_mutants.py --mutants 1000000`; `benchmarks/fuzz_decoder.py` records.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = 3_000
BATCH = 20_000


def attack(first: int, count: int, tmp_path: Path) -> None:
    place = tmp_path / "number"
    place.write_bytes(bytes(8))
    program = Path(__file__).with_name("mutants.py")
    command = [sys.executable, str(program), str(first), str(count), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    number = int.from_bytes(place.read_bytes(), "little")
    assert done.returncode == 0, f"died at mutant {number}: {done.stderr[-500:]}"
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["findings"] == []
    assert sum(found["counts"].values()) == count
    assert any(name.endswith("shown") for name in found["counts"]), "else nothing is attacked behind the headings"
    assert found["more_memory_kb"] < 400_000


def test_a_few_mutants(tmp_path: Path) -> None:
    attack(0, QUICK, tmp_path)


@pytest.mark.slow
def test_many_mutants(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--mutants")
    for first in range(QUICK, QUICK + count, BATCH):
        attack(first, min(BATCH, QUICK + count - first), tmp_path)
