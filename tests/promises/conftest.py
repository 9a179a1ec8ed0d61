"""What the tests of the promises share: a small data set, a laboratory, an undisturbed run, and a record of results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Ending, Lab
from PIL import Image

import alexnet
from alexnet.environment import environment

ROOT = Path(alexnet.__file__).parent


def program() -> str:
    """Digest of the program's source: results of one program add up, those of two do not."""
    files = sorted(ROOT.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[str, dict[str, int]], None]:
    """Adds counts to the file that `--record` names; does nothing without that option."""
    given = request.config.getoption("--record")

    def add(name: str, counts: dict[str, int]) -> None:
        if given is None:
            return
        path = Path(given)
        document = json.loads(path.read_text()) if path.exists() else {}
        if document.get("program") != program():
            document = {"program": program(), "counts": {}}
        document["environment"] = environment() | {"command": ["pytest", *request.config.invocation_params.args]}
        before = document["counts"].get(name, {})
        document["counts"][name] = before | {key: before.get(key, 0) + count for key, count in counts.items()}
        path.write_text(json.dumps(document, indent=1) + "\n")

    return add


@pytest.fixture(scope="session")
def small_photos(tmp_path_factory: pytest.TempPathFactory, easy_picture: Callable[[int, int], Image.Image]) -> Path:
    """As `photos`, for tests that leave it alone."""
    root = tmp_path_factory.mktemp("promises") / "photos"
    for part, count in (("train", 20), ("test", 6)):
        for kind, name in enumerate(("ash", "birch", "cedar")):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                easy_picture(kind, number + 100 * (part == "test")).save(root / part / name / f"{number:02d}.png")
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "cache"


@pytest.fixture
def lab(small_photos: Path, cache: Path) -> Iterator[Lab]:
    lab = Lab(small_photos, cache)
    yield lab
    lab.stop()


@pytest.fixture(scope="session")
def unbroken(small_photos: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Ending:
    """How a run ends that nothing disturbs, its last checkpoint included."""
    return Lab(small_photos, cache).to_the_last_file(tmp_path_factory.mktemp("unbroken") / "run")
