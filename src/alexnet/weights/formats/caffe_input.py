"""How the pictures are that Caffe's networks take, and the files that hold their mean."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import LUMA, MOST_SIDE, Input
from alexnet.pictures import views
from alexnet.weights import files
from alexnet.weights.formats import protobuf
from alexnet.weights.formats.caffe_layers import SOURCES, Layer, blob
from alexnet.weights.formats.foreign import MEAN_AND_SCALE, PICTURE_SIZE, RESIZE_RULE
from alexnet.weights.formats.protobuf import Message

if TYPE_CHECKING:
    from torch import Tensor

INPUT_DIM, INPUT_SHAPE = 4, 8  # of a net
SIZE, STORED = 227, 256  # pixels a side: what the networks see, and what examples/imagenet has convert_imageset make
MEAN = (104.00699, 116.66877, 122.67891)  # of ILSVRC-2012's training pictures, BGR: ilsvrc_2012_mean.npy's averages


def imagenet_rule(size: int, channels: int) -> Input:
    """How Caffe's networks of ImageNet take their pictures."""
    mean = MEAN if channels == 3 else (float(np.dot(MEAN, LUMA[::-1])),)
    order: Literal["BGR", "grey"] = "BGR" if channels == 3 else "grey"
    return Input(size, max(STORED, size), "squash", order=order, mean=mean, scale=(1.0,) * channels)


def input_rule(path: Path, message: Message, layers: Sequence[Layer], channels: int) -> tuple[Input, tuple[str, ...]]:
    """What the file says of its pictures; the rest as with Caffe's networks of ImageNet, and what that rest is."""
    if channels not in (1, 3):
        raise WeightsError(f"{path}: takes pictures of {channels} channels; 1 and 3 are read")
    guessed = [RESIZE_RULE]
    sides = _sides(message, layers)
    if not sides:
        guessed.append(PICTURE_SIZE)
        sides = {SIZE}
    size = min(sides)
    if len(sides) > 1 or not 0 < size <= MOST_SIDE:
        raise WeightsError(f"{path}: takes pictures of {sorted(sides)!s:.60} pixels a side")
    rule = imagenet_rule(size, channels)
    feeds = [layer.settings for layer in layers if layer.kind in SOURCES and layer.kind != "Input"]
    for settings in feeds[-1:]:
        rule = dataclasses.replace(rule, scale=(settings.real("scale", 1.0),) * channels)
        values = settings.reals("mean_value")
        if len(values) in (1, channels):
            return dataclasses.replace(rule, mean=tuple(values * (channels // len(values)))), tuple(guessed)
        if not settings.given("mean_file"):
            return dataclasses.replace(rule, mean=(0.0,) * channels), tuple(guessed)
    return rule, (*guessed, MEAN_AND_SCALE)


def _sides(message: Message, layers: Sequence[Layer]) -> set[int]:
    """The sides of the pictures that the file tells of."""
    sides = {*message.integers(INPUT_DIM)[2:4]}
    for shape in message.messages(INPUT_SHAPE):
        sides |= {*shape.integers(1)[2:4]}
    for layer in layers:
        if layer.kind == "Input":
            for shape in layer.settings.message.messages(1):
                sides |= {*shape.integers(1)[2:4]}
        elif layer.kind in SOURCES:
            sides |= {*layer.settings.integers("crop_size")[-1:]} - {0}
    return sides


def with_mean(rule: Input, path: Path) -> tuple[Input, dict[str, Tensor]]:
    """The rule with the mean from a `.binaryproto` or `.npy` file, and the mean picture, if it is one of colours.

    Raises UsageError where there is no such file, WeightsError for one that is refused.
    """
    import torch

    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such file; expected a mean, as .binaryproto or .npy")
    mean = _mean(path)
    if mean.ndim not in (1, 3) or mean.shape[0] != len(rule.mean) or mean.shape[1:] not in ((), (mean.shape[-1],) * 2):
        raise WeightsError(f"{path}: a mean of shape {mean.shape}, for pictures of {len(rule.mean)} channels")
    if not np.isfinite(mean).all():
        raise WeightsError(f"{path}: holds values that are not finite")
    mean = mean[::-1] if rule.order == "RGB" else mean
    values = tuple(map(float, mean.reshape(len(mean), -1).mean(axis=1, dtype=np.float64)))
    rule = dataclasses.replace(rule, mean=values)
    if mean.ndim == 1 or rule.order == "grey":
        return rule, {}
    side = mean.shape[-1]
    if side < rule.size:
        raise WeightsError(f"{path}: a mean picture of {side} pixels a side is smaller than the input, {rule.size}")
    rule = dataclasses.replace(rule, mean_picture=True, stored=rule.stored if side == rule.size else side)
    centre = views.centre(mean.transpose(1, 2, 0)[None], rule.size)[0]
    return rule, {files.MEAN_PICTURE: torch.from_numpy(np.array(centre, np.float32, order="C"))}


def _mean(path: Path) -> NDArray[np.float32]:
    """Means in Caffe's order: [C, H, W] of a `.binaryproto` or `.npy`, or [C] of a `.npy`."""
    if path.suffix != ".npy":
        values = blob(f"{path}: the mean", protobuf.opened(path))
        return values[0] if values.ndim == 4 and len(values) == 1 else values
    try:
        found = np.lib.format.open_memmap(path, mode="r")  # reads no pickle, and no more than the file holds
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise WeightsError(f"{path}: not a whole .npy file of numbers: {' '.join(str(error).split())}") from None
    if found.dtype.kind != "f" or not found.size:
        raise WeightsError(
            f"{path}: holds {found.dtype} of shape {found.shape}, not the floating-point numbers of a mean"
        )
    return found.astype(np.float32)
