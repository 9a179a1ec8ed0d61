"""The first convolution's kernels (paper, figure 3): of a model, and of each epoch of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alexnet.errors import UsageError
from alexnet.insight.explanations.targets import Floats
from alexnet.network import architecture as a
from alexnet.network.architecture import Input, Variant
from alexnet.weights.model import Model
from alexnet.weights.onnx_engine import OnnxEngine


def kernels(model: Model) -> Floats:
    """Weights of the first convolution, float32 [K, channels, k, k], channels as red, green and blue or one of grey.

    Of an ONNX file they are what it computes with: times the factor of a batch normalisation that was folded away.
    Raises UsageError for a network without convolutions.
    """
    name = f"{_first(model.variant)}.weight"
    if isinstance(model.engine, OnnxEngine):
        weights = model.engine.weight(name)
    else:
        weights = model.engine.plain.get_parameter(name).cpu().numpy()  # type: ignore[attr-defined]
    return in_order(weights, model.input)


def columns(variant: Variant) -> int:
    """Into how many columns the kernels divide, as on the paper's two GPUs: what the next convolution's groups say."""
    later = [layer for _, layer in variant.layers if isinstance(layer, a.Conv)][1:2]
    return next((layer.groups for layer in later), 1)


def epochs(run: Path, rule: Input) -> list[tuple[int, Floats]]:
    """The kernels that a run kept, as (epoch, weights), in order; none for what is no run folder. Raises UsageError."""
    found = []
    for file in sorted((run / "kernels").glob("*.npy")):
        try:
            weights = np.load(file, allow_pickle=False)
            found.append((int(file.stem), in_order(weights.reshape(weights.shape[:4]), rule)))
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"{file}: not an epoch's kernels: {error}; remove it to go on without") from None
    return found


def in_order(weights: Floats, rule: Input) -> Floats:
    """With channels as red, green and blue, whatever order the network takes them in."""
    return np.ascontiguousarray(weights[:, ::-1] if rule.order == "BGR" else weights, np.float32)


def _first(variant: Variant) -> str:
    for name, layer in variant.layers:
        if isinstance(layer, a.Conv):
            return name
    raise UsageError(f"{variant.name}: has no convolution, so no kernels")
