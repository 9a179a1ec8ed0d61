"""Response normalisation, the convolution that rounds up and the first stage, against formulas, torch and Pillow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.network import architecture as a
from alexnet.network.architecture import Input
from alexnet.network.layers import CeilConv2d, Linear, LocalConv2d, MaskDropout, Pixels, ResponseNorm, ZeroLogit
from alexnet.network.model import skeleton
from alexnet.network.response_norm import Norm, _backward, _forward, _fused, response_norm

PAPER = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_the_paper(x: Tensor, size: int, alpha: float, beta: float, k: float, columns: int) -> Tensor:
    """Section 3.3, one number at a time: b_i = a_i / (k + alpha Σ a_j²)^beta, |i − j| ≤ n/2, in the column."""
    pictures, maps, height, width = x.shape
    own = maps // columns
    values, result = x.tolist(), torch.empty_like(x)
    for n in range(pictures):
        for i in range(maps):
            first, last = i // own * own, i // own * own + own - 1
            neighbours = range(max(first, i - size // 2), min(last, i + size // 2) + 1)
            for r in range(height):
                for c in range(width):
                    total = sum(values[n][j][r][c] ** 2 for j in neighbours)
                    result[n, i, r, c] = values[n][i][r][c] / (k + alpha * total) ** beta
    return result


# ----------------------------------------------------------------------------------------------- response normalisation


@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from([1, 3, 5, 7, 9]),
    columns=st.integers(1, 3),
    own=st.integers(1, 7),
    alpha=st.floats(1e-4, 1.0),
    beta=st.floats(0.25, 1.5),
    k=st.floats(0.5, 3.0),
    seed=st.integers(0, 99),
)
def test_formula_of_the_paper(
    size: int, columns: int, own: int, alpha: float, beta: float, k: float, seed: int
) -> None:
    x = random(2, columns * own, 2, 3, seed=seed, scale=2.0)
    torch.testing.assert_close(
        response_norm(x, size, alpha, beta, k, columns), by_the_paper(x, size, alpha, beta, k, columns)
    )


@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from([1, 3, 5, 7, 9]),
    maps=st.integers(1, 12),
    alpha=st.floats(1e-4, 1.0),
    k=st.floats(0.5, 3.0),
    seed=st.integers(0, 99),
)
def test_torch_divides_alpha_by_the_size(size: int, maps: int, alpha: float, k: float, seed: int) -> None:
    x = random(2, maps, 3, 4, seed=seed, scale=3.0)
    theirs = nn.LocalResponseNorm(size, alpha=alpha * size, beta=0.75, k=k)
    torch.testing.assert_close(response_norm(x, size, alpha, 0.75, k), theirs(x))


@pytest.mark.parametrize(("maps", "columns"), [(96, 2), (256, 2), (9, 3), (4, 4)])
def test_each_column_is_normalised_for_itself(maps: int, columns: int) -> None:
    x = random(2, maps, 4, 5, scale=60.0)
    theirs = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    apart = torch.cat([theirs(column) for column in x.chunk(columns, dim=1)], dim=1)
    torch.testing.assert_close(response_norm(x, **PAPER, columns=columns), apart)


@pytest.mark.parametrize(("maps", "border"), [(96, [46, 47, 48, 49]), (256, [126, 127, 128, 129])])
def test_columns_change_the_four_maps_at_the_border_only(maps: int, border: list[int]) -> None:
    """Windows of 5 cross at the last two maps of one column and the first two of the other."""
    x = random(1, maps, 3, 3, scale=60.0)
    difference = (response_norm(x, **PAPER, columns=2) - response_norm(x, **PAPER)).abs().amax(dim=(0, 2, 3))
    assert difference.nonzero().flatten().tolist() == border


@pytest.mark.parametrize(
    ("maps", "size", "columns", "inside"),
    [
        (6, 5, 1, [3, 4, 5, 5, 4, 3]),
        (6, 5, 2, [3, 3, 3, 3, 3, 3]),
        (6, 3, 2, [2, 3, 2, 2, 3, 2]),
        (3, 9, 1, [3, 3, 3]),
        (8, 7, 2, [4, 4, 4, 4, 4, 4, 4, 4]),
        (4, 1, 1, [1, 1, 1, 1]),
        (4, 5, 4, [1, 1, 1, 1]),
        (1, 5, 1, [1]),
    ],
)
def test_windows_are_clipped_at_the_ends(maps: int, size: int, columns: int, inside: list[int]) -> None:
    """With ones for input, alpha = beta = 1 and k = 0 the result is one over the number of maps in the window."""
    ones = torch.ones(1, maps, 1, 1, dtype=torch.float64)
    result = response_norm(ones, size, 1.0, 1.0, 0.0, columns).flatten()
    torch.testing.assert_close(1 / result, torch.tensor(inside, dtype=torch.float64))


@pytest.mark.parametrize("size", [7, 9, 99])
def test_a_window_larger_than_the_maps_holds_them_all(size: int) -> None:
    x = random(2, 4, 3, 3)
    everything = x / (2 + 0.3 * x.square().sum(dim=1, keepdim=True)) ** 0.75
    torch.testing.assert_close(response_norm(x, size, 0.3, 0.75, 2.0), everything)


@pytest.mark.parametrize("columns", [1, 2])
def test_gradient(columns: int) -> None:
    x = random(2, 6, 2, 2, scale=2.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: response_norm(v, 5, 0.2, 0.75, 2.0, columns), x)


def test_gradient_at_the_papers_constants_equals_torchs() -> None:
    x, y = (random(1, 96, 5, 5, scale=100.0).requires_grad_() for _ in range(2))
    weights = random(1, 96, 5, 5, seed=1)
    (response_norm(x, **PAPER) * weights).sum().backward()
    (nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(y) * weights).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_numbers_are_summed_in_float32(dtype: torch.dtype) -> None:
    x = random(2, 96, 4, 4, scale=100.0).to(dtype)
    result = response_norm(x, **PAPER, columns=2)
    assert result.dtype == dtype
    exact = response_norm(x.double(), **PAPER, columns=2)
    torch.testing.assert_close(result.double(), exact, rtol=torch.finfo(dtype).eps, atol=0)


def test_squares_beyond_float16_do_no_harm() -> None:
    x = torch.full((1, 5, 1, 1), 1000.0, dtype=torch.float16)  # a square of 10⁶, where float16 ends at 65504
    # Map 2 sees all five: 1000 / (2 + 10⁻⁴ · 5·10⁶)^0.75 = 1000 / 502^0.75 = 9.43
    assert response_norm(x, **PAPER)[0, 2].item() == pytest.approx(9.43, abs=0.01)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("columns", [1, 2])
def test_layout_and_input_stay(layout: torch.memory_format, columns: int) -> None:
    x = random(2, 8, 3, 5).to(memory_format=layout)
    before = x.clone()
    result = response_norm(x, **PAPER, columns=columns)
    assert (result.shape, result.stride(), result.dtype) == (x.shape, x.stride(), x.dtype)
    assert torch.equal(x, before)


def test_the_module_is_the_function() -> None:
    x = random(1, 12, 2, 2, scale=30.0)
    norm = ResponseNorm(3, 0.01, 0.5, 1.5, 4)
    torch.testing.assert_close(norm(x), by_the_paper(x, 3, 0.01, 0.5, 1.5, 4))
    assert not norm.state_dict()
    assert "size=3, alpha=0.01, beta=0.5, k=1.5, columns=4" in repr(norm)


# ------------------------------------------------------------------------------- response normalisation within one map


def within_a_map(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """cuda-convnet's same-map normalisation, one number at a time, with the plain sum."""
    pictures, maps, height, width = x.shape
    half, values, result = size // 2, x.tolist(), torch.empty_like(x)
    for n in range(pictures):
        for i in range(maps):
            for r in range(height):
                for c in range(width):
                    rows = range(max(0, r - half), min(height, r + half + 1))
                    columns = range(max(0, c - half), min(width, c + half + 1))
                    total = sum(values[n][i][y][z] ** 2 for y in rows for z in columns)
                    result[n, i, r, c] = values[n][i][r][c] / (k + alpha * total) ** beta
    return result


