"""What the tests of other libraries' files share: photographs, what a network that was read says of them, and what must
hold of every file that is refused."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from alexnet.errors import WeightsError
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


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """Has a hostile file read, holds the promise about such (exit 4 at once, in one line that names the file, at little
    cost, nothing in it run, which would leave a `marker` beside it), and gives the line."""

    def said(read: Callable[[Path], Any], path: Path, reason: str = ".") -> str:
        memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        with pytest.raises(WeightsError, match=reason) as refused:
            read(path)
        assert time.process_time() - start < 2
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 2**18  # KiB
        line = str(refused.value)
        assert refused.value.exit_code == 4 and line.startswith(str(path))
        assert "\n" not in line and len(line) < 4000
        assert not path.with_name("marker").exists()
        return line

    return said
