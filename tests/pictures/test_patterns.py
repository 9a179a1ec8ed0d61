"""The drawn data set: the same everywhere, fair, and with nothing but the pattern to tell its classes apart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import f_classif
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from alexnet.pictures.patterns import CLASSES, COUNTS, SIZE, draw, label

TRAIN, TEST = 500, 200  # how many pictures of each part these tests look at


class Sample(NamedTuple):
    """N pictures: class [N], means over 8x8 pixels [N, 3072], measured facts each [N], spectra of patches [N, 200]."""

    labels: NDArray[np.int64]
    small: NDArray[np.float64]
    facts: dict[str, NDArray[np.float64]]
    spectra: NDArray[np.float64]


@pytest.fixture(scope="module")
def sample() -> Sample:
    """The first pictures of both parts."""
    indices = [*range(TRAIN), *range(COUNTS["train"], COUNTS["train"] + TEST)]
    with ThreadPoolExecutor(2) as pool:
        small, facts, spectra = zip(*pool.map(measure, indices), strict=True)
    columns = {name: np.array([row[name] for row in facts]) for name in facts[0]}
    return Sample(np.array([label(i) for i in indices]), np.stack(small), columns, np.stack(spectra))


def measure(index: int) -> tuple[NDArray[np.float64], dict[str, float], NDArray[np.float64]]:
    """Small picture, facts and spectrum of one picture."""
    picture, mask = draw(index)
    rows, columns = np.nonzero(mask)
    patch, ground = picture[mask].mean(axis=0), picture[~mask].mean(axis=0)
    facts = {
        "area": float(mask.mean()),
        "row": float(rows.mean()),
        "column": float(columns.mean()),
        "width": float(np.ptp(columns)),
        "height": float(np.ptp(rows)),
        **{f"patch {name}": float(value) for name, value in zip("rgb", patch, strict=True)},
        **{f"ground {name}": float(value) for name, value in zip("rgb", ground, strict=True)},
        "relief": relief(picture, mask),
    }
    return shrink(picture, 8).ravel(), facts, spectrum(picture, mask)


def shrink(picture: NDArray[np.uint8], factor: int) -> NDArray[np.float64]:
    """Means over squares of `factor` pixels."""
    side = SIZE // factor
    rows = picture.reshape(side, factor, -1).mean(axis=1)
    means: NDArray[np.float64] = rows.reshape(side, side, factor, -1).mean(axis=2)
    return means


def relief(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """How much rougher the picture is inside the mask than outside, away from its edge and above the grain."""
    coarse = shrink(picture, 4)
    share = shrink(mask[..., None].astype(np.uint8), 4)[..., 0]
    rough = np.abs(np.diff(coarse, axis=1)).sum(axis=2)
    inside, outside = ((share[:, 1:] == value) & (share[:, :-1] == value) for value in (1, 0))
    return float(rough[inside].mean() / rough[outside].mean())


def spectrum(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logarithmic spectrum of the patch alone, blind to colours and place: what a texture looks like."""
    grey, mask = shrink(picture, 2).mean(axis=2), mask[::2, ::2]
    grey = np.where(mask, grey - grey[mask].mean(), 0)
    grey /= grey.std()
    power = np.abs(np.fft.rfft2(grey))[:, :40] ** 2
    power = np.concatenate([power[:40], power[-40:]]).reshape(20, 4, 10, 4).sum(axis=(1, 3))
    return np.asarray(np.log(power + 1)).ravel()


def test_classes_are_ten_sorted_words() -> None:
    assert len(set(CLASSES)) == 10
    assert list(CLASSES) == sorted(CLASSES)
    assert all(name.isascii() and name.isalpha() and name.islower() for name in CLASSES)


def test_both_parts_hold_each_class_equally_often() -> None:
    labels = [label(i) for i in range(sum(COUNTS.values()))]
    for part in (labels[: COUNTS["train"]], labels[COUNTS["train"] :]):
        assert set(np.bincount(part, minlength=len(CLASSES))) == {len(part) // len(CLASSES)}


def test_a_picture_is_bytes_and_a_mask() -> None:
    picture, mask = draw(0)
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    assert mask.shape == (SIZE, SIZE) and mask.dtype == np.bool_
    assert picture.flags.c_contiguous and picture.flags.writeable


def test_a_picture_depends_on_its_index_alone() -> None:
    indices = [7, 3, 4999, 3, 17, 0] * 4
    alone = {i: draw(i) for i in sorted(set(indices))}
    assert len({picture.tobytes() for picture, _ in alone.values()}) == len(alone)
    with ThreadPoolExecutor(4) as pool:
        for index, (picture, mask) in zip(indices, pool.map(draw, indices), strict=True):
            np.testing.assert_array_equal(picture, alone[index][0])
            np.testing.assert_array_equal(mask, alone[index][1])


def test_pictures_are_those_the_published_results_were_measured_on() -> None:
    means = [draw(i)[0].mean(axis=(0, 1)) for i in (0, 2012, 4999)]
    np.testing.assert_allclose(means, [[163.7, 167.0, 156.1], [170.4, 158.8, 142.4], [162.2, 155.4, 149.6]], atol=0.1)


def test_patches_cover_a_tenth_to_four_tenths(sample: Sample) -> None:
    area = sample.facts["area"]
    assert 0.1 < area.min() < 0.15
    assert 0.33 < area.max() < 0.4


def test_the_pattern_is_inside_the_mask(sample: Sample) -> None:
    assert sample.facts["relief"].min() > 1.2
    assert np.median(sample.facts["relief"]) > 4


def test_only_the_pattern_depends_on_the_class(sample: Sample) -> None:
    facts = {name: values for name, values in sample.facts.items() if name != "relief"}
    chances = f_classif(np.stack(list(facts.values()), axis=1), sample.labels)[1]
    assert min(chances) > 0.001, dict(zip(facts, chances, strict=True))


def test_no_two_pictures_are_nearly_the_same(sample: Sample) -> None:
    alike = np.corrcoef(sample.small) - np.eye(TRAIN + TEST)
    assert alike.max() < 0.95


def test_colours_and_places_do_not_give_the_class_away(sample: Sample) -> None:
    pixels = StandardScaler().fit_transform(sample.small)
    model = RidgeClassifier(alpha=100).fit(pixels[:TRAIN], sample.labels[:TRAIN])
    assert model.score(pixels[TRAIN:], sample.labels[TRAIN:]) < 0.25


def test_the_texture_of_the_patch_gives_the_class_away(sample: Sample) -> None:
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5)
    model.fit(sample.spectra[:TRAIN], sample.labels[:TRAIN])
    assert model.score(sample.spectra[TRAIN:], sample.labels[TRAIN:]) > 0.6