@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from([1, 3, 5, 7]),
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    alpha=st.floats(1e-4, 1.0),
    beta=st.floats(0.25, 1.5),
    k=st.floats(0.5, 3.0),
    seed=st.integers(0, 99),
)
def test_formula_within_one_map(
    size: int, height: int, width: int, alpha: float, beta: float, k: float, seed: int
) -> None:
    x = random(2, 2, height, width, seed=seed, scale=2.0)
    torch.testing.assert_close(
        response_norm(x, size, alpha, beta, k, over="space"), within_a_map(x, size, alpha, beta, k)
    )


def test_the_source_divides_alpha_by_the_values_in_a_window() -> None:
    """Its scale 1e-3 over 5 x 5 is 4e-5 here. With ones, alpha = beta = 1 and k = 0: one over the values inside."""
    x = random(1, 3, 6, 6, scale=60.0)
    mean = F.avg_pool2d(F.pad(x.square(), (2, 2, 2, 2)), 5, stride=1)
    ours = response_norm(x, 5, 1e-3 / 25, 0.75, 1.0, over="space")
    torch.testing.assert_close(ours, x / (1 + 1e-3 * mean) ** 0.75)
    inside = 1 / response_norm(torch.ones(1, 1, 4, 4, dtype=torch.float64), 3, 1.0, 1.0, 0.0, over="space")
    side = torch.tensor([2.0, 3.0, 3.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(inside[0, 0], torch.outer(side, side))


def test_gradient_within_one_map() -> None:
    x = random(2, 3, 4, 5, scale=2.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: response_norm(v, 3, 0.2, 0.75, 1.0, over="space"), x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_float32_within_one_map_keeps_its_layout(layout: torch.memory_format) -> None:
    """Where the kernel in C, which knows maps only, could be mistaken for it."""
    x = random(2, 8, 6, 5, scale=30.0).float().to(memory_format=layout)
    result = response_norm(x, 5, 4e-5, 0.75, 1.0, over="space")
    assert (result.stride(), result.dtype) == (x.stride(), x.dtype)
    torch.testing.assert_close(result.double(), within_a_map(x.double(), 5, 4e-5, 0.75, 1.0), rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------------------------------- pooling of cuda-convnet


@pytest.mark.parametrize("side", [4, 5, 12, 24, 27, 32, 55])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2)])
def test_pooling_of_cuda_convnet(side: int, kernel: int, stride: int) -> None:
    """ceil((side - kernel)/stride) + 1 windows; the last is cut off at the edge, and a mean is of what is left."""
    x = random(1, 2, side, side)
    windows = math.ceil((side - kernel) / stride) + 1
    for kind, reduce in ((a.MaxPool, torch.amax), (a.AveragePool, torch.mean)):
        layers = (("pool", kind(kernel, stride, ceil=True)),)
        pooled = skeleton(a.Variant("pooling", "", "", layers, channels=2, size=side))(x)
        assert pooled.shape == (1, 2, windows, windows)
        for r in range(windows):
            for c in range(windows):
                window = x[..., r * stride : r * stride + kernel, c * stride : c * stride + kernel]
                torch.testing.assert_close(pooled[..., r, c], reduce(window, dim=(2, 3)))


# --------------------------------------------------------------------------------------------------- untied convolution


def local(channels: int, side: int, layer: a.Local) -> LocalConv2d:
    """The module with weights and biases of its own."""
    module = LocalConv2d(
        (channels, side, side), layer.output((channels, side, side)), layer.kernel, layer.stride, layer.padding
    ).double()
    with torch.no_grad():
        module.weight.copy_(random(*module.weight.shape, seed=1))
        module.bias.copy_(random(*module.bias.shape, seed=2))
    return module


@pytest.mark.parametrize("number", [2, 5])
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"), [(6, 3, 1, 1), (5, 3, 1, 0), (7, 2, 2, 0), (7, 5, 3, 2)]
)
def test_untied_convolution_is_a_loop(side: int, kernel: int, stride: int, padding: int, number: int) -> None:
    module = local(3, side, a.Local(4, kernel, stride, padding))
    x = random(number, 3, side, side)
    padded, result = F.pad(x, (padding,) * 4), module(x)
    out = (side + 2 * padding - kernel) // stride + 1
    assert result.shape == (number, 4, out, out)
    assert module.weight.shape == (out * out, 4, 3 * kernel**2)
    for n in range(number):
        for o in range(4):
            for r in range(out):
                for c in range(out):
                    window = padded[n, :, r * stride : r * stride + kernel, c * stride : c * stride + kernel]
                    kernels = module.weight[r * out + c, o].view(3, kernel, kernel)
                    expected = (window * kernels).sum() + module.bias[o, r, c]
                    torch.testing.assert_close(result[n, o, r, c], expected)


