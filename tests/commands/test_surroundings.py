"""What a command finds around it: streams that are closed or full, odd names, narrow terminals, no home, no room.

Run as processes; most need no torch, which takes ten times as long to come as they do to answer.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from in_process import run
from processes import ALEXNET, COLOURS, MAY_MOUNT, on_a_terminal, shell

# ----------------------------------------------------------------------------------------------------------- streams


QUICK = ("variants", "--help", "check W/photos")


@pytest.mark.parametrize("line", QUICK)
def test_who_does_not_read_to_the_end_is_not_told(line: str, world: Path, tmp_path: Path) -> None:
    words = line.replace("W/", f"{world}/")
    answer = shell(f"alexnet {words} | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("line", ("variants --json", "check W/photos"))
def test_a_full_disk_behind_the_answer(line: str, world: Path, tmp_path: Path) -> None:
    answer = shell(f"alexnet {line.replace('W/', f'{world}/')} > /dev/full", tmp_path)
    assert answer.code == 7 and answer.err == "alexnet: input/output: No space left on device\n"


CLOSED = {
    "no input": ("alexnet check W/photos --json <&-", 0),
    "no output": ("alexnet prepare W/photos --size 8 --out new >&-", 0),
    "no errors": ("alexnet prepare W/photos --size 8 --out new --json 2>&-", 0),
    "nothing at all": ("alexnet prepare W/photos --size 8 --out new <&- >&- 2>&-", 0),
    "nowhere to complain": ("alexnet trian 2>&-", 2),
    "a full disk for complaints": ("alexnet trian 2>/dev/full", 2),
    "a full disk for progress": ("alexnet prepare W/photos --size 8 --out new --json 2>/dev/full", 0),
    "a closed pipe for progress": ("alexnet prepare W/photos --size 8 --out new --json 2> >(exec true)", 0),
}


@pytest.mark.parametrize("script, code", CLOSED.values(), ids=CLOSED.keys())
def test_streams_that_are_not_there(script: str, code: int, world: Path, tmp_path: Path) -> None:
    """The work is done all the same; nothing meant for a person gets into the answer or into a file."""
    answer = shell(script.replace("W/", f"{world}/"), tmp_path)
    assert answer.code == code and "Traceback" not in answer.err
    if "--json" in script:
        assert answer.json["pictures"] == 8
    else:
        assert answer.out == ""
    if "new" in script:
        store = tmp_path / "new"
        assert json.loads((store / "store.json").read_text()) and b"preparing" not in b"".join(
            file.read_bytes() for file in store.iterdir()
        )


# ------------------------------------------------------------------------------------------------------------- names


NAMES = {
    "no UTF-8": b"caf\xe9\xff.png",
    "line breaks": b"two\nlines\r\n.png",
    "control signs": b"\x1b[31mred\x1b[0m\x07\t.png",
    "from right to left": "\u202egnp.exe.png".encode(),
    "a dash": b"--model=x.png",
    "an option": b"-h",
    "255 bytes": b"x" * 251 + b".png",
    "a pattern": b"[ab]*?.png",
    "blanks": b"  two  blanks .png",
    "quotation marks": b"\"'`$(true).png",
    "an address": b"http:",
}


@pytest.fixture(scope="module")
def odd(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, whole and damaged, with odd names."""
    folder = tmp_path_factory.mktemp("odd")
    for part, content in (("whole", (world / "picture.png").read_bytes()), ("damaged", b"none")):
        for name in NAMES.values():
            place = folder / part / "class" / os.fsdecode(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    return folder


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_pictures_with_odd_names(name: bytes, odd: Path, world: Path, tmp_path: Path, monkeypatch) -> None:
    """Shown on one line without control signs; given back to the byte in JSON."""
    monkeypatch.chdir(odd / "whole" / "class")
    text, model = os.fsdecode(name), ("--model", world / "model.safetensors")
    told = run("predict", *model, "--json", "--", text)
    assert told.code == 0 and [os.fsencode(entry["path"]) for entry in told.json] == [name]
    shown = run("predict", *model, "--", text)
    assert shown.code == 0 and len(shown.out.splitlines()) == 1 and shown.out[:-1].isprintable()
    monkeypatch.chdir(odd / "damaged" / "class")
    refused = run("predict", *model, "--", text)
    assert refused.code == 3 and refused.out[:-1].isprintable() and "refused: " in refused.out
    drawn = run("explain", *model, "--method", "saliency", "--out", tmp_path / "out", "--json", "--", text)
    assert drawn.code == 3 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_outputs_and_models_with_odd_names(name: bytes, world: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = os.fsdecode(name)
    made = run("prepare", world / "photos", "--size", 8, f"--out={text}")
    assert made.code == 0 and made.err.replace("\n", "").isprintable(), made.err
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    again = run("prepare", world / "photos", "--size", 8, f"--out={text}")
    assert again.code == 2 and len(again.err.splitlines()) == 1 and again.err[:-1].isprintable()
    assert run("check", "--json", "--", text).json["pictures"] == 8
    for line in (("predict", world / "picture.png", f"--model={text}"), ("compare", "--", text, text)):
        answer = run(*line)
        assert answer.code == 2 and len(answer.err.splitlines()) == 1 and answer.err[:-1].isprintable()


@pytest.mark.parametrize("name", ("x" * 250 + ".json", "é" * 125 + ".json", "a b.json", "\x1b[31m\n.json"))
def test_files_with_odd_names_are_written_whole(name: str, world: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("check", world / "photos", "--out", name).code == 0
    assert os.listdir() == [name] and json.loads(Path(name).read_text())["pictures"] == 8
    again = run("check", world / "photos", "--out", name)
    assert again.code == 2 and again.err[:-1].isprintable()


def test_lists_of_odd_names_can_be_read(odd: Path, monkeypatch) -> None:
    monkeypatch.chdir(odd)
    found = run("check", ".")
    assert found.code == 3 and found.out.replace("\n", "").isprintable() and "Unreadable (9)" in found.out
    assert len(run("check", ".", "--json").json["unreadable"]) == 9  # a dash or two do not make a picture of -h
    drawn = run("datasets", "show", "damaged", "--out", "new.png")
    assert drawn.code == 2 and drawn.err.replace("\n", "").isprintable()


# --------------------------------------------------------------------------------------------------------- terminals


@pytest.mark.parametrize("columns", (20, 40, 300))
def test_terminals_narrow_and_wide(columns: int, world: Path, tmp_path: Path) -> None:
    """Help and reports keep within a terminal of 40 columns; in 20 there is no room for the help."""
    for line in (["--help"], ["serve", "--help"], ["check", "photos"]):
        code, said = on_a_terminal(line, world, columns)
        lines = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]|\r(?=\n)", "", said).replace("\r", "\n").splitlines()
        assert code == 0 and "Traceback" not in said
        assert max(map(len, lines)) <= (columns if "check" in line else min(110, max(columns, 40)))


@pytest.mark.parametrize("environment", ({"NO_COLOR": "1"}, {"TERM": "dumb"}), ids=("NO_COLOR", "dumb"))
def test_terminals_without_colours(environment: dict[str, str], world: Path, tmp_path: Path) -> None:
    """The progress bar of preparing has none then, and a dumb terminal gets nothing that it cannot show."""
    code, said = on_a_terminal(["prepare", str(world / "photos"), "--out", "new"], tmp_path, 80, **environment)
    assert code == 0 and "8 pictures" in said
    assert not COLOURS.findall(said)
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in said


# ------------------------------------------------------------------------------------------------------ environments


PLACES = {
    "HOME that nobody can write": {"HOME": "/proc", "XDG_CACHE_HOME": None},
    "no temporary folder": {"TMPDIR": "/nonexistent"},
    "ASCII alone": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
}


@pytest.mark.parametrize("environment", PLACES.values(), ids=PLACES.keys())
def test_strange_environments(environment: dict[str, str | None], world: Path, tmp_path: Path) -> None:
    """What needs no cache and no temporary files is not troubled by either."""
    answer = shell(f"alexnet prepare {world}/photos --size 8 --out $'caf\\xe9'", tmp_path, **environment)
    assert answer.code == 0 and len(answer.err.splitlines()) == 1, answer.err
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9"]


def test_a_cache_that_cannot_be_written(world: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for cache in ("/proc", world / "mine.txt", world / "loop"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        answer = run("datasets", "show", world / "photos", "--out", "new.png")
        assert answer.code == 7 and "XDG_CACHE_HOME" in answer.err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


LIMITS = {
    "few files open": ("ulimit -n 16", 0, ""),
    "no file may be written": ("ulimit -f 0", 7, "File too large"),
    "the folder is gone": ("mkdir gone; cd gone; rmdir ../gone", 2, "the current folder is not there any more"),
}


@pytest.mark.parametrize("before, code, says", LIMITS.values(), ids=LIMITS.keys())
def test_processes_that_may_do_little(before: str, code: int, says: str, world: Path, tmp_path: Path) -> None:
    answer = shell(f"{before}; alexnet prepare {world}/photos --size 8 --out new", tmp_path)
    assert answer.code == code and says in answer.err and "Traceback" not in answer.err
    assert [place.name for place in tmp_path.iterdir()] == (["new"] if code == 0 else [])


@pytest.mark.skipif(not MAY_MOUNT, reason="mounts: needs root on Linux, and the right to")
@pytest.mark.parametrize("how, says", {"ro": "Read-only file system", "size=8k": "No space left"}.items())
def test_a_disk_that_takes_nothing(how: str, says: str, world: Path, tmp_path: Path) -> None:
    """Read-only or full; both before and after the work the old file stays."""
    (tmp_path / "disk").mkdir()
    script = f"""mount -t tmpfs -o size=8k none disk && (head -c 8k /dev/zero > disk/filler; rm -f disk/none)
        echo mine > disk/old.json 2>/dev/null; mount -o remount,{how} disk
        for line in "check {world}/photos --out disk/new.json" "prepare {world}/photos --size 8 --out disk/new"; do
            alexnet $line; echo "code $?"; done; ls -A disk"""
    answer = shell(f"unshare -m bash -c {shlex.quote(ALEXNET + script)}", tmp_path)
    assert answer.out.count("code 7") == 2 and says in answer.err and "Traceback" not in answer.err
