"""Why a network answers as it does: where its evidence lies in a picture, and what its layers make of it.

Pictures are uint8 [N, size, size, 3], RGB, exactly what the network takes: what `Model.preprocess` gives. Heat is
float32 [N, size, size] from 0 to 1, the strongest place of each picture 1; a picture with no evidence at all stays 0.
The class that is explained (`target`) is, unless told otherwise, the one that the model predicts.

Only what needs gradients or single layers needs torch, and the weights as they are: the plain network of a model's
file. A model in an ONNX file can be asked for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, unknown
from alexnet.network import architecture as a
from alexnet.network.fields import Field, fields
from alexnet.pictures.decode import Pixels
from alexnet.weights.model import Model
from alexnet.weights.onnx_engine import OnnxEngine

if TYPE_CHECKING:
    from alexnet.weights.torch_engine import TorchEngine

BATCH = 64  # pictures that go through a network for their answers alone

Floats = NDArray[np.float32]
Target = int | str | Sequence[int | str] | None
"""A class by index or name, for all pictures or one for each; None: the predicted class."""


def grad_cam(model: Model, pictures: Pixels, layer: str | None = None, target: Target = None) -> Floats:
    """Heat where the maps of a layer speak for the target (Selvaraju and others 2017).

    The map has the layer's grid; each of its cells stands where the middle of its receptive field lies in the picture,
    which need not be where stretching the map over the picture would put it. `layer`: any that gives maps; by default
    the last convolution's output, after its non-linearity. Raises UsageError.
    """
    return heat(evidence(model, pictures, layer, target))


def evidence(model: Model, pictures: Pixels, layer: str | None = None, target: Target = None) -> Floats:
    """What `grad_cam` is made of, float32 [N, size, size], in the units of the layer's maps and the target's logit."""
    engine = plain(model, "Grad-CAM")
    layer = last_convolution(model.variant) if layer is None else layer
    spread = _field_of(model, layer).spread(model.input.size).astype(np.float32)
    from alexnet.insight import gradients

    maps = gradients.grad_cam(engine, pictures, layer, targets(model, pictures, target))
    return _stacked((_both_ways(spread, batch) for batch in maps), pictures.shape[:3])


def targets(model: Model, pictures: Pixels, target: Target = None) -> NDArray[np.int64]:
    """The class to explain for each picture, int64 [N]. Raises UsageError for a class that the model does not know."""
    if target is None:
        return np.asarray(logits(model, pictures).argmax(axis=1), np.int64)
    if isinstance(target, int | str):
        return np.full(len(pictures), class_index(model.classes, target), np.int64)
    if len(target) != len(pictures):
        raise UsageError(f"{len(target)} target classes for {len(pictures)} pictures; give one, or one for each")
    return np.array([class_index(model.classes, one) for one in target], np.int64)


def logits(model: Model, pictures: Pixels) -> Floats:
    """What `Model.logits` gives for any number of pictures, also for none, a batch at a time."""
    batches = (model.logits(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH))
    return _stacked(batches, (len(pictures), len(model.classes)))


def class_index(classes: Sequence[str], target: int | str) -> int:
    """Place of a class that is given by name or, where no class has that name, by its index. Raises UsageError."""
    if str(target) in classes and not isinstance(target, int):
        return classes.index(str(target))
    try:
        index = int(target)
    except ValueError:
        raise unknown("class", str(target), classes) from None
    if not 0 <= index < len(classes):
        raise UsageError(f"no class {index}: the model's {len(classes)} classes are numbered from 0")
    return index


def last_convolution(variant: a.Variant) -> str:
    """The layer after which the last convolution's maps are complete: its non-linearity. Raises UsageError."""
    names = [name for name, _ in variant.layers]
    places = [i for i, (_, layer) in enumerate(variant.layers) if isinstance(layer, a.Conv | a.Local)]
    if not places:
        raise UsageError(f"{variant.name}: has no convolution")
    end = places[-1]
    while end + 1 < len(names) and isinstance(variant.layers[end + 1][1], a.BatchNorm | a.Nonlinearity):
        end += 1
    return names[end]


def plain(model: Model, what: str) -> TorchEngine:
    """What computes the model, if it can be taken apart. Raises UsageError for an ONNX file."""
    if isinstance(model.engine, OnnxEngine):
        raise UsageError(
            f"{model.engine.path}: {what} needs the network layer by layer, which an ONNX file does not give; take the "
            "model that it was exported from, or explain by occlusion"
        )
    return model.engine  # type: ignore[return-value]


def heat(values: Floats) -> Floats:
    """Each picture's values from 0 to 1: negative ones 0, the largest 1."""
    positive = values.clip(0)
    most = positive.max(axis=(1, 2), keepdims=True).clip(np.finfo(np.float32).tiny)
    result: Floats = positive / most
    return result


def _field_of(model: Model, layer: str) -> Field:
    """The receptive field of a layer that gives maps. Raises UsageError."""
    known = fields(model.variant, model.input.size)
    if layer not in known:
        raise unknown("layer with maps", layer, known)
    return known[layer]


def _both_ways(spread: Floats, maps: Floats) -> Floats:
    """[N, cells, cells] → [N, size, size]."""
    return np.asarray(spread @ maps @ spread.T, np.float32)


def _stacked(batches: Iterable[Floats], shape: tuple[int, ...]) -> Floats:
    """Batches one after the other in one array, which may be of no rows."""
    whole, start = np.empty(shape, np.float32), 0
    for batch in batches:
        whole[start : start + len(batch)] = batch
        start += len(batch)
    return whole
