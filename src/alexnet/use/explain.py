"""Explanations as files: of each picture what a method finds in it, with the exact input of the network beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import AlexNetError, unknown
from alexnet.insight.explanations import explain, kernels, panels
from alexnet.insight.explanations.targets import Target, class_index
from alexnet.pictures import views
from alexnet.pictures.decode import Pixels
from alexnet.pictures.inputs import chunks, expand, opened, refusal
from alexnet.progress import progress
from alexnet.storage import whole
from alexnet.weights.model import Model, softmax

BATCH = 16  # pictures in memory at a time
EPOCHS_SHOWN = 8

Floats = NDArray[np.float32]
Measure = Callable[..., Floats]
"""A model, pictures uint8 [N, size, size, 3], and `target`, a class for each → evidence float32 [N, size, size]."""

Drawn = dict[str, NDArray[Any]]
"""What is written for one picture, by the ending of its file: .png a picture, .npy an array."""

Draw = Callable[[Pixels, list[int], list[str]], Iterator[Drawn]]
"""Pictures uint8 [N, size, size, 3], the class to explain and a line of text for each → what is written for each."""


def pictures(model: Model, inputs: Sequence[str], out: Path, draw: Draw, target: Target = None) -> list[dict[str, Any]]:
    """Draw each picture that the inputs name; one entry for each, in their order.

    An entry is {path, label, probability, target, files} or {path, error, exit_code}: a picture that is refused never
    loses the others. Raises UsageError.
    """
    paths = expand(inputs)
    wanted = None if target is None else class_index(model.classes, target)  # type: ignore[arg-type]
    read = progress(opened(paths, model.input), len(paths), "explaining")
    entries: list[dict[str, Any]] = []
    for chunk in chunks(zip(paths, file_names(paths), read, strict=True), BATCH):
        good = [(path, name, picture) for path, name, picture in chunk if not isinstance(picture, AlexNetError)]
        done = iter(_drawn(model, good, out, draw, wanted) if good else ())
        for path, _, picture in chunk:
            refused = isinstance(picture, AlexNetError)
            entries.append(refusal(path, picture) if refused else next(done))  # type: ignore[arg-type]
    return entries


def _drawn(
    model: Model, given: Sequence[tuple[str, str, Any]], out: Path, draw: Draw, wanted: int | None
) -> Iterator[dict[str, Any]]:
    seen = views.centre(np.stack([picture for _, _, picture in given]), model.input.size)
    probabilities = softmax(model.logits(seen))
    best = probabilities.argmax(axis=1).tolist()
    targets = best if wanted is None else [wanted] * len(best)
    lines = [
        f"{Path(path).name}: {model.classes[index]} {row[index]:.1%}"
        for (path, _, _), index, row in zip(given, best, probabilities, strict=True)
    ]
    drawn = draw(seen, targets, lines)
    for (path, name, _), index, target, row, found in zip(given, best, targets, probabilities, drawn, strict=True):
        answer = {"path": path, "label": model.classes[index], "probability": float(row[index])}
        yield answer | {
            "target": model.classes[target],
            "files": [write(out / (name + end), found[end]) for end in found],
        }


def drawing(
    model: Model,
    method: str,
    arrays: bool,
    layer: str | None = None,
    kind: Any = None,
    window: int | None = None,
    stride: int | None = None,
) -> Draw:
    """How to draw what a method finds, which knows some of `layer`, `kind`, and `window` and `stride`."""
    match method:
        case "grad-cam":
            layer = explain.last_convolution(model.variant) if layer is None else layer
            kind = "mean" if kind is None else kind
            title = f"Grad-CAM at {layer}" if kind == "mean" else f"LayerCAM at {layer}"
            return heat(model, partial(explain.evidence, layer=layer, kind=kind), method, title, arrays)
        case "saliency":
            kind = "gradient" if kind is None else kind
            return heat(model, partial(explain.sensitivity, kind=kind), method, f"Saliency ({kind})", arrays)
        case "occlusion":
            return heat(model, partial(explain.drops, window=window, stride=stride), method, "Occlusion", arrays)
        case "activations":
            return layers(model, explain.convolutions(model.variant) if layer is None else [layer], arrays)
    raise unknown("method", method, (*explain.HEAT, "activations"))


def heat(model: Model, measure: Measure, name: str, title: str, arrays: bool) -> Draw:
    """Draws the picture, its heat, and the one over the other; with `arrays` the evidence too, before it is scaled."""

    def draw(seen: Pixels, targets: list[int], lines: list[str]) -> Iterator[Drawn]:
        evidence = measure(model, seen, target=targets)
        pictures, hot = panels.as_seen(seen, model.input), explain.heat(evidence)
        for place, (target, line) in enumerate(zip(targets, lines, strict=True)):
            own = f"{title} for {model.classes[target]}" + ("" if hot[place].max() > 0 else ": found no evidence")
            panel = panels.titled(_three(pictures[place], hot[place]), [line, own])
            yield {f".{name}.png": panel} | ({f".{name}.npy": evidence[place]} if arrays else {})

    return draw


def _three(picture: Pixels, hot: Floats) -> Pixels:
    """The picture, its heat, and the one over the other."""
    three = np.stack([picture, panels.heat_alone(hot), panels.overlay(picture, hot)])
    return panels.beside(list(panels.magnified(three, panels.LEAST)))


def layers(model: Model, names: Sequence[str], arrays: bool) -> Draw:
    """Draws what comes out of some layers: the picture, and beside it a tile for each map."""

    def draw(seen: Pixels, targets: list[int], lines: list[str]) -> Iterator[Drawn]:
        found = {name: explain.activations(model, seen, name) for name in names}
        for place, (picture, line) in enumerate(zip(panels.as_seen(seen, model.input), lines, strict=True)):
            shown: Drawn = {}
            for name, values in found.items():
                own = values[place]
                panel = panels.beside([panels.magnified(picture, panels.LEAST), panels.maps(own)])
                shown[f".{name}.png"] = panels.titled(panel, [line, _about(name, own)])
                shown |= {f".{name}.npy": own} if arrays else {}
            yield shown

    return draw


def _about(name: str, values: Floats) -> str:
    size = (
        f"{len(values)} maps of {values.shape[1]} x {values.shape[2]}" if values.ndim == 3 else f"{len(values)} units"
    )
    return f"{name}: {size}, row by row, from {values.min():.3g} to {values.max():.3g}"


def first_kernels(model: Model, run: Path, out: Path, arrays: bool) -> list[str]:
    """Draw the first convolution's kernels; where `run` is a run folder, over its epochs too, as a sheet and a GIF."""
    weights, columns = kernels.kernels(model), kernels.columns(model.variant)
    title = f"{model.variant.name}: {len(weights)} kernels of {weights.shape[2]} x {weights.shape[3]}"
    files = [write(out / "kernels.png", panels.titled(panels.kernels(weights, columns), [title]))]
    if arrays:
        files.append(write(out / "kernels.npy", weights))
    kept = kernels.epochs(run, model.input)
    if len(kept) > 1:
        largest = panels.scale(kept[-1][1])
        sheets = [panels.titled(panels.kernels(w, columns, 22, largest), [f"epoch {number}"]) for number, w in kept]
        panels.animate(sheets, out / "kernels.gif")
        chosen = np.unique(np.linspace(0, len(sheets) - 1, EPOCHS_SHOWN).round().astype(int))
        sheet = panels.tiled(np.stack([sheets[place] for place in chosen]), 2)
        files += [str(out / "kernels.gif"), write(out / "kernels-epochs.png", sheet)]
    return files


def write(path: Path, values: NDArray[Any]) -> str:
    """Write a picture as .png or an array as .npy, whole or not at all, in a folder that is made; the path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        with whole(path) as partial:
            np.save(partial, values)
    else:
        panels.write(values, path)
    return str(path)


def _stem(path: str) -> str:
    try:
        name = urlsplit(path).path if "://" in path else Path(path).as_posix()
    except ValueError:  # no address: refused when it is fetched
        name = ""
    return PurePosixPath(name).stem or "picture"


def file_names(paths: Sequence[str]) -> list[str]:
    """A name for what is written about each picture: its file's, without the ending, and numbered where taken."""
    taken: set[str] = set()
    names = []
    for path in paths:
        stem = _stem(path)
        numbered = (stem, *(f"{stem}-{number}" for number in range(2, len(paths) + 2)))
        names.append(next(name for name in numbered if name.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names
