"""What is there and may not be read or written: commands as another user, since to root nothing is forbidden."""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import Answer, run

import alexnet

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or os.geteuid() != 0, reason="becomes another user: needs root on Linux"
)
NOBODY = 65534

UNREADABLE = {  # the line; the code; what is named
    "pictures": ("check W/photos", 2, "photos"),
    "a table": ("check W/mine.csv", 2, "mine.csv"),
    "an archive": ("check W/cut.zip", 2, "cut.zip"),
    "a skip list": ("check W/photos --skip-list W/mine.txt", 2, "mine.txt"),
    "a picture": ("predict W/picture.png --model W/model.safetensors", 2, "model.safetensors"),
    "weights": ("weights convert W/model.safetensors --out new.safetensors", 2, "model.safetensors"),
    "a model to export": ("export W/model.safetensors --to safetensors --out new.safetensors", 2, "model.safetensors"),
    "a model to begin with": ("train W/photos --weights W/model.safetensors --out new", 2, "model.safetensors"),
    "a run": ("train --resume W/run", 2, "run"),
    "runs": ("compare W/run W/again", 2, "run"),
    "a variant": ("train W/photos --variant W/mine.json --out new", 2, "mine.json"),
    "an index": ("neighbours W/picture.png --index W/index", 2, "index"),
    "a store": ("prepare W/store --out new", 2, "store"),
    "a token": ("serve --model W/model.safetensors --token-file W/mine.txt", 2, "mine.txt"),
    "an experiment": ("experiment dropout --report --out W/run", 2, "experiment.json"),
}
UNWRITABLE = {
    "a store": "prepare W/photos --out W/shut/new",
    "findings": "check W/photos --out W/shut/new.json",
    "a run": "train W/photos --variant lenet-5 --out W/shut/new",
    "the run itself": "train --resume W/run",
    "an evaluation": "evaluate W/model.safetensors W/photos --out W/shut/new",
    "features": "features W/picture.png --model W/model.safetensors --out W/shut/new",
    "explanations": "explain W/picture.png --model W/model.safetensors --out W/shut/new",
    "answers": "predict W/picture.png --model W/model.safetensors --out W/shut/new.csv",
    "a model": "export W/model.safetensors --to safetensors --out W/shut/new.safetensors",
    "a smaller model": "compress W/model.safetensors --data W/photos --out W/shut/new.safetensors",
    "an experiment": "experiment dropout --quick --out W/shut/new",
    "a drawing": "summary lenet-5 --plot W/shut/new.svg",
}


@pytest.fixture(scope="module")
def shared(world: Path) -> Iterator[Path]:
    """W in a place that another user comes to, and a folder in which they may write. Everything is imported: the
    interpreter's own files may lie where they do not come to."""
    for module in pkgutil.walk_packages(alexnet.__path__, "alexnet."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    root = Path(tempfile.mkdtemp())
    shutil.copytree(world, root / "W", symlinks=True, ignore=shutil.ignore_patterns("pipe", "loop"))
    for folder, rights in ((root, 0o755), (root / "W", 0o755), (root / "desk", 0o777), (root / "W" / "shut", 0o555)):
        folder.mkdir(exist_ok=True)
        folder.chmod(rights)
    yield root
    shutil.rmtree(root)


def as_nobody(line: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """What a command says to somebody without rights."""
    words = line.replace("W/", f"{root}/W/").split()
    monkeypatch.chdir(root / "desk")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "desk" / "cache"))
    try:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        return run(*words)
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.parametrize("line, code, named", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_may_not_be_read(line: str, code: int, named: str, shared: Path, monkeypatch) -> None:
    closed = [place for place in (shared / "W").rglob("*") if place.stat().st_mode & 0o777]
    rights = {place: place.stat().st_mode for place in closed}
    for place in reversed(closed):
        place.chmod(0)
    try:
        answer = as_nobody(line, shared, monkeypatch)
    finally:
        for place, mode in rights.items():
            place.chmod(mode)
    assert answer.code == code and answer.out == "" and len(answer.err.splitlines()) == 1, answer.err
    assert named in answer.err and "ermission denied" in answer.err and "Errno" not in answer.err
    assert not (shared / "desk" / "new").exists()


@pytest.mark.parametrize("line", UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_may_not_be_written(line: str, shared: Path, monkeypatch) -> None:
    answer = as_nobody(line, shared, monkeypatch)
    assert answer.code == 7 and answer.out == "" and "ermission denied" in answer.err.splitlines()[-1], answer.err
    assert not list((shared / "W" / "shut").iterdir())