def test_untied_convolution_with_equal_kernels_is_a_convolution() -> None:
    module, x = local(3, 6, a.Local(4, 3, padding=1)), random(2, 3, 6, 6)
    tied = nn.Conv2d(3, 4, 3, padding=1).double()
    with torch.no_grad():
        module.weight.copy_(tied.weight.flatten(1).expand_as(module.weight))
        module.bias.copy_(tied.bias.view(4, 1, 1).expand_as(module.bias))
    torch.testing.assert_close(module(x), tied(x))
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), tied(x))


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(("side", "kernel", "stride", "padding"), [(4, 3, 1, 1), (4, 3, 1, 0), (6, 3, 2, 2)])
def test_gradient_of_the_untied_convolution(side: int, kernel: int, stride: int, padding: int, number: int) -> None:
    module = local(2, side, a.Local(3, kernel, stride, padding))
    arguments = (random(number, 2, side, side).requires_grad_(), module.weight, module.bias)
    call = torch.func.functional_call
    assert torch.autograd.gradcheck(lambda x, w, b: call(module, {"weight": w, "bias": b}, (x,)), arguments)


def test_untied_convolution_in_bfloat16() -> None:
    """Products of rounded values; what nine windows give a pixel is added up in float32 and rounded once."""
    module, x = local(8, 6, a.Local(4, 3, padding=1)), random(5, 8, 6, 6)
    exactly, narrow = (x.clone().requires_grad_() for _ in range(2))
    module(exactly).square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        found = module.float()(narrow.bfloat16())
    found.double().square().sum().backward()
    assert exactly.grad is not None and narrow.grad is not None
    assert (narrow.grad - exactly.grad).abs().max() <= 2**-6 * exactly.grad.abs().max()


