"""A network from another library's file, brought to our names and our order of values, with its input rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alexnet.network.architecture import Input, Variant

if TYPE_CHECKING:
    from torch import Tensor


# What a file may not say, in words for the user.
CLASS_NAMES, RESIZE_RULE, MEAN_AND_SCALE = "class names", "resize rule", "mean and scale"
PICTURE_SIZE, CHANNEL_ORDER = "picture size", "channel order"


@dataclass(frozen=True)
class Foreign:
    """What a reader of `formats` returns.

    `tensors`: float32, dense, finite, named and shaped as `network.model.skeleton(variant, input.size)` wants them,
    and `files.MEAN_PICTURE` where `input.mean_picture`. `guessed`: what the file does not say and was therefore taken
    from how such networks are used: some of the words above.
    """

    format: str
    variant: Variant
    tensors: dict[str, Tensor]
    input: Input
    classes: tuple[str, ...] | None = None
    guessed: tuple[str, ...] = ()
