"""The kernel in C that scales pictures, byte for byte Pillow's resize."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet import compiled
from alexnet.pictures import scaling
from alexnet.pictures.decode import Resize, fit
from alexnet.pictures.scaling import Size, scaled

SIDES = st.integers(1, 120)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("kernels")))
        compiled.loaded.cache_clear()
        assert scaling.kernel_in_use() is None  # a process that has scaled already takes the kernel all the same
        if not shutil.which(os.environ.get("CC", "cc")):
            pytest.skip("no C compiler here")
        assert compiled.build(compiled.SCALING)
        assert scaling.kernel_in_use()
        yield
    compiled.loaded.cache_clear()


def noise(width: int, height: int) -> Image.Image:
    """Black, white and all between, with as much black and white as all else."""
    values = np.random.default_rng([width, height]).integers(-255, 511, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.fixture
def without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("Pillow was asked")

    monkeypatch.setattr(Image.Image, "resize", refuse)


@settings(deadline=None)
@given(before=st.tuples(SIDES, SIDES), after=st.tuples(SIDES, SIDES), data=st.data())
def test_any_size_and_middle_are_as_pillow_has_them(built, before: Size, after: Size, data: st.DataObject) -> None:
    width, height = data.draw(st.tuples(st.integers(1, after[0]), st.integers(1, after[1])))
    picture = noise(*before)
    whole = np.asarray(picture.resize(after, Image.Resampling.BILINEAR))
    top, left = round((after[1] - height) / 2), round((after[0] - width) / 2)
    np.testing.assert_array_equal(scaled(picture, after), whole)
    expected = whole[top : top + height, left : left + width]
    np.testing.assert_array_equal(scaled(picture, after, (width, height)), expected)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (200, 200), (1600, 1200), (257, 256), (500, 256), (40, 30)])
def test_usual_pictures_are_as_pillow_has_them(built, size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(*size)
    rules: list[Resize] = ["crop", "squash", "pad"]
    ours = [fit(picture, 256, resize) for resize in rules]
    monkeypatch.setattr(scaling, "kernel_in_use", lambda: None)
    for found, resize in zip(ours, rules, strict=True):
        np.testing.assert_array_equal(found, fit(picture, 256, resize))


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(500, 375), (375, 460), (200, 200), (1600, 1200), (40, 30)])
def test_usual_pictures_need_no_pillow(built, without_pillow, size: Size, resize: Resize) -> None:
    assert fit(noise(*size), 256, resize).shape == (256, 256, 3)


@pytest.mark.parametrize(("before", "after"), [((2500, 2000), (320, 256)), ((60, 140), (30, 79)), ((90, 90), (90, 90))])
def test_what_is_pillows(built, before: Size, after: Size) -> None:
    """Pictures larger than a block of its memory, those that it scales down first, and those that are not scaled."""
    kernel, picture = scaling.kernel_in_use(), noise(*before)
    assert kernel and scaling._by_kernel(kernel, picture, after, after) is None
    np.testing.assert_array_equal(scaled(picture, after), np.asarray(picture.resize(after, Image.Resampling.BILINEAR)))


def test_halving_is_the_closed_form(built, without_pillow) -> None:
    """A triangle two new pixels wide weighs four old ones 1, 3, 3, 1, across and then down."""
    values = np.random.default_rng(1).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    weights = np.array([1, 3, 3, 1]) / 8
    across = sum(weights[i] * values[:, 1 + i : 57 + i : 2] for i in range(4))
    across = np.floor(across + 0.5)
    down = sum(weights[i] * across[1 + i : 37 + i : 2] for i in range(4))
    found = scaled(Image.fromarray(values), (30, 20))
    np.testing.assert_array_equal(found[1:-1, 1:-1], np.floor(down + 0.5))


def test_where_pillow_gives_other_bytes_the_kernel_is_not_taken(built, monkeypatch: pytest.MonkeyPatch) -> None:
    scaling._tried.cache_clear()
    with monkeypatch.context() as other:
        resize = Image.Image.resize
        other.setattr(Image.Image, "resize", lambda self, size, _: resize(self, size, Image.Resampling.HAMMING))
        assert scaling.kernel_in_use() is None
    scaling._tried.cache_clear()
    assert scaling.kernel_in_use()


def test_other_modes_are_pillows(built) -> None:
    grey = noise(50, 40).convert("L")
    np.testing.assert_array_equal(scaled(grey, (30, 30)), np.asarray(grey.resize((30, 30), Image.Resampling.BILINEAR)))
