"""The networks for `torch.hub`: an entry for each variant, and `model`. The clone need not be installed.

    torch.hub.load("owner/alexnet", "krizhevsky_2012", classes=2)
    torch.hub.load("owner/alexnet", "krizhevsky_2012", weights="runs/photos")
    torch.hub.load("owner/alexnet", "model", "runs/photos").predict("cat.jpg")

Whatever can be called here and does not begin with an underscore is an entry to `torch.hub.list`.
"""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING

_source = str(pathlib.Path(__file__).resolve().parent / "src")
if _source not in sys.path:  # for good: the package imports most of itself when it is needed
    sys.path.insert(0, _source)

import alexnet  # noqa: E402
from alexnet import errors  # noqa: E402
from alexnet.network import variants  # noqa: E402

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from torch import nn

    from alexnet.weights.model import Model

dependencies = ["torch", "numpy", "PIL", "safetensors"]


def model(path: str | os.PathLike[str], device: str = "cpu") -> Model:
    """A model ready for use, as `alexnet.load` gives it, from a run folder or a model file.

    Takes pictures of any size and answers with class names: `.predict(pictures)`, `.logits(uint8)`,
    `.preprocess(pictures)`, `.classes`, `.input`. Raises UsageError when there is none, WeightsError for a damaged one.
    """
    loaded: Model = alexnet.load(path, device)
    return loaded


def _entry(name: str) -> Callable[..., nn.Sequential]:
    def entry(
        classes: int | None = None,
        channels: int | None = None,
        size: int | None = None,
        seed: int = 0,
        weights: str | os.PathLike[str] | None = None,
    ) -> nn.Sequential:
        if weights is None:
            network: nn.Sequential = alexnet.build(name, classes, channels, size, seed)
            return network
        if (classes, channels, size, seed) != (None, None, None, 0):
            raise errors.UsageError(f"{weights}: classes, channels and size are the file's own; leave them out")
        return _trained(name, weights)

    value = variants.variant(name)
    entry.__name__ = entry.__qualname__ = name.replace("-", "_")
    entry.__doc__ = f"""{value.title} ({value.source}).

    A flat nn.Sequential that takes float [N, {value.channels}, {value.size}, {value.size}] and returns logits
    [N, {value.classes}]. `classes`, `channels` and `size` (of the input) may differ from that. Initial weights are
    drawn from `seed`; in training mode.

    With `weights`, a run folder or model file of this network: as it was trained, batch normalisation's statistics
    included, in evaluation mode. `alexnet.load(weights).input` says what is subtracted from pictures and how they are
    scaled; the entry `model` does it by itself. Raises UsageError when there is no such model, WeightsError when it is
    damaged.
    """
    return entry


def _trained(name: str, weights: str | os.PathLike[str]) -> nn.Sequential:
    from alexnet.weights import files, torch_engine

    path = files.locate(weights)
    description = files.describe(path)
    if description.variant.name != name:
        raise errors.UsageError(f"{weights}: its network is {description.variant.name}, not {name}; take that entry")
    network, _ = torch_engine.assemble(path, description)
    return network.requires_grad_(True)


globals().update({name.replace("-", "_"): _entry(name) for name in variants.VARIANTS})
