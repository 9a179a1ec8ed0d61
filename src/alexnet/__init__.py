"""AlexNet, faithfully and completely, and a fast, practical classifier for anyone's pictures.

    import alexnet

    result = alexnet.train("photos/")                  # a folder with one folder of pictures a class
    model = alexnet.load(result["run"])
    model.predict("cat.jpg")

Names are looked up on first use, so that importing the package loads neither torch nor Pillow.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"  # the only place: pyproject.toml reads it here

_HOMES = {
    "AlexNetError": "alexnet.errors:AlexNetError",
    "build": "alexnet.network.model:build",
    "data": "alexnet.pictures.prepare:open_store",
    "evaluate": "alexnet.evaluation.evaluate:evaluate",
    "from_pretrained": "alexnet.weights.hub:from_pretrained",
    "load": "alexnet.weights.model:load",
    "save_pretrained": "alexnet.weights.hub:save_pretrained",
    "train": "alexnet.run:train",
}

__all__ = [
    "AlexNetError",
    "__version__",
    "build",
    "data",
    "evaluate",
    "from_pretrained",
    "load",
    "save_pretrained",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'alexnet' has no attribute {name!r}")
    module, attribute = _HOMES[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
