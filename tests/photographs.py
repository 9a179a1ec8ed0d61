"""Real pictures for tests: cuts of the two photographs that come with scikit-learn."""

from __future__ import annotations

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

PHOTOGRAPHS = [Image.fromarray(photograph) for photograph in load_sample_images().images]


def cuts(count, size, side=300):
    """uint8 [count, size, size, 3]: squares of `side` pixels from here and there, scaled."""
    corners = [(37 * number % 300, 23 * number % 120) for number in range(count)]
    boxes = [(left, top, left + side, top + side) for left, top in corners]
    pictures = [PHOTOGRAPHS[number % 2].resize((size, size), box=box) for number, box in enumerate(boxes)]
    return np.stack([np.asarray(picture) for picture in pictures])