# ------------------------------------------------------------------------------------------ dropout, a single output


def test_dropout_of_2012_zeroes_in_training_and_scales_in_use() -> None:
    x = random(1, 4096)
    for p in (0.25, 0.5):
        drop = MaskDropout(p)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            dropped = drop.train()(x)
            torch.manual_seed(0)
            inverted = nn.Dropout(p)(x)
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], x[kept])
        assert kept.double().mean().item() == pytest.approx(1 - p, abs=0.05)
        torch.testing.assert_close(drop.eval()(x), (1 - p) * x)
        torch.testing.assert_close(dropped, (1 - p) * inverted)  # the same chance falls on the same values


def test_both_dropouts_use_alike_when_the_next_weights_are_halved() -> None:
    """How weights that were learnt the paper's way come into a network with inverted dropout."""
    x, theirs, ours = random(3, 16), nn.Linear(16, 4).double(), nn.Linear(16, 4).double()
    with torch.no_grad():
        ours.weight.copy_(theirs.weight / 2)
        ours.bias.copy_(theirs.bias)
    torch.testing.assert_close(ours(nn.Dropout(0.5).eval()(x)), theirs(MaskDropout(0.5).eval()(x)))


def test_a_zero_logit_makes_a_sigmoid_a_softmax_and_cross_entropy_binary() -> None:
    z, labels = random(32, 1, scale=5.0).requires_grad_(), torch.arange(32) % 2
    logits = ZeroLogit()(z)
    assert logits.shape == (32, 2)
    one = torch.sigmoid(z)
    torch.testing.assert_close(logits.softmax(dim=1), torch.cat([1 - one, one], dim=1))
    loss = F.cross_entropy(logits, labels)
    binary = F.binary_cross_entropy_with_logits(z[:, 0], labels.double())
    torch.testing.assert_close(loss, binary)
    torch.testing.assert_close(*(torch.autograd.grad(value, z)[0] for value in (loss, binary)))


# ------------------------------------------------------------------------------------------- convolution that rounds up


def convolutions(ceil: CeilConv2d) -> nn.Conv2d:
    """torch's own layer with the same weights."""
    plain = nn.Conv2d(
        ceil.in_channels, ceil.out_channels, ceil.kernel_size, ceil.stride, ceil.padding, groups=ceil.groups
    ).double()
    plain.load_state_dict(ceil.state_dict())
    return plain


