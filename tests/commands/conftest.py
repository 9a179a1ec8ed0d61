"""A folder of tiny files to aim commands at, whole and damaged ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import faults
import networks
import numpy as np
import pytest
from in_process import run
from PIL import Image

from alexnet.insight.reports import plots
from alexnet.network.variants import variant


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """W of `faults`: nothing in it may change."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)

    def draw(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)

    for name in ("ash", "birch"):
        for number in range(4):
            draw(root / "photos" / name / f"{number}.png")
            draw(root / "bad" / name / f"{number}.png")
    draw(root / "picture.png")
    for part, name, number in product(("train", "test"), range(10), range(2)):
        draw(root / "tens" / part / str(name) / f"{number}.png")
    (root / "bad" / "ash" / "cut.png").write_bytes((root / "picture.png").read_bytes()[:200])
    description = networks.described(variant("lenet-5", 2), 32)
    model = networks.saved(root / "model.safetensors", description, networks.stirred(description))
    _damaged(root / "damaged", model.read_bytes())
    for ending in ("", ".txt", ".csv", ".json", ".png", ".svg", ".html", ".safetensors"):
        (root / f"mine{ending}").write_text("{}")
        (root / f"folder{ending}").mkdir()
    (root / "no.tar.gz").write_bytes(b"none")
    shutil.make_archive(str(root / "cut"), "zip", root / "photos")
    (root / "cut.zip").write_bytes((root / "cut.zip").read_bytes()[:-300])
    _made_by_commands(root)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    return root


def _made_by_commands(root: Path) -> None:
    """A run twice, a store and features; and the same, broken."""
    photos = ("--variant", "lenet-5", "--epochs", 1, "--set", "batch_size=4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "write", lambda figure, path: path.touch())
        assert run("train", root / "photos", *photos, "--out", root / "run").code == 0
    for line in (
        ("prepare", root / "photos", "--out", root / "store", "--size", 32),
        ("features", root / "photos", "--model", root / "model.safetensors", "--out", root / "index"),
    ):
        assert run(*line).code == 0, line
    shutil.copytree(root / "run", root / "again")
    for name, file in (("run", "config.json"), ("store", "store.json"), ("index", "features.json")):
        shutil.copytree(root / name, root / f"broken-{name}")
        (root / f"broken-{name}" / file).write_text('{"format": 1,')


def _damaged(folder: Path, model: bytes) -> None:
    folder.mkdir()
    for name, damage in faults.DAMAGED.items():
        (folder / name).write_bytes(damage(model))


@pytest.fixture
def desk(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in; W stays as it is."""
    before = state(world)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert state(world) == before


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """What is in a folder: kinds, sizes, times, identities."""
    found = {}
    for place in folder.rglob("*"):
        status = place.lstat()
        found[str(place)] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)
    return found
