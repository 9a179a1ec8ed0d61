"""Small pictures on disk, and a cache of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from noise import MakePictures, picture


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder: empty, and never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "alexnet"


@pytest.fixture
def make_pictures() -> MakePictures:
    """Makes class folders of PNG files and returns their relative paths, sorted."""

    def make(folder: Path, classes: dict[str, int], size: tuple[int, int] = (14, 10)) -> list[str]:
        paths = []
        for name, count in classes.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                path = f"{name}/{number:03d}.png"
                picture(path, size).save(folder / path)
                paths.append(path)
        return sorted(paths)

    return make
