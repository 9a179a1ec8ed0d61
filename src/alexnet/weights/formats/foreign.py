"""A network from another library's file, brought to our names and our order of values, with its input rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from alexnet.network.architecture import Input, Variant

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Foreign:
    """What a reader of `formats` returns.

    `tensors`: float32, dense, finite, named and shaped as `network.model.skeleton(variant, input.size)` wants them,
    and `files.MEAN_PICTURE` where `input.mean_picture`. `guessed`: what the file does not say and was therefore taken
    from how such networks are used, in words for the user ("class names", "mean and scale", …).
    """

    format: str
    variant: Variant
    tensors: dict[str, Tensor]
    input: Input
    classes: tuple[str, ...] | None = None
    guessed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hints:
    """What a user adds to what a file says; None leaves it to the file."""

    variant: Variant | None = None
    resize: Literal["crop", "squash", "pad"] | None = None
    mean: str | None = None  # a mean file: .binaryproto or .npy
