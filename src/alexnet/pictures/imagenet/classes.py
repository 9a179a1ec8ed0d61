"""The 1,000 classes of ILSVRC 2012, in the order in which Caffe, torchvision, Keras and the ONNX model zoo number them.

`classes.csv` holds WordNet's number (WNID) and a name of each, sorted by number. Names are WordNet's first for the
synset, but for two that would stand twice: "crane" is the machine and "crane bird" the bird, "maillot" and "maillot
tank suit" are two garments. These are torchvision's names too (0.28, `models/_meta.py`), compared one by one with the
first names of the synsets (timm 1.0.31, `imagenet_synsets.txt` and `imagenet_synset_to_lemma.txt`).
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files


@cache
def synsets() -> dict[str, str]:
    """WNID → name, in the order of the outputs."""
    text = files("alexnet.pictures.imagenet").joinpath("classes.csv").read_text("utf-8")
    return dict(csv.reader(text.splitlines()))


def names() -> tuple[str, ...]:
    """The names in the order of the outputs; no two are the same."""
    return tuple(synsets().values())
