"""What the tests of other libraries' files share: photographs, and what a network that was read says of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from alexnet.network.layers import Pixels
from alexnet.network.model import skeleton
from alexnet.weights import files
from alexnet.weights.formats.foreign import Foreign


@pytest.fixture(scope="session")
def pictures() -> Callable[[int], np.ndarray]:
    """Crops of two photographs."""

    def crops(side: int) -> np.ndarray:
        photos = load_sample_images().images
        down, right = (length - side for length in photos[0].shape[:2])
        places = [(0, 0), (down, right), (down // 2, right // 3), (down // 3, right)]
        return np.stack([photo[y : y + side, x : x + side] for photo in photos for y, x in places])

    return crops


@pytest.fixture(scope="session")
def logits() -> Callable[[Foreign, np.ndarray], np.ndarray]:
    """What our network of a file's variant and tensors says."""

    def said(foreign: Foreign, pictures: np.ndarray) -> np.ndarray:
        tensors = dict(foreign.tensors)
        pixels = Pixels(foreign.input, tensors.pop(files.MEAN_PICTURE, None))
        network = skeleton(foreign.variant, foreign.input.size)
        network.load_state_dict(tensors, assign=True)
        with torch.inference_mode():
            return network.eval()(pixels(torch.from_numpy(np.ascontiguousarray(pictures)))).numpy()

    return said
