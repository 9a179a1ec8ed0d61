"""The networks by name. Each is a list of layers with the source of its numbers, written in `families`.

A variant is made by a function of the number of classes and of input channels; an ablation edits its parent.
`# PAPER §x:` marks every place where we differ from Krizhevsky, Sutskever and Hinton (2012) or had to read it.
"""

from __future__ import annotations

from collections.abc import Callable

from alexnet.errors import UsageError, unknown
from alexnet.network.architecture import Variant
from alexnet.network.families.articles import arham_pytorch, le_keras, single_column, yenigun_batch_norm
from alexnet.network.families.cifar import (
    cifar_11pct,
    cifar_13pct,
    cifar_18pct,
    figure_1_relu,
    figure_1_sigmoid,
    figure_1_tanh,
)
from alexnet.network.families.frameworks import bvlc_alexnet, caffenet, torchvision
from alexnet.network.families.lenet import lenet_5
from alexnet.network.families.paper import batch_norm, krizhevsky_2012
from alexnet.network.families.source import half_width, no_normalisation, no_overlap, one_weird_trick, source_145

VARIANTS: dict[str, Callable[..., Variant]] = {
    "krizhevsky-2012": krizhevsky_2012,
    "batch-norm": batch_norm,
    "source-145": source_145,
    "no-normalisation": no_normalisation,
    "no-overlap": no_overlap,
    "half-width": half_width,
    "one-weird-trick": one_weird_trick,
    "bvlc-alexnet": bvlc_alexnet,
    "caffenet": caffenet,
    "torchvision": torchvision,
    "single-column": single_column,
    "le-keras": le_keras,
    "yenigun-batch-norm": yenigun_batch_norm,
    "arham-pytorch": arham_pytorch,
    "cifar-18pct": cifar_18pct,
    "cifar-13pct": cifar_13pct,
    "cifar-11pct": cifar_11pct,
    "figure-1-relu": figure_1_relu,
    "figure-1-tanh": figure_1_tanh,
    "figure-1-sigmoid": figure_1_sigmoid,
    "lenet-5": lenet_5,
}


def variant(name: str, classes: int | None = None, channels: int | None = None) -> Variant:
    """The variant called `name`, at its published number of classes and channels unless told otherwise.

    Raises UsageError for an unknown name or for numbers below 1.
    """
    if name not in VARIANTS:
        raise unknown("variant", name, VARIANTS)
    given = {key: value for key, value in {"classes": classes, "channels": channels}.items() if value is not None}
    for key, value in given.items():
        if value < 1:
            raise UsageError(f"{name}: {key} must be at least 1, not {value}")
    return VARIANTS[name](**given)
