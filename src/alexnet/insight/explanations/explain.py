"""Why a network answers as it does: where its evidence lies in a picture, and what its layers make of it.

Pictures are uint8 [N, size, size, 3], RGB, exactly what the network takes: what `Model.preprocess` gives. Heat is
float32 [N, size, size] from 0 to 1, the strongest place of each picture 1; a picture with no evidence at all stays 0.
The class that is explained (`target`) is, unless told otherwise, the one that the model predicts.

Only what needs gradients or single layers needs torch, and the weights as they are: the plain network of a model's
file. A model in an ONNX file can be asked for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from alexnet.errors import UsageError, unknown
from alexnet.insight.explanations import occlusion as covering
from alexnet.insight.explanations.targets import Floats, Target, stacked, targets
from alexnet.network import architecture as a
from alexnet.network.fields import Field, fields
from alexnet.pictures import chance
from alexnet.pictures.decode import Pixels
from alexnet.weights.model import Model
from alexnet.weights.onnx_engine import OnnxEngine

if TYPE_CHECKING:
    from alexnet.weights.torch_engine import TorchEngine

Cam = Literal["mean", "local"]
CAMS: tuple[Cam, ...] = ("mean", "local")
Saliency = Literal["gradient", "guided", "smoothed"]
SALIENCY: tuple[Saliency, ...] = ("gradient", "guided", "smoothed")
HEAT = ("grad-cam", "saliency", "occlusion")
SAMPLES, NOISE, SEED = 25, 0.15, 0  # of SmoothGrad: noisy copies, their deviation as a share of a picture's range


def explain(
    model: Model, pictures: Pixels, method: str = "grad-cam", layer: str | None = None, target: Target = None
) -> Floats:
    """Heat by one of the methods in HEAT, or the `activations` of a layer. Raises UsageError."""
    match method:
        case "grad-cam":
            return grad_cam(model, pictures, layer, target)
        case "saliency":
            return saliency(model, pictures, target)
        case "occlusion":
            return occlusion(model, pictures, target)
        case "activations":
            return activations(model, pictures, last_convolution(model.variant) if layer is None else layer)
    raise unknown("method", method, (*HEAT, "activations"))


def grad_cam(
    model: Model, pictures: Pixels, layer: str | None = None, target: Target = None, kind: Cam = "mean"
) -> Floats:
    """Heat where the maps of a layer speak for the target.

    mean: each map counts by its mean gradient: Grad-CAM (Selvaraju and others 2017). Of networks trained with label
    smoothing it may find nothing for an answer that is right and sure. local: each value counts by its own gradient
    (LayerCAM: Jiang and others 2021).

    The map has the layer's grid; each of its cells stands where the middle of its receptive field lies in the picture,
    which need not be where stretching the map over the picture would put it. `layer`: any that gives maps; by default
    the last convolution's output, after its non-linearity. Raises UsageError.
    """
    return heat(evidence(model, pictures, layer, target, kind))


def evidence(
    model: Model, pictures: Pixels, layer: str | None = None, target: Target = None, kind: Cam = "mean"
) -> Floats:
    """What `grad_cam` scales: float32 [N, size, size], in units of the target's logit."""
    engine = plain(model, "Grad-CAM")
    layer = last_convolution(model.variant) if layer is None else layer
    spread = _field(model, layer).spread(model.input.size).astype(np.float32)
    from alexnet.insight.explanations import gradients

    if kind not in CAMS:
        raise unknown("kind of Grad-CAM", kind, CAMS)
    weigh = {"mean": gradients.mean, "local": gradients.local}[kind]
    maps = gradients.grad_cam(engine, pictures, layer, targets(model, pictures, target), weigh)
    return stacked(((spread @ batch @ spread.T).astype(np.float32) for batch in maps), pictures.shape[:3])


def saliency(model: Model, pictures: Pixels, target: Target = None, kind: Saliency = "gradient") -> Floats:
    """Heat where small changes of the picture change the target's logit most.

    gradient: as it is (Simonyan and others 2014). guided: only through what is positive on the way back (Springenberg
    and others 2015), for networks of ReLUs. smoothed: the mean over noisy copies of the picture (SmoothGrad: Smilkov
    and others 2017); the noise is a table of its own, so that answers repeat. Raises UsageError.
    """
    return heat(sensitivity(model, pictures, target, kind))


