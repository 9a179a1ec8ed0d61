"""Keep the raw result of a run: `python benchmarks/record.py RUN results/NAME.json`.

What stands behind a number in a document: machine, versions, command, date, configuration, every epoch, the scores.
Paths of this machine are shortened to their last part.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path


def main(run: Path, out: Path) -> None:
    """Write one JSON document about a finished run."""
    config = json.loads((run / "config.json").read_text())
    environment = json.loads((run / "environment.json").read_text())
    evaluation = json.loads((run / "evaluation.json").read_text())
    config["data"] = Path(config["data"]).name
    environment["command"] = [
        "alexnet",
        *(Path(a).name if a.startswith("/") else a for a in environment["command"][1:]),
    ]
    document = {
        "environment": environment,
        "config": config,
        "history": list(csv.DictReader((run / "history.csv").read_text().splitlines())),
        "evaluation": evaluation,
        "result": json.loads((run / "result.json").read_text()) | {"run": run.name},
        "best_sha256": hashlib.sha256((run / "best.safetensors").read_bytes()).hexdigest(),
    }
    out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
