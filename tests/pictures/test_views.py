"""What the network is shown in use: the centre, or the paper's ten views."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet.errors import UsageError
from alexnet.pictures.views import centre, views


def numbered(side: int, channels: int = 3) -> np.ndarray:
    """Two pictures in which almost every pixel has a value of its own."""
    return np.random.default_rng(7).integers(0, 256, (2, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize(("side", "size", "first"), [(8, 4, 2), (9, 5, 2), (256, 224, 16), (256, 227, 14), (7, 7, 0)])
def test_centre_leaves_the_same_margin_on_all_sides(side: int, size: int, first: int) -> None:
    """Where the margin is odd, the pixel more lies right and below."""
    pictures = numbered(side)
    np.testing.assert_array_equal(centre(pictures, size), pictures[:, first : first + size, first : first + size, :])


@pytest.mark.parametrize("channels", [1, 3])
def test_one_view_is_the_centre(channels: int) -> None:
    pictures = numbered(10, channels)
    (view,) = views(pictures, 6)
    np.testing.assert_array_equal(view, pictures[:, 2:8, 2:8])


def test_ten_views_are_corners_and_centre_each_with_its_mirror_image() -> None:
    """Paper §4.1: "the four corner patches and the center patch as well as their horizontal reflections"."""
    pictures = numbered(10)
    patches = [
        pictures[:, :6, :6],
        pictures[:, :6, 4:],
        pictures[:, 4:, :6],
        pictures[:, 4:, 4:],
        pictures[:, 2:8, 2:8],
    ]
    given = list(views(pictures, 6, 10))
    assert len(given) == 10
    for patch, view, mirrored in zip(patches, given[::2], given[1::2], strict=True):
        np.testing.assert_array_equal(view, patch)
        np.testing.assert_array_equal(mirrored, np.stack([np.fliplr(picture) for picture in patch]))


@pytest.mark.parametrize("count", [-1, 0, 2, 5, 9, 11])
def test_other_numbers_of_views_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match=str(count)) as caught:
        list(views(numbered(10), 6, count))
    assert caught.value.exit_code == 2
