"""Slow work of a model process: explanations and layers drawn as pictures, one at a time."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from alexnet.errors import UsageError
from alexnet.insight.explanations import explain, kernels, panels
from alexnet.network.architecture import Conv
from alexnet.pictures import views
from alexnet.pictures.decode import Pixels
from alexnet.use.server.problems import Problem
from alexnet.weights.model import Model
from alexnet.weights.onnx_engine import OnnxEngine

METHODS = ("grad-cam", "occlusion", "saliency", "activations", "input")
WITHOUT_LAYERS = ("occlusion", "input")  # what needs neither gradients nor single layers


def methods(model: Model) -> list[str]:
    """The methods that the model's file allows."""
    if isinstance(model.engine, OnnxEngine):
        return list(WITHOUT_LAYERS)
    drawn = any(isinstance(layer, Conv) for _, layer in model.variant.layers)
    return [method for method in METHODS if drawn or method != "grad-cam"]


def explanation(model: Model, stored: Pixels, ask: dict[str, Any]) -> bytes:
    """A PNG: heat over the crop that the network sees, or heat alone as colours that let through what is cold; all the
    maps of a layer; or the crop itself. Raises Problem."""
    layer, target = ask["layer"], ask["target"]
    method = ask["method"] or methods(model)[0]
    if method not in methods(model):
        raise Problem(422, f"{method} needs the network layer by layer, which an ONNX file does not give")
    if layer is not None and layer not in dict(model.variant.layers):
        raise Problem(404, f"there is no layer {layer}")
    if target is not None and target >= len(model.classes):
        raise Problem(404, f"there is no class {target}; the last one is {len(model.classes) - 1}")
    seen = views.centre(np.stack([stored]), model.input.size)
    if method == "input":
        return png(panels.as_seen(seen, model.input)[0])
    try:
        found = explain.explain(model, seen, method, layer, target)[0]
    except UsageError as error:  # a layer that gives no maps
        raise Problem(404, str(error)) from None
    if method == "activations":
        return png(panels.maps(found))
    if ask["output"] == "map":
        return png(panels.heat_colours(found))
    return png(panels.overlay(panels.as_seen(seen, model.input)[0], found))


def first_kernels(model: Model) -> bytes:
    """The first convolution's kernels as a PNG. Raises Problem for a network without one."""
    try:
        return png(panels.kernels(kernels.kernels(model), kernels.columns(model.variant)))
    except UsageError as error:
        raise Problem(404, str(error)) from None


def png(picture: Pixels) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(data, "PNG")
    return data.getvalue()
