"""Pictures made pixel by pixel: what stands where, and that no pixel is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet.insight.explanations import panels
from alexnet.network.architecture import Input

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_heat_of_nothing_leaves_the_picture_and_the_hottest_place_hides_its_share_of_it() -> None:
    heat = np.zeros((20, 30), np.float32)
    np.testing.assert_array_equal(panels.overlay(PICTURE, heat), PICTURE)
    heat[3, 4] = 1
    hot = panels.heat_colours(heat)
    assert hot.shape == (20, 30, 4) and hot.dtype == np.uint8
    assert hot[3, 4, 3] == 255 and hot[0, 0, 3] == 0
    drawn = panels.overlay(PICTURE, heat, opacity=0.5)
    np.testing.assert_allclose(drawn[3, 4], (PICTURE[3, 4] + hot[3, 4, :3].astype(float)) / 2, atol=0.5)
    drawn[3, 4] = PICTURE[3, 4]
    np.testing.assert_array_equal(drawn, PICTURE)


def test_a_network_without_colours_is_shown_what_it_sees() -> None:
    grey = panels.as_seen(PICTURE, Input(size=20, stored=20, order="grey"))
    expected = np.asarray(Image.fromarray(PICTURE).convert("L")).astype(int)
    assert abs(grey - expected[..., None]).max() <= 1 and grey.shape == PICTURE.shape
    np.testing.assert_array_equal(panels.as_seen(PICTURE, Input(size=20, stored=20, order="BGR")), PICTURE)


def test_hotter_is_brighter() -> None:
    ramp = panels.heat_alone(np.linspace(0, 1, 256, dtype=np.float32)[None])[0].astype(float)
    assert (np.diff(ramp @ (0.2126, 0.7152, 0.0722)) > -0.5).all() and ramp[0].max() < 10 and ramp[-1].min() > 150


@given(count=st.integers(1, 50), height=st.integers(1, 12), width=st.integers(1, 12), columns=st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_tiles_stand_row_by_row(count: int, height: int, width: int, columns: int) -> None:
    tiles = np.random.default_rng(count).integers(0, 255, (count, height, width, 3), dtype=np.uint8)
    sheet = panels.tiled(tiles, columns, gap=2)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + 2), place % columns * (width + 2)
        np.testing.assert_array_equal(sheet[top : top + height, left : left + width], tile)
    assert (sheet == 255).all(2).sum() == sheet[..., 0].size - tiles[..., 0].size  # what is no tile is white


@pytest.mark.parametrize("shape", [(1,), (2,), (10,), (97,), (4096,), (3, 1, 1), (96, 13, 13), (5, 40, 40)])
def test_every_map_gets_a_tile_of_one_scale(shape: tuple[int, ...]) -> None:
    values = RNG.uniform(0, 1, shape).astype(np.float32)
    sheet = panels.maps(values)
    assert sheet.ndim == 3 and sheet.dtype == np.uint8 and sheet.size < 3 * 2**21
    assert 0.2 < sheet.shape[1] / sheet.shape[0] < 6 or len(values) < 6
    signed = panels.maps(values - 0.5)
    assert signed.shape == sheet.shape
    assert (panels.maps(np.zeros(shape, np.float32)) < 255).any()  # silent, not divided by nothing


def test_zero_is_white_red_is_more_and_blue_is_less() -> None:
    more, zero, less = (panels.maps(np.array([-1, 0, 1], np.float32))[0, 25 * place] for place in (2, 1, 0))
    assert zero.min() > 240 and more[0] > more[2] + 50 and less[2] > less[0] + 50


def test_kernels_are_grey_where_the_weight_is_nothing_and_columns_lie_one_above_the_other() -> None:
    weights = np.zeros((32, 3, 5, 5), np.float32)
    weights[0, 0], weights[16, 2] = 1, -1  # the first of either column: red, and no blue
    sheet = panels.kernels(weights, columns=2)
    side = 40
    assert sheet.shape == (2 * side + panels.GAP, 16 * (side + 2) - 2, 3)
    assert sheet[0, 0].tolist() == [255, 128, 128] and sheet[side + panels.GAP, 0].tolist() == [128, 128, 0]
    assert sheet[0, side + 2].tolist() == [128] * 3
    assert panels.kernels(weights[:, :1], columns=1).shape[2] == 3  # of grey pictures


@pytest.mark.parametrize(
    "line",
    ["", "a" * 3000, "Ω Ж é", "日本語", "a\tb\x00c\n", "$x^2$ & <b>", "\ud800"],
    ids=lambda line: repr(line)[:12],
)
def test_any_line_fits_above_a_picture(line: str) -> None:
    drawn = panels.titled(PICTURE, [line, "second"])
    assert drawn.shape[1] < 4 * panels.LEAST and drawn.shape[0] > len(PICTURE)
    np.testing.assert_array_equal(drawn[-30:-10, 10:40], PICTURE)


def test_a_pixel_stays_a_square_of_its_colour() -> None:
    large = panels.magnified(PICTURE, 224)
    assert large.shape == (160, 240, 3)
    np.testing.assert_array_equal(large[::8, ::8], PICTURE)
    assert panels.magnified(large, 224) is not None and panels.magnified(large, 224).shape == large.shape


def test_a_patch_is_paler_beyond_what_was_seen() -> None:
    picture = np.full((40, 40, 3), 90, np.uint8)
    patch = panels.patch(picture, (10, 10, 20, 20), (0, 0, 40, 40), side=40)
    assert patch[15, 15].tolist() == [90] * 3 and patch[35, 35].tolist() == [200] * 3


def test_an_animation_holds_every_picture(tmp_path) -> None:
    panels.animate([np.full((8, 8, 3), level, np.uint8) for level in (0, 100, 200)], tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as file:
        assert file.n_frames == 3 and file.info["loop"] == 0