def test_224_acts_as_227() -> None:
    """The source's rule: the last window overhangs by three pixels and sees zeros there."""
    ceil = CeilConv2d(3, 8, 11, 4).double()
    plain = convolutions(ceil)
    x = random(1, 3, 224, 224)
    result = ceil(x)
    assert result.shape == (1, 8, 55, 55)
    torch.testing.assert_close(result, plain(F.pad(x, (0, 3, 0, 3))))
    assert plain(x).shape == (1, 8, 54, 54)
    torch.testing.assert_close(result[..., :54, :54], plain(x))
    # The 55th row and column see eight of eleven pixels, and not nothing.
    corner = F.conv2d(x[..., 216:, 216:], plain.weight[..., :8, :8], plain.bias)
    torch.testing.assert_close(result[..., 54:, 54:], corner)


@pytest.mark.parametrize("height", [224, 225, 226, 227])
@pytest.mark.parametrize("width", [224, 227, 228])
def test_height_and_width_overhang_each_by_their_own(height: int, width: int) -> None:
    ceil = CeilConv2d(1, 2, 11, 4).double()
    x = random(1, 1, height, width)
    padded = F.pad(x, (0, {224: 3, 227: 0, 228: 3}[width], 0, 227 - height))
    torch.testing.assert_close(ceil(x), convolutions(ceil)(padded))


def test_where_all_windows_fit_it_is_torchs_convolution() -> None:
    ceil = CeilConv2d(4, 6, 5, 2, padding=1, groups=2).double()
    x = random(2, 4, 17, 9)  # (17 + 2 − 5)/2 and (9 + 2 − 5)/2 are whole
    assert torch.equal(ceil(x), convolutions(ceil)(x))


def test_padding_stays_on_all_sides_and_the_overhang_on_two() -> None:
    ceil = CeilConv2d(1, 1, 4, 3, padding=1).double()
    x = random(1, 1, 7, 7)  # 7 + 2 − 4 = 5 = 3 + 2: one more pixel makes a third window
    torch.testing.assert_close(
        ceil(x), F.conv2d(F.pad(x, (1, 2, 1, 2)), ceil.weight, ceil.bias, stride=3), msg="7 x 7 by hand"
    )
    assert ceil(x).shape == (1, 1, 3, 3)


def test_gradient_of_the_convolution_that_rounds_up() -> None:
    ceil = CeilConv2d(2, 3, 3, 2).double()
    x = random(1, 2, 6, 6).requires_grad_()
    assert torch.autograd.gradcheck(ceil, x)


# ------------------------------------------------------------------------------------------------------ the first stage

PICTURES = np.random.default_rng(3).integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)


def first_stage(**rule: object) -> Pixels:
    return Pixels(Input(size=6, stored=8, **rule))  # type: ignore[arg-type]


def test_plain_pictures_are_only_turned() -> None:
    result = first_stage()(torch.from_numpy(PICTURES))
    assert result.dtype == torch.float32
    np.testing.assert_array_equal(result.numpy(), PICTURES.transpose(0, 3, 1, 2))


def test_mean_first_then_scale() -> None:
    mean, scale = (10.0, 100.0, 200.0), (1.0, 0.5, 0.25)
    result = first_stage(mean=mean, scale=scale)(torch.from_numpy(PICTURES)).numpy()
    for channel in range(3):
        expected = (PICTURES[..., channel].astype(np.float64) - mean[channel]) * scale[channel]
        np.testing.assert_allclose(result[:, channel], expected, rtol=1e-6)


