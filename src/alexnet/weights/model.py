"""A loaded model behind one small interface: pictures in, logits out, with class names and input rule inside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import unknown
from alexnet.network.architecture import Input, Variant, Weighted, walk
from alexnet.pictures import views
from alexnet.pictures.decode import Pixels, fit, read, shown, stored
from alexnet.pictures.inputs import Listing
from alexnet.weights import files
from alexnet.weights.files import Description

if TYPE_CHECKING:
    from alexnet.insight.explanations.targets import Target
    from alexnet.network.inference import Precision

BATCH = 32  # pictures whose layers are in memory at once

Picture = str | os.PathLike[str] | bytes | Image.Image | Pixels


class Engine(Protocol):
    """What computes a network: torch (`torch_engine`) or ONNX Runtime."""

    def __call__(self, pictures: Pixels) -> NDArray[np.float32]:
        """uint8 [N, size, size, 3], RGB → float32 logits [N, classes]."""
        ...


class Layered(Engine, Protocol):
    """One that can be asked for what its layers give."""

    def features(self, pictures: Pixels, layers: Sequence[str], precision: Precision) -> dict[str, NDArray[np.float32]]:
        """uint8 [N, size, size, 3], RGB → by layer, float32 [N, …]. `precision`: "float32", or "auto" for the form in
        which the engine answers, where that has the layers."""
        ...


@dataclass(frozen=True)
class Model:
    """A network ready for use: what computes it, and what its file says about itself."""

    engine: Layered
    description: Description

    @property
    def variant(self) -> Variant:
        return self.description.variant

    @property
    def input(self) -> Input:
        return self.description.input

    @property
    def classes(self) -> tuple[str, ...]:
        return self.description.classes

    @property
    def scores(self) -> dict[str, Any]:
        return self.description.scores

    def logits(self, pictures: Pixels) -> NDArray[np.float32]:
        """uint8 [N, size, size, 3], RGB → float32 [N, classes]."""
        return self.engine(pictures)

    def preprocess(self, pictures: Picture | Iterable[Picture]) -> Pixels:
        """Files, encoded bytes, Pillow pictures or uint8 arrays [H, W, 3] → uint8 [N, size, size, 3], centre views.

        Raises PictureError for a picture that is refused.
        """
        one = isinstance(pictures, str | os.PathLike | bytes | Image.Image | np.ndarray)
        several: Iterable[Any] = [pictures] if one else pictures  # type: ignore[assignment]
        stored = [_stored(p, self.input) for p in several]
        side = self.input.stored
        return views.centre(np.stack(stored) if stored else np.empty((0, side, side, 3), np.uint8), self.input.size)

    def features(
        self, pictures: Picture | Iterable[Picture], layer: str | None = None, precision: Precision = "float32"
    ) -> NDArray[np.float32]:
        """What a layer makes of each picture: float32 [N, channels, height, width] or [N, units].

        `layer`: any of the network's, such as `fc7`, before its non-linearity, or `relu7`, behind it; by default the
        last hidden one before its non-linearity, which is `fc7` in an AlexNet. In float32 unless `precision` is "auto":
        a feature is a measurement. All are in memory at once; `insight.features.layers` streams. Raises UsageError for
        a layer that there is not, PictureError for a picture that is refused.
        """
        (name,) = layers_of(self.variant, () if layer is None else (layer,))
        seen = self.preprocess(pictures)
        shape = next(row.output for row in walk(self.variant, self.input.size) if row.name == name)
        found = np.empty((len(seen), *shape), np.float32)
        for start in range(0, len(seen), BATCH):
            some = slice(start, start + BATCH)
            found[some] = self.engine.features(seen[some], (name,), precision)[name]
        return found

    def predict(self, pictures: Picture | Iterable[Picture], top: int = 5) -> list[dict[str, Any]]:
        """Label, probability and the `top` most probable classes of each picture, as `alexnet predict --json`."""
        return [answer(row, self.classes, top) for row in softmax(self.logits(self.preprocess(pictures)))]

    def explain(
        self,
        pictures: Picture | Iterable[Picture],
        method: str = "grad-cam",
        layer: str | None = None,
        target: Target = None,
    ) -> NDArray[np.float32]:
        """Heat float32 [N, size, size] in 0..1, over what `preprocess` gives: where the evidence for a class lies.

        `method`: grad-cam (at `layer`), saliency or occlusion; or activations, what comes out of `layer`. `target`: a
        class by index or name, one for all or one for each; by default the one predicted. More is in
        `insight.explanations.explain`. Raises UsageError and PictureError.
        """
        from alexnet.insight.explanations import explain

        return explain.explain(self, self.preprocess(pictures), method, layer, target)


Work = Callable[[Model, Listing], Iterable[Any]]
"""What is done with pictures, in batches of BATCH and in order; a value that can be sent to another process."""

Spread = Callable[[Work, Listing, int], Iterator[list[Any]]]
"""Has it done elsewhere, with at most so many pictures at a time, and gives what comes of it in order."""


def layers_of(variant: Variant, layers: Sequence[str]) -> tuple[str, ...]:
    """The layers by these names, each once; by default the last hidden product, `fc7` in an AlexNet. Raises UsageError
    for a name that the network has no layer of."""
    names = [name for name, _ in variant.layers]
    for name in layers:
        if name not in names:
            raise unknown(f"layer of {variant.name}", name, names)
    products = [name for name, layer in variant.layers if isinstance(layer, Weighted)]
    return tuple(dict.fromkeys(layers)) or (products[-2 if len(products) > 1 else -1],)


def _stored(picture: Picture, rule: Input) -> Pixels:
    """uint8 [stored, stored, 3], by the input rule; what is opened already is shown and cut like a file in full."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    if isinstance(picture, Image.Image):
        return fit(shown(picture), rule.stored, rule.resize)
    data = picture if isinstance(picture, bytes) else read(picture)
    return stored(data, rule.stored, rule.resize, rule.decode)


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    shifted: NDArray[np.float64] = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    total: NDArray[np.float64] = shifted.sum(axis=-1, keepdims=True)
    return shifted / total


def answer(probabilities: NDArray[np.float64], classes: tuple[str, ...], top: int) -> dict[str, Any]:
    """One picture's answer: {label, probability, top: [{label, index, probability}, …]}, most probable first."""
    best = np.argsort(-probabilities, kind="stable")[: max(1, top)]
    entries = [{"label": classes[i], "index": int(i), "probability": float(probabilities[i])} for i in best]
    return {"label": entries[0]["label"], "probability": entries[0]["probability"], "top": entries[: max(0, top)]}


def load(
    model: str | os.PathLike[str] = files.BOX,
    device: str = "cpu",
    precision: Precision = "auto",
    threads: int | None = None,
) -> Model:
    """The model that MODEL names: a run folder, a model file or an ONNX file that `alexnet export` wrote; by default
    the one in the box, which tells cats from dogs.

    `precision`: "float32" for the weights as they are; "auto" for the form that answers fastest (`network.inference`).
    An ONNX file is computed as it was written, on the processor, without torch. `threads`: how many compute; left to
    the engine, which takes the cores.
    Never draws initial weights. Raises UsageError when there is none, WeightsError when it is damaged.
    """
    path = files.locate(model)
    if path.suffix.lower() == ".onnx":
        from alexnet.weights import onnx_engine

        return Model(*onnx_engine.load(path, threads))
    from alexnet.weights import torch_engine

    description = files.describe(path)
    if threads:
        torch_engine.limit(threads)
    return Model(torch_engine.load(path, description, device, precision), description)
