"""What the tests of training by several processes share: data, and groups that torchrun starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from groups import Torchrun
from PIL import Image


@pytest.fixture(scope="session")
def many_photos(tmp_path_factory: pytest.TempPathFactory, easy_picture: Callable[[int, int], Image.Image]) -> Path:
    """A folder with train and test parts of three easy classes: 40 + 50, so that a test part has three batches."""
    root = tmp_path_factory.mktemp("parallel") / "photos"
    for part, count in (("train", 40), ("test", 50)):
        for kind, name in enumerate(("ash", "birch", "cedar")):
            (root / part / name).mkdir(parents=True)
            for number in range(count - 10 * kind):
                easy_picture(kind, number + 100 * (part == "test")).save(root / part / name / f"{number:02d}.png")
    return root


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Torchrun]:
    starter = Torchrun(tmp_path_factory.getbasetemp() / "cache")
    yield starter
    starter.stop()
