"""Which pictures show the same: against every pair compared by itself, and on photographs changed in known ways."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import PHOTOGRAPHS
from PIL import Image, ImageEnhance
from scipy.fft import dctn

from alexnet.pictures.checks import near_duplicates
from alexnet.pictures.checks.near_duplicates import (
    FLAT,
    RADIUS,
    SIDE,
    Sketches,
    explained,
    groups,
    joined,
    same,
    sketch,
)

CUTS = [
    PHOTOGRAPHS[number % 2].crop((left, top, left + 240, top + 200))
    for number, (left, top) in enumerate((x, y) for x in range(0, 400, 65) for y in range(0, 220, 70))
]


def thumbnails(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(p.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for p in pictures])


def cropped(picture: Image.Image, share: float) -> Image.Image:
    width, height = picture.size
    x, y = share * width / 2, share * height / 2
    return picture.crop((round(x), round(y), round(width - x), round(height - y)))


def compressed(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=30)
    return Image.open(stream).convert("RGB")


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.LANCZOS)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved anew": compressed,
    "half": lambda p: scaled(p, 0.5),
    "double": lambda p: scaled(p, 2),
    "squashed": lambda p: p.resize((128, 256)),
    "cropped": lambda p: cropped(p, 0.03),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.7),
    "grey": lambda p: p.convert("L").convert("RGB"),
    "all at once": lambda p: compressed(scaled(cropped(ImageEnhance.Brightness(p).enhance(0.85), 0.02), 0.6)),
}


# ----------------------------------------------------------------------------------------------------------- candidates


def neighbours(rng: np.random.Generator, hashes: np.ndarray, most: int) -> np.ndarray:
    """Each hash with up to `most` bits turned."""
    flips = [sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, most + 1), replace=False)) for _ in hashes]
    return hashes ^ np.array(flips, np.uint64)


def close_pairs(hashes: np.ndarray) -> set[tuple[int, int]]:
    """By looking at every pair."""
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None])
    return {(i, j) for i, j in np.argwhere(distances <= RADIUS).tolist() if i < j}


def found_pairs(hashes: np.ndarray) -> set[tuple[int, int]]:
    chunks = (pair for chunk in near_duplicates._candidates(hashes) for pair in chunk)
    return {(min(i, j), max(i, j)) for a, b in chunks for i, j in zip(a.tolist(), b.tolist(), strict=True)}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 13))
def test_no_close_pair_is_missed_and_no_other_found(seed: int, count: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 2**64, count, dtype=np.uint64)
    hashes = np.concatenate([first, neighbours(rng, first, most), first[: count // 3]])
    assert found_pairs(hashes) == close_pairs(hashes)


def test_pairs_at_every_way_of_differing_in_ten_bits_over_the_bands() -> None:
    """The worst cases of the pigeonhole: ten bits divided among four bands in every way, (3, 3, 3, 1) among them."""
    ways = [(a, b, c, 10 - a - b - c) for a in range(11) for b in range(11 - a) for c in range(11 - a - b)]
    base = 0x0123456789ABCDEF
    others = [base ^ sum(((1 << n) - 1) << 16 * band for band, n in enumerate(way)) for way in ways]
    hashes = np.array([base, *others], np.uint64)
    found = found_pairs(hashes)
    assert {(0, place) for place in range(1, len(hashes))} <= found == close_pairs(hashes)


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    first = rng.integers(0, 2**64, 40, dtype=np.uint64)
    hashes = np.concatenate([neighbours(rng, first, 6) for _ in range(4)])
    monkeypatch.setattr(near_duplicates, "CHUNK", 7)
    assert found_pairs(hashes) == close_pairs(hashes)


def test_a_crowd_of_the_same_is_found_though_each_is_compared_with_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST", 20)
    one = sketch(thumbnails(CUTS[:1]))
    many = Sketches(*(np.repeat(part, 400, axis=0) for part in (one.hashes, one.grey, one.colours)))
    assert not groups(many).any(), "all belong to the first"


def test_a_crowd_of_others_ends_after_so_many_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash, other pictures: as X-rays have it."""
    compared = []

    def never(sketches: Sketches, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        compared.append(len(left))
        return np.zeros(len(left), bool)

    monkeypatch.setattr(near_duplicates, "same", never)
    monkeypatch.setattr(near_duplicates, "BLOCK", 64)
    one = sketch(thumbnails(CUTS[:1]))
    many = Sketches(*(np.repeat(part, 600, axis=0) for part in (one.hashes, one.grey, one.colours)))
    assert (groups(many) == np.arange(600)).all()
    assert sum(compared) <= 600 * (near_duplicates.TRIES + 64) < 600 * 599 / 2


# --------------------------------------------------------------------------------------------------------------- hashes


def test_the_hash_is_that_of_the_cosine_transform() -> None:
    pictures = thumbnails(CUTS[:6])
    luma = pictures @ np.array([0.299, 0.587, 0.114])
    for picture, bits in zip(luma, sketch(pictures).hashes, strict=True):
        low = dctn(picture)[:8, :8].ravel()  # unscaled, as here
        expected = low > np.median(low[1:])
        assert (np.unpackbits(np.array([bits]).view(np.uint8)) == expected).mean() > 0.96, (
            "but for rounding at the median"
        )


def test_sketches_do_not_depend_on_their_company() -> None:
    pictures = thumbnails(CUTS[:5])
    one_by_one = joined([sketch(pictures[i : i + 1]) for i in range(5)])
    together = sketch(pictures)
    for name in ("hashes", "grey", "colours"):
        np.testing.assert_array_equal(getattr(one_by_one, name), getattr(together, name))


def test_nothing_and_one() -> None:
    assert groups(joined([])).tolist() == []
    assert groups(sketch(thumbnails(CUTS[:1]))).tolist() == [0]


# ----------------------------------------------------------------------------------------------------------- comparison


def test_a_picture_explains_itself_lighter_and_darker_and_noise_does_not() -> None:
    rng = np.random.default_rng(0)
    grey = sketch(thumbnails(CUTS)).grey.astype(np.float32)
    np.testing.assert_allclose(explained(grey, grey * 0.4 + 30), 1, atol=1e-3)
    noise = rng.normal(128, 40, grey.shape).astype(np.float32)
    assert explained(grey, noise).max() < 0.2 and explained(noise, grey).max() < 0.6


def test_explained_is_the_share_of_a_regression() -> None:
    """Against numpy's least squares, picture by picture."""
    grey = sketch(thumbnails(CUTS)).grey.astype(np.float32)
    a, b = grey[:10], grey[3:13]
    for one, other, share in zip(a.astype(np.float64), b.astype(np.float64), explained(a, b), strict=True):
        y, x = np.mgrid[-1:1:16j, -1:1:16j]
        dy, dx = np.gradient(one)
        ways = np.stack([np.ones_like(one), one, dx, dy, dx * x, dy * y, dx * y, dy * x], -1).reshape(256, 8)
        rest = other.ravel() - ways @ np.linalg.lstsq(ways, other.ravel(), rcond=None)[0]
        assert share == pytest.approx(1 - rest @ rest / (256 * other.var()), abs=0.02)


def test_flat_pictures_are_compared_with_none() -> None:
    plain = [Image.new("RGB", (50, 50), (level,) * 3) for level in (250, 251, 252, 0)]
    sketches = sketch(thumbnails(plain))
    assert sketches.flat.all() and FLAT > 0
    assert groups(sketches).tolist() == [0, 1, 2, 3]


def test_another_colour_is_another_picture_but_grey_is_not() -> None:
    y, x = np.mgrid[:100, :100]
    shape = ((x - 50) ** 2 + (y - 40) ** 2 < 900)[..., None]
    red, blue = (np.where(shape, colour, 240).astype(np.uint8) for colour in ((180, 60, 60), (75, 75, 255)))
    pictures = [Image.fromarray(red), Image.fromarray(blue), Image.fromarray(red).convert("L").convert("RGB")]
    sketches = sketch(thumbnails(pictures))
    assert same(sketches, np.array([0, 0]), np.array([1, 2])).tolist() == [False, True]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_photographs_are_found(change: str) -> None:
    changed = [CHANGES[change](picture) for picture in CUTS]
    found = groups(sketch(thumbnails(CUTS + changed)))
    count = len(CUTS)
    assert (found[:count] == np.arange(count)).all(), "different cuts are different pictures"
    assert (found[count:] == np.arange(count)).mean() >= 0.95


def test_mirrored_and_turned_photographs_are_others() -> None:
    for method in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180):
        found = groups(sketch(thumbnails([*CUTS, *(picture.transpose(method) for picture in CUTS)])))
        assert (found == np.arange(2 * len(CUTS))).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_groups_are_those_of_all_pairs_compared(seed: int) -> None:
    """Independent of bands, chunks and the order of joining: connected components over every pair."""
    rng = np.random.default_rng(seed)
    names = list(CHANGES)
    chosen = [CUTS[i] for i in rng.integers(0, len(CUTS), 14)]
    pictures = [CHANGES[names[rng.integers(len(names))]](picture) for picture in chosen]
    sketches = sketch(thumbnails(pictures))
    close = np.bitwise_count(sketches.hashes[:, None] ^ sketches.hashes[None]) <= RADIUS
    left, right = np.nonzero(close)
    edges = np.zeros((14, 14), bool)
    shown = ~sketches.flat
    edges[left, right] = same(sketches, left, right) & shown[left] & shown[right]
    reach = edges | edges.T | np.eye(14, dtype=bool)
    for _ in range(4):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert groups(sketches).tolist() == reach.argmax(axis=1).tolist()
