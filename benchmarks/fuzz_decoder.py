"""Attacks the decoder with mutants of odd pictures: writes results/fuzz-decoder.json.

    python benchmarks/fuzz_decoder.py [--mutants N] [--first NUMBER | --continue]

Each batch is a process under a limit of memory; one that dies, hangs or says anything on its error stream is a finding.
A mutant is known by its number alone (`tests/pictures/mutants.py`), so that a finding can be looked at again.
Interrupted or terminated, it records what was done; `--continue` goes on where the record ends, and records the sum.
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

from record import RESULTS, record

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
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--first", type=int, default=0)
    begin.add_argument("--continue", action="store_true", dest="go_on")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = json.loads((RESULTS / "fuzz-decoder.json").read_text("utf-8")) if asked.go_on else {}
    counts, findings = Counter[str](before.get("counts", {})), list(before.get("findings", []))
    longest, memory = before.get("longest_seconds", 0.0), before.get("more_memory_mb", 0) * 1024
    start, done, started = before.get("first", asked.first), before.get("mutants", 0), time.monotonic()
    end = start + done + asked.mutants
    try:
        for first in range(start + done, end, BATCH):
            size = min(BATCH, end - first)
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
        "first": start,
        "mutants": done,
        "shown": sum(count for name, count in counts.items() if name.endswith("shown")),
        "counts": dict(sorted(counts.items())),
        "findings": findings,
        "longest_seconds": longest,
        "more_memory_mb": round(memory / 1024),
        "seconds": before.get("seconds", 0) + round(time.monotonic() - started),
    }
    record("fuzz-decoder", figures)


if __name__ == "__main__":
    main()
