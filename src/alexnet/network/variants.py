"""The networks by name. Each is a list of layers with the source of its numbers, written in `families`.

A variant is made by a function of the number of classes and of input channels; an ablation edits its parent.
`# PAPER §x:` marks every place where we differ from Krizhevsky, Sutskever and Hinton (2012) or had to read it.
"""

from __future__ import annotations

from collections.abc import Callable

from alexnet.errors import UsageError, unknown
from alexnet.network.architecture import Variant
from alexnet.network.families.articles import single_column
from alexnet.network.families.frameworks import torchvision
from alexnet.network.families.lenet import lenet_5
from alexnet.network.families.paper import batch_norm, krizhevsky_2012

VARIANTS: dict[str, Callable[..., Variant]] = {
    "krizhevsky-2012": krizhevsky_2012,
    "single-column": single_column,
    "torchvision": torchvision,
    "batch-norm": batch_norm,
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