def sensitivity(
    model: Model,
    pictures: Pixels,
    target: Target = None,
    kind: Saliency = "gradient",
    samples: int = SAMPLES,
    noise: float = NOISE,
) -> Floats:
    """What `saliency` scales: float32 [N, size, size], the largest change of the target's logit per grey level, of the
    three colours. `samples` and `noise` are for smoothed alone."""
    engine = plain(model, "saliency")
    chosen = targets(model, pictures, target)
    from alexnet.insight.explanations import gradients

    shown = pictures.astype(np.float32)
    match kind:
        case "gradient":
            found = gradients.picture_gradients(engine, engine.plain, shown, chosen)
        case "guided" if any(isinstance(layer, a.ReLU) for _, layer in model.variant.layers):
            found = gradients.picture_gradients(engine, gradients.guided(engine.plain), shown, chosen)
        case "guided":
            raise UsageError(f"{model.variant.name}: has no ReLUs to be guided through; take gradient or smoothed")
        case "smoothed":
            deviation = noise * _range(shown)
            found = np.zeros_like(shown)
            for sample in range(samples):
                noisy = shown + deviation * normal(sample, shown.shape[1:])
                found += gradients.picture_gradients(engine, engine.plain, noisy, chosen) / np.float32(samples)
        case _:
            raise unknown("kind of saliency", kind, SALIENCY)
    return np.asarray(abs(found).max(axis=3), np.float32)


def occlusion(
    model: Model,
    pictures: Pixels,
    target: Target = None,
    window: int | None = None,
    stride: int | None = None,
    fill: tuple[int, int, int] | None = None,
) -> Floats:
    """Heat where covering a `window` x `window` square, moved by `stride` pixels, lowers the target's probability.

    `fill`: red, green and blue of the cover; by default the mean colour by the input rule. Works for ONNX models too.
    Raises UsageError.
    """
    return heat(drops(model, pictures, target, window, stride, fill))


def drops(
    model: Model,
    pictures: Pixels,
    target: Target = None,
    window: int | None = None,
    stride: int | None = None,
    fill: tuple[int, int, int] | None = None,
) -> Floats:
    """What `occlusion` scales: float32 [N, size, size], by how much the logarithm of the target's probability falls."""
    how = covering.windows(model.input.size, window, stride)
    return covering.drops(model, pictures, targets(model, pictures, target), *how, fill or covering.cover(model.input))


def activations(model: Model, pictures: Pixels, layer: str) -> Floats:
    """What comes out of a layer: float32 [N, channels, height, width], or [N, units]. Raises UsageError."""
    engine, form = plain(model, "a layer's activations"), shape(model, layer)
    from alexnet.insight.explanations import gradients

    return stacked(gradients.outputs(engine, pictures, layer), (len(pictures), *form))


def shape(model: Model, layer: str) -> a.Shape:
    """What a layer gives for one picture: (channels, height, width), or (units,). Raises UsageError."""
    shapes = {row.name: row.output for row in a.walk(model.variant, model.input.size)}
    if layer not in shapes:
        raise unknown("layer", layer, shapes)
    return shapes[layer]


def plain(model: Model, what: str) -> TorchEngine:
    """What computes the model, if it can be taken apart. Raises UsageError for an ONNX file."""
    if isinstance(model.engine, OnnxEngine):
        raise UsageError(
            f"{model.engine.path}: {what} needs the network layer by layer, which an ONNX file does not give; take the "
            "model that it was exported from, or explain by occlusion"
        )
    return model.engine  # type: ignore[return-value]


def convolutions(variant: a.Variant) -> list[str]:
    """The layers after which a convolution's maps are complete: each one's non-linearity, if it has one."""
    found = []
    for place, (_, layer) in enumerate(variant.layers):
        if isinstance(layer, a.Conv | a.Local):
            found.append(_completed(variant.layers, place))
    return found


def last_convolution(variant: a.Variant) -> str:
    """The last of `convolutions`. Raises UsageError."""
    if found := convolutions(variant):
        return found[-1]
    raise UsageError(f"{variant.name}: has no convolution")


def heat(values: Floats) -> Floats:
    """Each picture's values from 0 to 1: negative ones 0, the largest 1."""
    positive = values.clip(0)
    most = positive.max(axis=(1, 2), keepdims=True).clip(np.finfo(np.float32).tiny)
    result: Floats = positive / most
    return result


def normal(sample: int, shape: tuple[int, ...]) -> Floats:
    """Normally distributed noise of deviation 1, the same for every picture (Box and Muller's transform)."""
    count = math.prod(shape)
    first, second = chance.uniform(SEED, "saliency", sample, 0, 2 * count).reshape(2, *shape)
    return np.asarray(np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second), np.float32)


def _range(pictures: Floats) -> Floats:
    """From each picture's darkest value to its brightest, [N, 1, 1, 1]."""
    return np.asarray(np.ptp(pictures, axis=(1, 2, 3)), np.float32)[:, None, None, None]


def _completed(layers: Sequence[tuple[str, a.Layer]], place: int) -> str:
    """The layer that a layer's normalisation and non-linearity end with."""
    while place + 1 < len(layers) and isinstance(layers[place + 1][1], a.BatchNorm | a.Nonlinearity):
        place += 1
    return layers[place][0]


def _field(model: Model, layer: str) -> Field:
    """The receptive field of a layer that gives maps. Raises UsageError."""
    known = fields(model.variant, model.input.size)
    if layer not in known:
        raise unknown("layer with maps", layer, known)
    return known[layer]
