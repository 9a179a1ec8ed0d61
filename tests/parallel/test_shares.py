"""X4: one, two and four processes compute the same step; and what they tell each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIZES = (1, 2, 4)


class Found:
    """What the processes of each group found, by name, size and rank."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, size: int, rank: int = 0) -> dict[str, Any]:
        with np.load(self.folder / f"{name}-{size}-{rank}.npz") as file:
            return dict(file)

    def all(self, name: str, size: int) -> list[dict[str, Any]]:
        return [self(name, size, rank) for rank in range(size)]


@pytest.fixture(scope="module")
def found(many_photos, tmp_path_factory, torchrun) -> Found:
    """One start of four processes does it all."""
    folder = tmp_path_factory.mktemp("shares")
    code, _, said = torchrun.end(torchrun.start(4, "shares.py", many_photos, folder))
    assert code == 0, said
    return Found(folder)


@pytest.mark.parametrize(("name", "size"), [("plain", 2), ("plain", 4), ("global", 2), ("global", 4)])
def test_gradients_are_those_of_one_process(found, name, size):
    """To 1e-10 in float64, in the third step: class weights, label smoothing and shares of unlike size included; with
    batch normalisation where its statistics are everybody's."""
    whole = found(name, 1)
    assert max(np.abs(value).max() for key, value in whole.items() if key.startswith("gradient")) > 1e-3
    for shared in found.all(name, size):
        for key in [key for key in whole if key.startswith(("gradient", "state"))]:
            np.testing.assert_allclose(shared[key], whole[key], rtol=1e-10, atol=1e-10, err_msg=key)
        np.testing.assert_allclose(shared["totals"], whole["totals"], rtol=1e-6)


@pytest.mark.parametrize("size", [2, 4])
def test_the_same_pictures_and_crops_on_any_number_of_processes(found, size):
    whole, shared = found("plain", 1), found.all("plain", size)
    assert {length for each in shared for length in each["lengths"]} == ({5} if size == 2 else {2, 3})
    for key in ("places", "chance"):
        steps = [np.split(each[key], np.cumsum(each["lengths"])[:-1]) for each in shared]
        together = np.concatenate([np.concatenate(step) for step in zip(*steps, strict=True)])
        np.testing.assert_array_equal(together, whole[key])


@pytest.mark.parametrize("name", ["plain", "global", "own", "compressed"])
def test_all_processes_have_the_same_state_to_the_bit(found, name):
    for size in (2, 4):
        first, *others = found.all(name, size)
        for other, key in [(other, key) for other in others for key in first if key.startswith("state")]:
            np.testing.assert_array_equal(other[key], first[key], err_msg=f"{key} of {size}")


def test_own_statistics_are_not_those_of_one_process(found):
    """What the documents say of batch normalisation; of shares of one size the running means are those of them all."""
    whole, shared = found("own", 1), found("own", 2)
    assert np.abs(whole["gradient conv1.weight"] - shared["gradient conv1.weight"]).max() > 1e-6
    np.testing.assert_allclose(shared["state bn1.running_mean"], whole["state bn1.running_mean"], rtol=1e-10)
    assert np.abs(whole["state bn1.running_var"] / shared["state bn1.running_var"] - 1).max() > 1e-6


def test_compressed_gradients_are_rounded_and_no_more(found):
    for size in (2, 4):
        exact, rounded = found("global", size), found("compressed", size)
        large, small = "gradient fc2.weight", "gradient fc3.weight"
        scale = np.abs(exact[large]).max()
        assert 0 < np.abs(exact[large] - rounded[large]).max() < 0.03 * scale
        assert np.abs(exact[small] - rounded[small]).max() < 0.03 * np.abs(exact[small]).max()


def test_no_process_takes_a_step_after_a_loss_of_one_that_is_not_finite(found):
    for size in (2, 4):
        assert all(each["same"] and each["bad"] == 0 for each in found.all("poisoned", size))


def test_evaluation_in_shares_is_that_of_one_process_to_the_bit(found):
    whole = found("evaluated", 1)["outputs"]
    assert len(whole) == 120  # two batches, the second not full
    for size in (2, 4):
        np.testing.assert_array_equal(found("evaluated", size)["outputs"], whole)
        assert not any(len(each["outputs"]) for each in found.all("evaluated", size)[1:])


def test_what_processes_tell_each_other(found):
    for size in SIZES:
        for each in found.all("told", size):
            assert each["told"] == 0 and each["copied"] and each["largest"].tolist() == [size - 1, 0]
        rows = np.repeat(np.arange(size), np.arange(size))[:, None].repeat(2, 1)
        np.testing.assert_array_equal(found("told", size)["rows"], rows)
