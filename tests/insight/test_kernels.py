"""The first convolution's kernels: in which order, from which file, over which epochs."""

from __future__ import annotations

import networks
import numpy as np
import pytest
import smallnets

import alexnet
from alexnet.errors import UsageError
from alexnet.insight.explanations import kernels
from alexnet.network import architecture as a
from alexnet.network.architecture import Input, Variant
from alexnet.network.variants import variant
from alexnet.use.export import export


def test_kernels_are_the_file_s_in_any_form_of_the_model(tmp_path) -> None:
    path = smallnets.saved(tmp_path / "m.safetensors", "batch-norm")
    expected = networks.stirred(smallnets.described("batch-norm"))["conv1.weight"].numpy()
    for precision in ("float32", "auto", "int8"):
        np.testing.assert_array_equal(kernels.kernels(alexnet.load(path, precision=precision)), expected)


def test_kernels_of_blue_green_red_are_turned_round() -> None:
    model = smallnets.model("caffenet", order="BGR")
    own = model.engine.plain.conv1.weight.numpy()
    np.testing.assert_array_equal(kernels.kernels(model), own[:, ::-1])
    assert kernels.kernels(smallnets.model("lenet-5")).shape == (6, 1, 5, 5)


def test_kernels_of_an_onnx_file_are_its_own(tmp_path) -> None:
    path = smallnets.saved(tmp_path / "m.safetensors", "krizhevsky-2012")
    export(path, "onnx", tmp_path / "m.onnx")
    np.testing.assert_array_equal(
        kernels.kernels(alexnet.load(tmp_path / "m.onnx")), kernels.kernels(alexnet.load(path))
    )


@pytest.mark.parametrize(
    ("name", "count"), [("krizhevsky-2012", 2), ("batch-norm", 2), ("torchvision", 1), ("lenet-5", 1)]
)
def test_columns_are_the_groups_of_the_next_convolution(name: str, count: int) -> None:
    assert kernels.columns(variant(name)) == count


def test_epochs_come_in_order(tmp_path) -> None:
    rule = Input(size=32, stored=32, order="BGR", mean=(0.0,) * 3, scale=(1.0,) * 3)
    assert kernels.epochs(tmp_path, rule) == []
    (tmp_path / "kernels").mkdir()
    for epoch in (10, 2):
        np.save(tmp_path / "kernels" / f"{epoch:04d}.npy", np.full((4, 3, 5, 5), epoch, np.float32))
    assert [(epoch, weights.max()) for epoch, weights in kernels.epochs(tmp_path, rule)] == [(2, 2), (10, 10)]


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_epoch_is_named(tmp_path, content: bytes) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "0003.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"0003.npy: not an epoch's kernels"):
        kernels.epochs(tmp_path, Input(size=32, stored=32))


def test_a_network_without_convolutions_has_none() -> None:
    with pytest.raises(UsageError, match="flat: has no convolution, so no kernels"):
        kernels.kernels(smallnets.model(Variant("flat", "", "", (("fc", a.Linear(2)),), classes=2, size=8)))
