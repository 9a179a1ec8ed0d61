"""Our model files, beside what the safetensors library makes of the same tensors."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save

from alexnet.weights.files import DTYPES, write_tensors


@pytest.mark.parametrize("metadata", [None, {"alexnet": '{"name": "Krähe", "quote": "\\""}'}])
def test_the_bytes_are_those_of_the_library(tmp_path, metadata):
    kinds = [getattr(torch, name.removeprefix("torch.")) for name in DTYPES]
    tensors = {f"{number}.weight": torch.arange(6).to(kind).view(2, 3) for number, kind in enumerate(kinds)}
    tensors |= {"a scalar": torch.tensor(-1), "nothing": torch.zeros(0, 4), "fc6.bias": torch.tensor([1.5, -0.0])}
    write_tensors(tmp_path / "ours.safetensors", tensors, metadata)
    assert (tmp_path / "ours.safetensors").read_bytes() == save(tensors, metadata)


def test_memory_in_another_order_is_written_row_by_row(tmp_path):
    tensor = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    write_tensors(tmp_path / "ours.safetensors", {"weight": tensor})
    assert torch.equal(load_file(tmp_path / "ours.safetensors")["weight"], tensor)
