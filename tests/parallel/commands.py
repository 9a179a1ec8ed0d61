"""Commands of `alexnet`, one after the other, in each process of one start by torchrun: `commands.py OUT COMMANDS`.

COMMANDS is a JSON list of lists of arguments. How each ended in each process, and what it said there, goes to
OUT/<command>-<rank>.json.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from alexnet.cli.main import main
from alexnet.insight.reports import plots


def outcome(arguments: list[str]) -> dict[str, object]:
    """Exit code and both streams of one command."""
    out, said = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as end:
            return {"code": end.code, "out": out.getvalue(), "said": said.getvalue().splitlines()}


if __name__ == "__main__":
    plots.write = lambda figure, path: path.touch()
    sys.argv[0] = "alexnet"
    for number, arguments in enumerate(json.loads(sys.argv[2])):
        found = outcome(arguments)
        (Path(sys.argv[1]) / f"{number}-{os.environ['RANK']}.json").write_text(json.dumps(found))
