"""Whether explanations point at what matters, and agree with captum's: writes results/explanations.json.

    alexnet train patterns --epochs 14 --set size=127 --out plain
    alexnet train patterns --epochs 14 --set size=127 --set label_smoothing=0.1 --out smoothed
    python benchmarks/explanations.py plain smoothed

A test picture of the patterns shows one patch on a plain ground, and the program that draws it knows where: the peak
of a class's evidence must lie on the patch. Counted over the pictures that the model gets right; beside it what would
be expected of a point taken at random (the patch's share of the picture), of the picture's middle, where many patches
lie, and of a network that has learnt nothing. captum computes the same maps from the same network; differences are
given relative to the largest value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
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
from alexnet.insight.explanations import explain, gradients, occlusion
from alexnet.insight.explanations.targets import targets
from alexnet.network.model import build
from alexnet.pictures import patterns, views
from alexnet.pictures.decode import Pixels, fit
from alexnet.weights.model import Model
from alexnet.weights.torch_engine import TorchEngine

PICTURES, FEW, COMPARED, BATCH = 1000, 100, 8, 50  # FEW: what takes hundreds of predictions for each picture
SALIENCY = ("gradient", "guided")
Measure = Callable[..., NDArray[np.float32]]


@dataclass(frozen=True)
class Shown:
    """Test pictures that the model gets right, as the network sees them; where the patch lies in each; the classes."""

    seen: Pixels
    masks: NDArray[np.bool_]
    labels: NDArray[np.int64]

    def first(self, count: int) -> Shown:
        return Shown(self.seen[:count], self.masks[:count], self.labels[:count])


def shown(model: Model, count: int) -> Shown:
    """Of the first `count` test pictures."""
    made = [patterns.draw(patterns.COUNTS["train"] + index) for index in range(count)]
    rule, seen = model.input, model.preprocess([picture for picture, _ in made])
    masks = [fit(Image.fromarray(np.uint8(255 * mask)).convert("RGB"), rule.stored, rule.resize) for _, mask in made]
    labels = np.array([model.classes.index(patterns.CLASSES[patterns.label(index)]) for index in range(count)])
    right = targets(model, seen) == labels
    return Shown(seen[right], (views.centre(np.stack(masks), rule.size)[..., 0] > 127)[right], labels[right])


def pointing(model: Model, measure: Measure, shown: Shown) -> dict[str, Any]:
    """How often the strongest place lies on the patch."""
    hits, found, inside = [], [], []
    for start in range(0, len(shown.seen), BATCH):
        part = slice(start, start + BATCH)
        evidence = measure(model, shown.seen[part], target=shown.labels[part]).clip(0)
        for heat, mask in zip(evidence, shown.masks[part], strict=True):
            found.append(bool(heat.max() > 0))
            hits.append(found[-1] and bool(mask.flat[heat.argmax()]))
            inside.append(float((heat * mask).sum() / heat.sum()) if found[-1] else 0.0)
    middle = model.input.size // 2
    figures = {
        "pictures": len(hits),
        "peak_on_pattern": float(np.mean(hits)),
        "some_evidence": float(np.mean(found)),
        "peak_on_pattern_where_some": float(np.sum(hits) / np.sum(found)),
        "heat_on_pattern": float(np.mean(inside)),
        "chance": float(shown.masks.mean()),
        "middle_on_pattern": float(shown.masks[:, middle, middle].mean()),
    }
    print(figures, file=sys.stderr, flush=True)
    return figures


def differences(model: Model, shown: Shown) -> dict[str, float]:
    """The largest difference from captum's map, as a share of its largest magnitude."""
    seen, chosen = shown.seen, shown.labels
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
        "grad-cam": apart(
            np.concatenate(list(gradients.grad_cam(model.engine, seen, layer, chosen, gradients.mean))), cam[:, 0]
        ),
        "saliency": apart(explain.sensitivity(model, seen, chosen), Saliency(whole).attribute(floats, aim).amax(3)),
        "guided": apart(explain.sensitivity(model, seen, chosen, "guided"), guided.abs().amax(3)),
        "occlusion": apart(explain.drops(plain, seen[:2], chosen[:2]), drops[..., 0]),
    }


def untrained(model: Model) -> Model:
    """The same network with the weights it began with."""
    network = build(model.variant, size=model.input.size).eval().requires_grad_(False)
    return Model(TorchEngine(network, model.engine.pixels), model.description)


def pointed(run: str) -> dict[str, Any]:
    """What is found of one model."""
    model = alexnet.load(run)
    beginner = untrained(model)
    every = shown(model, PICTURES)
    few = every.first(FEW)
    last, *earlier = reversed(explain.convolutions(model.variant))
    cams = {
        kind: {last: pointing(model, partial(explain.evidence, kind=kind), every)}
        | {layer: pointing(model, partial(explain.evidence, layer=layer, kind=kind), few) for layer in earlier}
        for kind in explain.CAMS
    }
    return {
        "model": model.variant.name,
        "size": model.input.size,
        "label_smoothing": model.description.trained["recipe"]["label_smoothing"],
        "scores": model.scores,
        "grad-cam": cams,
        "grad-cam, untrained": pointing(beginner, explain.evidence, every),
        "occlusion": pointing(model, explain.drops, few),
        "saliency": {kind: pointing(model, partial(explain.sensitivity, kind=kind), few) for kind in SALIENCY},
        "difference_from_captum": differences(model, every.first(COMPARED)),
    }


if __name__ == "__main__":
    record("explanations", {"models": [pointed(run) for run in sys.argv[1:]]})
