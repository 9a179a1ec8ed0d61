"""What every test shares: a cache of its own, small pictures, and the program run as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from preloaded import Preloaded, started_alike

# Threads of torch that wait for each other sleep meanwhile, here and in every process that a test starts: else they
# turn in circles on a processor that another test or process needs. Read as torch is imported; it changes no result.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=100, help="how often the slow crash test kills a run")
    parser.addoption("--mutants", type=int, default=200_000, help="how many pictures the slow decoder test harms")
    parser.addoption("--record", help="file to which the crash tests add their counts: results/crash.json")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def picture(kind: int, number: int, side: int = 40) -> Image.Image:
    """A picture of one of a few easy kinds: stripes that run another way for each kind, in a random colour."""
    rng = np.random.default_rng([kind, number])
    y, x = np.mgrid[:side, :side]
    wave = np.sin((x * np.cos(kind * 0.7) + y * np.sin(kind * 0.7)) * 0.8 + rng.uniform(0, 6))
    colour = rng.uniform(60, 195, 3)
    noise = rng.normal(0, 12, (side, side, 3))
    return Image.fromarray(np.clip(colour + 60 * wave[..., None] + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def easy_picture() -> Callable[[int, int], Image.Image]:
    """Draws a picture of a kind, by number."""
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with train and test parts of three easy classes, 20 + 6 pictures each."""
    root = tmp_path / "photos"
    for part, count in (("train", 20), ("test", 6)):
        for kind, name in enumerate(("ash", "birch", "cedar")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture(kind, number + 100 * (part == "test")).save(folder / f"{number:02d}.png")
    return root


@pytest.fixture(scope="session")
def model_and_pictures() -> Callable[[Path, int], Path]:
    """Writes `m.safetensors`, a small model, and `photos/`, so many pictures of which one is broken, to a folder."""

    def make(root: Path, count: int) -> Path:
        from networks import described, saved, stirred

        from alexnet.network.variants import variant

        description = described(variant("lenet-5", 3), 32)
        saved(root / "m.safetensors", description, stirred(description))
        (root / "photos").mkdir()
        names = [root / "photos" / f"{number:0{len(str(count))}d}.png" for number in range(count)]
        for number, name in enumerate(names):
            picture(number % 3, number).save(name)
        names[40].write_bytes(b"no picture")
        return root

    return make


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave their pictures empty, which draws them in no time: most of a small run is drawing."""
    from alexnet.insight.reports import plots

    monkeypatch.setattr(plots, "write", lambda figure, path: path.touch())


class Outcome:
    """What a process said and how it ended."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """The process from which `alexnet` forks."""
    process = Preloaded()
    yield process
    process.stop()


@pytest.fixture
def alexnet(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Callable[..., Outcome]:
    """Runs `alexnet …` as a process in an empty folder."""

    def run(*arguments: str | Path, timeout: float = 300, **environment: str) -> Outcome:
        given, whole = [*map(str, arguments)], {**os.environ, **environment}
        if started_alike(whole):
            scratch = tmp_path_factory.getbasetemp()
            return Outcome(preloaded.run(given, tmp_path, whole, timeout, scratch))
        command = [sys.executable, "-m", "alexnet", *given]
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": timeout, "cwd": tmp_path}
        return Outcome(subprocess.run(command, env=whole, check=False, **options))

    return run
