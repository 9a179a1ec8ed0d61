"""Every odd picture is shown as a viewer shows it, or refused with the reason."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from odd_pictures import Odd, everything

from alexnet.errors import PictureError
from alexnet.pictures.decode import decode

ALL = everything()


def test_there_are_many_and_none_twice() -> None:
    assert len(ALL) >= 150
    assert len({odd.name for odd in ALL}) == len(ALL)


@pytest.mark.parametrize("odd", ALL, ids=lambda odd: odd.name)
def test_odd_picture(odd: Odd) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in use
        if odd.pixels is None:
            for _ in range(2):  # a second try must not succeed
                with pytest.raises(PictureError) as caught:
                    decode(odd.data)
                assert odd.refused in str(caught.value) and "\n" not in str(caught.value)
            return
        picture = decode(odd.data)
        again = decode(odd.data)
    assert picture.mode == "RGB" and picture.tobytes() == again.tobytes()
    shown = np.asarray(picture).astype(float)
    assert shown.shape == odd.pixels.shape
    difference = np.abs(shown - odd.pixels)
    assert difference.max() <= odd.largest or (odd.mean < 255 and difference.mean() <= odd.mean)
