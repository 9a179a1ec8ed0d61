"""Other people's weights into a model file of ours, which predicts at once: input rule and class names are inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import Input, Variant
from alexnet.network.variants import variant
from alexnet.storage import alone, link, sha256, whole
from alexnet.weights import catalog, download, files, labels
from alexnet.weights.files import Description
from alexnet.weights.formats.caffe_input import with_mean
from alexnet.weights.formats.foreign import CLASS_NAMES, MEAN_AND_SCALE, RESIZE_RULE, Foreign

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = tuple(f"alexnet.weights.formats.{name}" for name in ("torchvision", "keras", "onnx", "caffe"))
OURS = "alexnet"  # the format of our own files
KINDS = "torch weights in torchvision's layout, Keras weights, ONNX, a .caffemodel or a model file of ours"
HEAD = 4096  # bytes by which a format is told


@dataclass(frozen=True)
class Hints:
    """What a user adds to what a file says; None leaves it to the file."""

    classes: Sequence[str] | None = None
    variant: Variant | None = None
    resize: Literal["crop", "squash", "pad"] | None = None
    mean: Path | None = None  # a mean file: .binaryproto or .npy


NO_HINTS = Hints()


class Format(Protocol):
    """A module of `formats`."""

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file is of this format, by what it holds."""
        ...

    def read(self, path: Path, wanted: Variant | None = None) -> Foreign:
        """The network in the file, or as `wanted` where it may be several. Raises WeightsError or UsageError."""
        ...


def convert(file: Path, out: Path, hints: Hints = NO_HINTS) -> dict[str, Any]:
    """Write the weights in `file`, of whatever format, as a model file: whole and proven to predict, or not at all.

    Returns {path, format, variant, classes, input, guessed}; `guessed` is what neither the file nor the hints said.
    Raises UsageError where file and hints do not go together, WeightsError for a file that is refused, StorageError.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file; expected {KINDS}")
    files.readable(file)
    description, tensors = (_own if _is_own(file) else _foreign)(file, hints)
    with whole(out) as partial:
        files.write(partial, tensors, description)
        _prove(file, partial)
    return report(out)


def fetch(name: str, out: Path | None = None) -> dict[str, Any]:
    """Download what the catalog calls `name`, unless it is here, and convert it to where MODEL looks for it; also to
    `out`. Returns {name, …} as `convert`. Raises UsageError, NetworkError, WeightsError, StorageError."""
    entry, kept = catalog.entry(name), catalog.path(name)
    with alone(kept):
        if not kept.is_file():
            came = download.fetch(entry.address, kept.with_name(entry.file), entry.size, entry.digests)
            convert(came, kept, Hints(variant=variant(entry.variant), resize=entry.resize))
            came.unlink()
    if out:
        link(kept, out)
    return {"name": name, **report(out or kept)}


def report(path: Path) -> dict[str, Any]:
    """What a model file says of itself and of what it was made from."""
    found = files.describe(path)
    made = {"format": found.trained.get("format", OURS), "guessed": found.trained.get("guessed", [])}
    names = {"variant": found.variant.name, "classes": list(found.classes), "input": dataclasses.asdict(found.input)}
    return {"path": str(path), **made, **names}


def recognise(file: Path) -> Format:
    """The format of a file that is not ours, by its content. Raises WeightsError."""
    head = _head(file)
    for name in FORMATS:
        format: Format = import_module(name)
        if format.recognises(file, head):
            return format
    raise WeightsError(f"{file}: not of a known format; expected {KINDS}")


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(HEAD)


def _is_own(file: Path) -> bool:
    """A safetensors file whose metadata, which come first, have our key; its first eight bytes are a length."""
    return _head(file)[8:].startswith(f'{{"__metadata__":{{"{files.KEY}":'.encode())


def _own(file: Path, hints: Hints) -> tuple[Description, dict[str, Tensor]]:
    from alexnet.weights import torch_engine

    found = files.describe(file)
    network, mean_picture = torch_engine.assemble(file, found)
    pictures = {} if mean_picture is None else {files.MEAN_PICTURE: mean_picture}
    names = _fitting(hints.classes or found.classes, len(found.classes))
    rule, other = _input(file, found.input, hints)
    return dataclasses.replace(found, classes=names, input=rule), network.state_dict() | pictures | other


def _foreign(file: Path, hints: Hints) -> tuple[Description, dict[str, Tensor]]:
    found = recognise(file).read(file, hints.variant)
    count = found.variant.classes
    names = hints.classes or found.classes or labels.default(count)
    rule, other = _input(file, found.input, hints)
    said = {CLASS_NAMES: hints.classes or found.classes, RESIZE_RULE: hints.resize, MEAN_AND_SCALE: hints.mean}
    guessed = [what for what in (*found.guessed, CLASS_NAMES) if not said.get(what)]
    trained = {"format": found.format, "sha256": sha256(file), "guessed": guessed}
    return Description(found.variant, _fitting(names, count), rule, trained), found.tensors | other


def _input(file: Path, rule: Input, hints: Hints) -> tuple[Input, dict[str, Tensor]]:
    """The input rule with what the user says, and the mean picture that the user gives. Raises WeightsError."""
    tensors: dict[str, Tensor] = {}
    if hints.resize:
        rule = dataclasses.replace(rule, resize=hints.resize)
    if hints.mean:
        rule, tensors = with_mean(rule, hints.mean)
    try:
        files.input_from_json(dataclasses.asdict(rule))
    except ValueError as error:
        raise WeightsError(f"{file}: {error}") from None
    return rule, tensors


def _fitting(names: Sequence[str], count: int) -> tuple[str, ...]:
    if len(names) != count:
        raise UsageError(f"{len(names):,} class names for {count:,} outputs; give as many with --labels")
    return labels.distinct(names)


def _prove(file: Path, made: Path) -> None:
    """Load what was made of a file and have it answer about one picture. Raises WeightsError."""
    from alexnet.weights import torch_engine

    description = files.describe(made)
    side = description.input.size
    ramp = np.linspace(0, 255, side * side * 3).astype(np.uint8).reshape(1, side, side, 3)
    try:
        logits = torch_engine.load(made, description, precision="float32")(ramp)
    except WeightsError as error:
        raise WeightsError(str(error).replace(str(made), str(file))) from None
    if logits.shape != (1, len(description.classes)) or not np.isfinite(logits).all():
        raise WeightsError(f"{file}: its answers about a picture are not finite numbers")
