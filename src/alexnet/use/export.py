"""A model written for other programs, and run back before it counts as written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.errors import AlexNetError, UsageError
from alexnet.evaluation.evaluate import choose, default_split, relabelled
from alexnet.pictures import patterns, views
from alexnet.pictures.decode import Pixels, fit
from alexnet.pictures.prepare import open_for
from alexnet.storage import whole
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.model import Engine, load

DRAWN, MOST = 64, 500  # pictures to compare on: of the embedded patterns, and at most of DATA
BATCH = 32

Tensors = Mapping[str, Any]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Tolerance:
    """How far logits may be off, as a share of 1 + the largest, and on what share of the clear pictures the most
    probable class must be the same. A picture is clear where the model's lead is more than logits may be off."""

    difference: float
    agreement: float


EXACT = Tolerance(1e-4, 1.0)  # float32: other orders of summation, a hundred times their usual effect
ROUNDED = Tolerance(0.1, 0.99)  # int8: trained models are off by 0.005, networks of random weights by up to 0.05


@dataclass(frozen=True)
class Format:
    """Endings of its files, how one is written, and how one is read back to compute logits."""

    endings: tuple[str, ...]
    write: Callable[[Path, Description, Tensors], None]
    read: Callable[[Path, Description, Tensors], Engine]
    tolerance: Tolerance = EXACT


def _written_by(module: str) -> Callable[[Path, Description, Tensors], None]:
    """`write` of a module of `weights`, which is not imported before it is needed."""

    def write(path: Path, description: Description, tensors: Tensors) -> None:
        import_module(f"alexnet.weights.{module}").write(path, description, tensors)

    return write


def _write_int8(path: Path, description: Description, tensors: Tensors) -> None:
    from alexnet.weights import onnx_graph

    onnx_graph.write(path, description, tensors, int8=True)


def _write_safetensors(path: Path, description: Description, tensors: Tensors) -> None:
    files.write(path, tensors, description)


def _model(path: Path, *_: object) -> Engine:
    return load(path, precision="float32").engine


def _program(path: Path, *_: object) -> Engine:
    from alexnet.weights.formats import pt2

    return pt2.read(path)


def _read_by(module: str) -> Callable[[Path, Description, Tensors], Engine]:
    """`read` of a module of `weights.formats`, for files without an input rule: the network in one, under the model's
    own rule."""

    def read(path: Path, description: Description, tensors: Tensors) -> Engine:
        from alexnet.weights import torch_engine

        wanted = replace(description.variant, size=description.input.size)
        foreign = import_module(f"alexnet.weights.formats.{module}").read(path, wanted)
        rule = {name: tensor for name, tensor in tensors.items() if name == files.MEAN_PICTURE}
        return torch_engine.from_tensors(replace(description, variant=foreign.variant), foreign.tensors | rule)

    return read


FORMATS = {
    "onnx": Format((".onnx",), _written_by("onnx_graph"), _model),
    "pt2": Format((".pt2",), _written_by("formats.pt2"), _program),
    "torchvision": Format((".pth", ".pt", ".safetensors"), _written_by("formats.torchvision"), _read_by("torchvision")),
    "keras": Format((".keras", ".h5"), _written_by("formats.keras"), _read_by("keras")),
    "safetensors": Format((".safetensors",), _write_safetensors, _model),
}
INT8 = {"onnx": Format((".onnx",), _write_int8, _model, ROUNDED)}


def form_of(to: str, int8: bool) -> Format:
    """The format of a name. Raises UsageError for int8 where there is none."""
    if int8 and to not in INT8:
        raise UsageError(f"--int8 goes with --to {' or '.join(INT8)}, not with {to}")
    return (INT8 if int8 else FORMATS)[to]


def export(
    model: str | os.PathLike[str], to: str, out: Path, int8: bool = False, data: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Write MODEL in another format; what is written must compute as the model does in float32, or nothing is written.

    Compared on the test part of DATA, or what it has, at most MOST pictures; without DATA on patterns that the program
    draws. Returns path, bytes, pictures, max_abs_difference (of logits), top1_agreement, and, where DATA has the
    model's classes, top1_before and top1_after. Raises UsageError, WeightsError, and AlexNetError for a difference.
    """
    form, path = form_of(to, int8), files.locate(model)
    if path.suffix.lower() == ".onnx":
        raise UsageError(f"{model}: exports start from a run folder or a .safetensors file, not from an ONNX file")
    from alexnet.weights import torch_engine

    loaded = load(path, precision="float32")
    pictures, labels = _pictures(loaded.description, data)
    expected = _logits(loaded.engine, pictures)
    tensors = torch_engine.tensors(path, loaded.description)
    found = _written(form, out, loaded.description, tensors, pictures, expected)
    before, after = expected.argmax(1), found.argmax(1)
    document = {
        "path": str(out),
        "bytes": out.stat().st_size,
        "pictures": len(pictures),
        "max_abs_difference": float(np.abs(found - expected).max()),
        "top1_agreement": float((before == after).mean()),
    }
    if labels is None:
        return document
    return document | {"top1_before": float((before == labels).mean()), "top1_after": float((after == labels).mean())}


def _written(
    form: Format, out: Path, description: Description, tensors: Tensors, pictures: Pixels, expected: Logits
) -> Logits:
    """Write a file, unless it computes otherwise than expected; what it computes."""
    with whole(out) as partial:
        try:
            form.write(partial, description, tensors)
            found = _logits(form.read(partial, description, tensors), pictures)
        except AlexNetError as error:
            raise type(error)(str(error).replace(str(partial), str(out))) from None
        _check(out, form.tolerance, expected, found)
    return found


def _pictures(description: Description, data: str | os.PathLike[str] | None) -> tuple[Pixels, NDArray[np.int64] | None]:
    """uint8 [N, size, size, 3] to compare on, and their labels, where they are pictures of the model's classes."""
    rule = description.input
    if data is None:
        first = patterns.COUNTS["train"]  # where the test part begins
        drawn = (Image.fromarray(patterns.draw(first + number)[0]) for number in range(DRAWN))
        return views.centre(np.stack([fit(p, rule.stored, rule.resize) for p in drawn]), rule.size), None
    store = open_for(rule, data)
    part = choose(store, {}, default_split(store, {}), data)
    part = part.take(np.unique(np.linspace(0, len(part) - 1, MOST).astype(np.int64)))
    known = set(store.classes) <= set(description.classes)
    labels = relabelled(part, store.classes, description.classes, str(data)).labels if known else None
    return views.centre(part.read(slice(None)), rule.size), labels


def _logits(engine: Engine, pictures: Pixels) -> Logits:
    return np.concatenate([engine(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)])


def _check(out: Path, tolerance: Tolerance, expected: Logits, found: Logits) -> None:
    """Raise AlexNetError where the exported model answers otherwise than the model."""
    if found.shape != expected.shape:
        raise AlexNetError(f"{out}: not written: the export gives {found.shape} logits, the model {expected.shape}")
    allowed = tolerance.difference * (1 + np.abs(expected).max())
    off = np.abs(found - expected).max()
    ranked = np.sort(expected, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > allowed if expected.shape[1] > 1 else np.zeros(len(expected), bool)
    same = (found.argmax(1) == expected.argmax(1))[clear]
    agreement = same.mean() if len(same) else 1.0
    if not (off <= allowed and agreement >= tolerance.agreement):
        raise AlexNetError(
            f"{out}: not written: the export's logits are off by up to {off:.2g} ({allowed:.2g} allowed), and its most "
            f"probable class is the model's on {agreement:.1%} of the clear pictures"
        )
