"""Every heavy command in every surrounding, each a real process: done whole, or refused in a line.

What may come of it is the table's, and the exit codes' as the documents have them; no file of a command is asked.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from in_process import Answer
from PIL import Image
from processes import ALEXNET, COLOURS, MAY_MOUNT, on_a_terminal, shell
from safetensors.numpy import load_file
from test_surroundings import PLACES

pytestmark = pytest.mark.slow

COMMANDS = (  # everything that takes data, a model or runs; `new` is what each writes
    "check W/photos --out new.json",
    "datasets show W/photos --out new.png",
    "train W/photos --variant lenet-5 --epochs 1 --set batch_size=4 --out new",
    "evaluate W/run W/photos --out new",
    "predict W/picture.png W/photos --model W/model.safetensors --sheet new.png --out new.csv",
    "explain W/picture.png --model W/model.safetensors --out new",
    "features W/photos --model W/model.safetensors --out new",
    "neighbours W/picture.png --index W/index --out new.png",
    "compare W/run W/again --out new.html",
    "export W/model.safetensors --to onnx --out new.onnx",
    "compress W/run --data W/photos --epochs 1 --ratio 4 --out new.safetensors",
    "bench serve --model W/model.safetensors --turns 1 --seconds 1 --out new.json",
    "experiment cifar-11pct --quick --data W/tens --out new",
    "serve --model W/model.safetensors --port 0",
)
# A server ends when it is told to, by then long ready.
SERVED = f"""{ALEXNET}served() {{
    {shlex.quote(sys.executable)} -m alexnet "$@" & local server=$!
    timeout 20 tail --pid=$server -f /dev/null < /dev/null &> /dev/null
    kill $server 2> /dev/null; wait $server
}}
"""
NO_CACHE = "XDG_CACHE_HOME"  # the variable to set, which the refusal names


@dataclass(frozen=True)
class Surrounding:
    """What is around a command, and what must come of it."""

    before: str = ""  # in the shell, before the command
    behind: str = ""  # after it, on its line
    environment: dict[str, str | None] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)  # of commands that write a file
    reading: tuple[int, ...] = (0,)  # of those that do not
    says: str = ""  # where the code is not 0: a pattern
    mounts: bool = False


HERE = "mkdir disk && mount -t tmpfs -o size=64k none disk && cd disk && "
SURROUNDINGS = {
    "a reader that has gone": Surrounding(behind="| true; exit ${PIPESTATUS[0]}"),
    "a full disk behind the answer": Surrounding(
        behind="> /dev/full", codes=(7,), reading=(7,), says="No space left on device"
    ),
    "no streams": Surrounding(behind="<&- >&- 2>&-"),
    "a full disk for what is said": Surrounding(behind="2> /dev/full"),
    "nobody to say it to": Surrounding(behind="2> >(exec true)"),
    **{name: Surrounding(environment=environment, codes=(0, 7), says=NO_CACHE) for name, environment in PLACES.items()},
    "HOME that is not there": Surrounding(
        environment={"HOME": "/proc/nowhere", "XDG_CACHE_HOME": None}, codes=(0, 7), says=NO_CACHE
    ),
    "a cache that nobody can write": Surrounding(environment={"XDG_CACHE_HOME": "/proc"}, codes=(0, 7), says=NO_CACHE),
    "a cache that is a file": Surrounding(environment={"XDG_CACHE_HOME": "W/mine.txt"}, codes=(0, 7), says=NO_CACHE),
    "a cache of a relative path": Surrounding(
        "mkdir newcomer; export HOME=$PWD/newcomer; ", environment={"XDG_CACHE_HOME": "here"}
    ),
    "a temporary folder that is a file": Surrounding(environment={"TMPDIR": "W/mine.txt"}),
    "no locale": Surrounding(environment={"LANG": None, "LC_ALL": None, "LC_CTYPE": None}),
    "few files open": Surrounding("ulimit -n 24; ", codes=(0, 7), reading=(0, 7), says="Too many open files"),
    "no file may be written": Surrounding(
        "ulimit -f 0; ", codes=(7,), reading=(0, 7), says="File too large|No usable temporary directory"
    ),
    "a folder that is gone": Surrounding(
        "mkdir gone; cd gone; rmdir ../gone; ", codes=(2,), reading=(2,), says="current folder is not there"
    ),
    "odd names": Surrounding(
        "mkdir -- ODD; cd -- ODD; ln -s W DATA; ", codes=(0, 2), reading=(2,), says="must be UTF-8"
    ),
    "a read-only disk": Surrounding(
        f"{HERE} mount -o remount,ro none . && ", codes=(7,), says="Read-only file system", mounts=True
    ),
    "a full disk": Surrounding(
        f"{HERE} head -c 64k /dev/zero > filler; ", codes=(7,), says="No space left on device|make room", mounts=True
    ),
    "no room for temporary files": Surrounding(
        f"( {HERE} true ) && head -c 64k /dev/zero > disk/filler; export TMPDIR=$PWD/disk; ", mounts=True
    ),
}
ODD = "$'-d\\xe9\\n\\x1b[31m'"  # no UTF-8, a dash, a line break, an escape


def script(line: str, surrounding: Surrounding, world: Path) -> str:
    """The command in its surrounding, for bash."""
    folder = f"./{ODD}/" if "DATA" in surrounding.before else f"{world}/"
    verb = "served" if line.startswith("serve ") else "alexnet"
    before = surrounding.before.replace("ODD", ODD).replace("ln -s W", f"ln -s {world}").replace("DATA", f"./{ODD}")
    told = f"{before}{verb} {line.replace('W/', folder)} --json {surrounding.behind}"
    return f"unshare -m bash -c {shlex.quote(SERVED + told)}" if surrounding.mounts else SERVED + told


@pytest.mark.parametrize("line", COMMANDS, ids=[line.split()[0] for line in COMMANDS])
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_every_command_in_every_surrounding(name: str, line: str, world: Path, desk: Path) -> None:
    surrounding = SURROUNDINGS[name]
    if surrounding.mounts and not MAY_MOUNT:
        pytest.skip("mounts: needs root on Linux, and the right to")
    environment = {key: value and value.replace("W/", f"{world}/") for key, value in surrounding.environment.items()}
    answer = shell(script(line, surrounding, world), desk, OMP_NUM_THREADS="1", **environment)
    assert answer.code in (surrounding.codes if " new" in line else surrounding.reading), answer
    said(answer, surrounding)
    left(desk, whole=answer.code == 0 and " new" in line and not surrounding.mounts)


def said(answer: Answer, surrounding: Surrounding) -> None:
    """One JSON document or nothing; a refusal is one line, the last, with its reason. ONNX Runtime says by itself where
    it can keep nothing in HOME."""
    heard = [line for line in answer.err.splitlines() if "onnxruntime:Default, telemetry" not in line]
    assert "Traceback" not in answer.err + answer.out and "".join(heard).isprintable(), answer.err
    assert not answer.out or json.loads(answer.out) is not None  # predict answers while it works
    if answer.code:
        lines = [line for line in answer.err.splitlines() if line.startswith("alexnet")]
        assert lines == heard[-1:] and re.search(surrounding.says, lines[0]), answer.err


def left(desk: Path, whole: bool) -> None:
    """Nothing but what was asked for: all of it, or none; each file whole."""
    files = [Path(folder, name) for folder, _, names in os.walk(desk) for name in names]
    mine = [file for file in files if "filler" not in file.name and not file.is_symlink()]
    assert not [file for file in mine if "partial" in file.name or not file.relative_to(desk).parts[0]], mine
    assert all("new" in str(file.relative_to(desk)) for file in mine) and bool(mine) >= whole, mine
    for file in mine:
        readable(file)


def readable(file: Path) -> None:
    """Raises where a file is not whole."""
    assert file.stat().st_size > 0 or file.name in (".lock", "log.txt"), file
    match file.suffix:
        case ".json":
            json.loads(file.read_text("utf-8", "surrogateescape"))
        case ".png":
            with Image.open(file) as picture:
                picture.load()
        case ".safetensors":
            assert load_file(file)
        case ".html":
            assert file.read_text("utf-8").rstrip().endswith("</html>")


@pytest.mark.parametrize("line", COMMANDS[:-1], ids=[line.split()[0] for line in COMMANDS[:-1]])
def test_every_command_on_a_narrow_terminal_without_colours(line: str, world: Path, desk: Path) -> None:
    code, told = on_a_terminal(line.replace("W/", f"{world}/").split(), desk, 40, NO_COLOR="1", OMP_NUM_THREADS="1")
    assert code == 0 and "Traceback" not in told
    assert not COLOURS.findall(told)
    left(desk, whole=True)
