"""`bench data`: the material that it measures with, and the textbook's way beside ours."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.errors import UsageError
from alexnet.experiments.bench import data as bench_data
from alexnet.experiments.bench import feeding
from alexnet.pictures.decode import fit
from alexnet.pictures.prepare import open_store


def test_an_archive_and_a_folder_give_the_same_material(photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(photos, "photos", filter=lambda member: member)
    folder = sorted(bench_data._contents(str(photos)))
    assert folder == sorted(bench_data._contents(str(tmp_path / "photos.tar")))
    assert folder == sorted((path.name, path.read_bytes()) for path in photos.rglob("*.png"))


def test_what_cannot_be_measured_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder or an archive"):
        list(bench_data._contents("patterns"))


def test_a_large_store_opens_without_being_read(tmp_path: Path) -> None:
    """Its pictures are 252 GB that the disk does not have; reading them would take minutes."""
    folder = bench_data._empty_store(tmp_path)
    found = feeding.open_store(str(folder))
    assert found["seconds"] < 1
    part = open_store(folder)["train"]
    assert len(part) == bench_data.MANY and part.paths[-1] == f"{bench_data.MANY - 1}.jpg"
    assert not part.read(slice(-2, None)).any()


def test_the_textbook_does_the_same_work() -> None:
    """Its centre is the centre of what ours stores, but for its scale; its views are as large and as spread."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (300, 600, 3), dtype=np.uint8))
    stored = fit(picture, feeding.STORED)
    margin = (feeding.STORED - feeding.SIDE) // 2
    ours = stored[margin : margin + feeding.SIDE, margin : margin + feeding.SIDE] / 255
    theirs = feeding.textbook_centre(picture).permute(1, 2, 0).numpy() * 0.225 + 0.45
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    views = [feeding.textbook_view(picture) for _ in range(4)]
    assert all(view.shape == (3, feeding.SIDE, feeding.SIDE) for view in views)
    assert len({float(view.mean()) for view in views}) == 4


@pytest.mark.slow
def test_the_whole_measurement(photos: Path) -> None:
    found = bench_data.bench_data(str(photos), 1)
    for row in found["rows"]:
        assert row["ratio"] == pytest.approx(row["ours"] / row["stock"]) and row["share"] > 0
    assert {row["what"] for row in found["rows"]} >= {"prepare", "feed", "training loop"}
    assert found["store"]["opens_in_seconds"] < 1
