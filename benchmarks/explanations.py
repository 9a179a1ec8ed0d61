"""Whether explanations point at what matters, and agree with captum's: writes results/explanations.json.

    alexnet train patterns --epochs 14 --set size=127 --out RUN
    python benchmarks/explanations.py RUN

A test picture of the patterns shows one patch on a plain ground, and the program that draws it knows where: the peak
of a class's evidence must lie on the patch. Counted over the pictures that the model gets right; beside it what would
be expected of a point taken at random (the patch's share of the picture), of the picture's middle, where many patches
lie, and of a network that has learnt nothing. captum computes the same maps from the same network; differences are
given relative to the largest value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from captum.attr import GuidedBackprop, LayerGradCam, Occlusion, Saliency
from numpy.typing import NDArray
from PIL import Image
from record import record
from torch import nn

import alexnet
from alexnet.insight import explain, gradients, occlusion
from alexnet.insight.targets import targets
from alexnet.network.model import build
from alexnet.pictures import patterns, views
from alexnet.pictures.decode import Pixels, fit
from alexnet.weights.model import Model
from alexnet.weights.torch_engine import TorchEngine

PICTURES, FEW, COMPARED, BATCH = 1000, 200, 8, 50  # FEW: what takes hundreds of predictions for each picture
Measure = Callable[..., NDArray[np.float32]]


def drawn(model: Model, indices: range) -> tuple[Pixels, NDArray[np.bool_], NDArray[np.int64]]:
    """Test pictures as the network sees them, where the patch lies in them, and their classes."""
    made = [patterns.draw(patterns.COUNTS["train"] + index) for index in indices]
    seen = model.preprocess([picture for picture, _ in made])
    rule = model.input
    masks = [fit(Image.fromarray(np.uint8(255 * mask)).convert("RGB"), rule.stored, rule.resize) for _, mask in made]
    inside = views.centre(np.stack(masks), rule.size)[..., 0] > 127
    labels = np.array([model.classes.index(patterns.CLASSES[patterns.label(index)]) for index in indices])
    return seen, inside, labels


def pointing(model: Model, measure: Measure, count: int) -> dict[str, Any]:
    """How often the strongest place lies on the patch, over the pictures that are classified right."""
    hits, inside, shares, middles = [], [], [], []
    for start in range(0, count, BATCH):
        seen, masks, labels = drawn(model, range(start, min(start + BATCH, count)))
        right = np.flatnonzero(targets(model, seen) == labels)
        for evidence, mask in zip(measure(model, seen[right], target=labels[right]), masks[right], strict=True):
            peak = np.unravel_index(evidence.argmax(), evidence.shape)
            hits.append(bool(mask[peak]) and evidence.max() > 0)
            inside.append(float((evidence * mask).clip(0).sum() / max(evidence.clip(0).sum(), 1e-9)))
            shares.append(float(mask.mean()))
            middles.append(bool(mask[mask.shape[0] // 2, mask.shape[1] // 2]))
        print(f"{start + BATCH}: {np.mean(hits):.3f}", file=sys.stderr, flush=True)
    return {
        "pictures": count,
        "right": len(hits),
        "peak_on_pattern": float(np.mean(hits)),
        "heat_on_pattern": float(np.mean(inside)),
        "chance": float(np.mean(shares)),
        "middle_on_pattern": float(np.mean(middles)),
    }


def differences(model: Model) -> dict[str, float]:
    """The largest difference from captum's map, as a share of its largest magnitude."""
    seen, _, _ = drawn(model, range(COMPARED))
    chosen = targets(model, seen)
    network, aim = model.engine.plain, torch.from_numpy(chosen)
    whole = nn.Sequential(model.engine.pixels, *network)
    floats = torch.from_numpy(seen).float().requires_grad_()
    layer = explain.last_convolution(model.variant)

    def apart(ours: Any, theirs: torch.Tensor) -> float:
        expected = theirs.detach().numpy()
        return float(abs(np.asarray(ours) - expected).max() / abs(expected).max())

    cam = LayerGradCam(whole, network.get_submodule(layer)).attribute(floats, aim, relu_attributions=True)
    guided = GuidedBackprop(whole).attribute(floats, aim)
    window, stride = occlusion.windows(model.input.size, None, None)
    cover = torch.tensor(occlusion.cover(model.input)).float().expand(1, *floats.shape[1:])
    plain = Model(TorchEngine(network, model.engine.pixels), model.description)
    with torch.no_grad():
        drops = Occlusion(lambda x: whole(x).log_softmax(1)).attribute(
            floats[:2], (window, window, 3), (stride, stride, 3), cover, aim[:2]
        )
    return {
        "grad-cam": apart(np.concatenate(list(gradients.grad_cam(model.engine, seen, layer, chosen))), cam[:, 0]),
        "saliency": apart(explain.sensitivity(model, seen, chosen), Saliency(whole).attribute(floats, aim).amax(3)),
        "guided": apart(explain.sensitivity(model, seen, chosen, "guided"), guided.abs().amax(3)),
        "occlusion": apart(explain.drops(plain, seen[:2], chosen[:2]), drops[..., 0]),
    }


def untrained(model: Model) -> Model:
    """The same network with the weights it began with."""
    network = build(model.variant, size=model.input.size).eval().requires_grad_(False)
    return Model(TorchEngine(network, model.engine.pixels), model.description)


def main(run: str) -> None:
    model = alexnet.load(run)
    beginner = untrained(model)
    layers = explain.convolutions(model.variant)
    cams = {
        layer: pointing(model, partial(explain.evidence, layer=layer), PICTURES if layer == layers[-1] else FEW)
        for layer in reversed(layers)
    }
    figures = {
        "model": model.variant.name,
        "size": model.input.size,
        "scores": model.scores,
        "grad-cam": cams,
        "grad-cam, untrained": pointing(model, lambda _, *seen, **of: explain.evidence(beginner, *seen, **of), FEW),
        "occlusion": pointing(model, explain.drops, FEW),
        "saliency": {
            kind: pointing(model, partial(explain.sensitivity, kind=kind), FEW) for kind in ("gradient", "guided")
        },
        "difference_from_captum": differences(model),
    }
    record("explanations", figures)


if __name__ == "__main__":
    main(sys.argv[1])
