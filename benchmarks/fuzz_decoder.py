"""Attacks the decoder with mutants of odd pictures: writes results/fuzz-decoder.json.

    python benchmarks/fuzz_decoder.py [--mutants N] [--first NUMBER]

Each batch is a process under a limit of memory; one that dies, hangs or says anything on its error stream is a finding.
A mutant is known by its number alone (`tests/pictures/mutants.py`), so that a finding can be looked at again.
Interrupted or terminated, it records what was done.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from record import record

MUTANTS = Path(__file__).parent.parent / "tests" / "pictures" / "mutants.py"
BATCH = 20_000
BATCH_SECONDS = 1800


def batch(first: int, count: int) -> dict[str, Any]:
    """What came out of some mutants; a process that dies is a finding with the number at which it did."""
    with tempfile.NamedTemporaryFile() as place:
        place.write(bytes(8))
        place.flush()
        command = [sys.executable, str(MUTANTS), str(first), str(count), place.name]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=BATCH_SECONDS, env=environment)
            died, said = done.returncode != 0, done.stderr
        except subprocess.TimeoutExpired:
            died, said = True, "hung"
        if not died:
            found: dict[str, Any] = json.loads(done.stdout)
            return found | {"findings": found["findings"] + ([f"{first}…: {said}"] if said else [])}
        (number,) = struct.unpack("<Q", Path(place.name).read_bytes())
    return {"counts": {}, "findings": [f"{number}: died: {said[-300:]}"], "longest_seconds": 0, "more_memory_kb": 0}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutants", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    counts, findings, longest, memory, started, done = Counter[str](), [], 0.0, 0, time.monotonic(), 0
    try:
        for first in range(asked.first, asked.first + asked.mutants, BATCH):
            size = min(BATCH, asked.first + asked.mutants - first)
            found = batch(first, size)
            counts.update(found["counts"])
            findings += found["findings"]
            longest, memory = max(longest, found["longest_seconds"]), max(memory, found["more_memory_kb"])
            done += size
            print(f"{done:,} mutants, {time.monotonic() - started:.0f} s, {len(findings)} findings", file=sys.stderr)
            for finding in found["findings"]:
                print(finding, file=sys.stderr)
    except KeyboardInterrupt:
        pass
    figures = {
        "first": asked.first,
        "mutants": done,
        "shown": sum(count for name, count in counts.items() if name.endswith("shown")),
        "counts": dict(sorted(counts.items())),
        "findings": findings,
        "longest_seconds": longest,
        "more_memory_mb": round(memory / 1024),
        "seconds": round(time.monotonic() - started),
    }
    record("fuzz-decoder", figures)


if __name__ == "__main__":
    main()