def test_torchvisions_normalisation() -> None:
    """torchvision divides by 255, then subtracts 0.485 …, then divides by 0.229 …; in units of 0..255 that is this."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    stage = first_stage(mean=tuple(255 * mean), scale=tuple(1 / (255 * deviation)))
    expected = ((PICTURES / 255 - mean) / deviation).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(stage(torch.from_numpy(PICTURES)).numpy(), expected, atol=1e-5)


def test_bgr_turns_the_channels_and_takes_the_means_in_that_order() -> None:
    stage = first_stage(order="BGR", mean=(104.0, 117.0, 123.0))  # Caffe's: blue, green, red
    result = stage(torch.from_numpy(PICTURES)).numpy()
    for channel, (source, mean) in enumerate([(2, 104.0), (1, 117.0), (0, 123.0)]):
        np.testing.assert_array_equal(result[:, channel], PICTURES[..., source].astype(np.float32) - mean)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_grey_is_the_luma_of_pillow(seed: int) -> None:
    pictures = np.random.default_rng(seed).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    grey = first_stage(order="grey")(torch.from_numpy(pictures))
    assert grey.shape == (1, 1, 8, 8)
    theirs = np.asarray(Image.fromarray(pictures[0]).convert("L"), dtype=np.float64)
    assert np.abs(grey[0, 0].numpy() - theirs).max() <= 0.51  # Pillow rounds to whole numbers


@pytest.mark.parametrize(
    ("colour", "luma"), [((255, 0, 0), 76.245), ((0, 255, 0), 149.685), ((0, 0, 255), 29.07), ((255,) * 3, 255.0)]
)
def test_grey_of_pure_colours(colour: tuple[int, int, int], luma: float) -> None:
    picture = torch.tensor(colour, dtype=torch.uint8).expand(1, 2, 2, 3)
    result = first_stage(order="grey", mean=(50.0,), scale=(2.0,))(picture)
    torch.testing.assert_close(result, torch.full((1, 1, 2, 2), 2 * (luma - 50)))


@pytest.mark.parametrize(("order", "channels"), [("RGB", 3), ("BGR", 3), ("grey", 1)])
def test_a_mean_picture_takes_the_place_of_the_means(order: str, channels: int) -> None:
    mean = torch.from_numpy(np.random.default_rng(4).uniform(0, 255, (6, 5, channels)))
    pictures = torch.from_numpy(PICTURES)
    stage = Pixels(Input(size=6, stored=8, order=order, mean=(9.0,), scale=(0.5,), mean_picture=True), mean)  # type: ignore[arg-type]
    plain = first_stage(order=order)(pictures)
    expected = 0.5 * (plain - mean.permute(2, 0, 1))
    torch.testing.assert_close(stage(pictures), expected.float())


def test_numbers_with_fractions_pass() -> None:
    """Training views are float pictures."""
    pictures = torch.rand(1, 4, 4, 3, generator=torch.Generator().manual_seed(0)) * 255
    torch.testing.assert_close(first_stage()(pictures), pictures.permute(0, 3, 1, 2))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_result_lies_channels_last(order: str) -> None:
    """The layout that the convolutions want: no copy is needed between the stages."""
    result = first_stage(order=order)(torch.from_numpy(PICTURES))
    assert result.shape == (2, 3, 6, 5)
    assert result.stride() == (6 * 5 * 3, 1, 5 * 3, 3)


def test_the_first_stage_adds_nothing_to_a_model_file() -> None:
    """Its numbers travel in the input rule."""
    assert not first_stage(mean=(1.0, 2.0, 3.0)).state_dict()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_matrix_trains_in_bfloat16_as_under_autocast_but_keeps_no_copy(bias: bool, frozen: bool) -> None:
    """More rows than are in one block, and a last block that is not full."""
    theirs, ours = nn.Linear(40, 700, bias=bias), Linear(40, 700, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    x, up = random(6, 40).float(), random(6, 700, seed=1).bfloat16()
    found = []
    for layer in (theirs, ours):
        layer.weight.requires_grad_(not frozen)
        inner = x.clone().requires_grad_()
        kept: list[Tensor] = []

        def keep(tensor: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            with torch.autocast("cpu", torch.bfloat16):
                out = layer(inner)
            out.backward(up)
        copies = [t for t in kept if t.dtype == torch.bfloat16 and t.numel() == layer.weight.numel()]
        assert bool(copies) == (layer is theirs)
        assert layer.weight.requires_grad == (layer.weight.grad is not None)
        found.append([out, inner.grad, *(p.grad for p in layer.parameters() if p.grad is not None)])
    for a_, b_ in zip(*found, strict=True):
        assert a_ is not None and b_ is not None and a_.dtype == b_.dtype
        torch.testing.assert_close(b_, a_, rtol=0.01, atol=0.01)


def test_a_matrix_is_plain_without_autocast() -> None:
    layer, x = Linear(16, 4).double(), random(3, 16)
    torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's compiler loads what torch deprecates
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_for_gpus_is_the_same_function(dtype: torch.dtype) -> None:
    """As torch's compiler makes it for this processor; on a GPU it makes another one of the same."""
    norm = Norm(**PAPER, columns=2)
    for batch in (2, 3):
        x, up = random(batch, 12, 5, 4).to(dtype), random(batch, 12, 5, 4, seed=1).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(_fused(_forward)(x, norm), _forward(x, norm))
        torch.testing.assert_close(_fused(_backward)(x, up, norm), _backward(x, up, norm))
