"""The kernel in C against the formula in float64, and what happens where it cannot be built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from alexnet import compiled
from alexnet.network.response_norm import response_norm

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2**-8}  # the rounding of the type, relative to the largest value


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("kernels")))
        compiled.loaded.cache_clear()
        if not compiled.build(compiled.RESPONSE_NORM):
            pytest.skip("no C compiler here")
        yield
    compiled.loaded.cache_clear()


def by_formula(x: torch.Tensor, size: int, alpha: float, beta: float, k: float, columns: int) -> torch.Tensor:
    """b = x / (k + alpha * sum of squares)^beta, map by map, in float64."""
    x, maps = x.double(), x.shape[1] // columns
    out = []
    for c in range(x.shape[1]):
        first = c // maps * maps
        window = x[:, max(first, c - size // 2) : min(first + maps, c + size // 2 + 1)]
        out.append(x[:, c] / (k + alpha * window.square().sum(1)) ** beta)
    return torch.stack(out, 1)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("channels", "columns", "size", "beta"), [(96, 2, 5, 0.75), (96, 1, 5, 0.75), (6, 2, 5, 0.75), (40, 1, 9, 0.6)]
)
def test_forward_and_backward_are_the_formula(kernel, dtype, channels, columns, size, beta):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, 5, 3, generator=generator).mul(40).to(dtype).to(memory_format=torch.channels_last)
    gradient = torch.randn(x.shape, generator=generator).to(dtype)
    constants = (size, 1e-3, beta, 2.0, columns)
    exact, ours = x.double().requires_grad_(), x.clone().requires_grad_()
    expected = by_formula(exact, *constants)
    expected.backward(gradient.double())
    found = response_norm(ours, *constants)
    found.backward(gradient)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    for mine, truth in ((found, expected), (ours.grad, exact.grad)):
        assert (mine.double() - truth).abs().max() <= TOLERANCE[dtype] * truth.abs().max()


def test_what_is_not_finite_stays_so(kernel):
    x = torch.full((1, 8, 1, 1), float("nan"), dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    assert response_norm(x).isnan().all()


def test_nothing_is_kept_for_backward_but_the_input(kernel):
    x = torch.randn(1, 8, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        response_norm(x)
    assert kept == [x.data_ptr()]


@pytest.mark.parametrize("compiler", ["/nonexistent/cc", "false"])
def test_without_a_compiler_torch_computes_the_same(tmp_path, monkeypatch, compiler):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", compiler)
    compiled.loaded.cache_clear()
    assert compiled.build(compiled.RESPONSE_NORM) is False
    x = torch.randn(2, 12, 3, 3).to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        response_norm(x, columns=2).double(), by_formula(x, 5, 1e-4, 0.75, 2.0, 2), atol=1e-5, rtol=0
    )
    assert not list(Path(tmp_path).rglob("*.so"))
    compiled.loaded.cache_clear()


def test_prediction_never_builds(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled.loaded.cache_clear()
    response_norm(torch.randn(1, 8, 2, 2).to(memory_format=torch.channels_last))
    assert not list(Path(tmp_path).rglob("*.so"))
    compiled.loaded.cache_clear()
