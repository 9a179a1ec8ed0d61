"""Other people's weights into a model file of ours, which predicts at once: input rule and class names are inside."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import Input
from alexnet.network.variants import variant
from alexnet.storage import alone, link, whole
from alexnet.weights import catalog, download, files, labels
from alexnet.weights.files import Description
from alexnet.weights.formats.foreign import Foreign, Hints

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = tuple(f"alexnet.weights.formats.{name}" for name in ("torchvision", "keras", "onnx", "caffe"))
OURS = "alexnet"  # the format of our own files
KINDS = "torch weights in torchvision's layout, Keras weights, ONNX, a .caffemodel or a model file of ours"
HEAD = 4096  # bytes by which a format is told
NO_HINTS = Hints()
CLASS_NAMES, RESIZE = "class names", "resize"


class Format(Protocol):
    """A module of `formats`."""

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether the file is of this format, by what it holds."""
        ...

    def read(self, path: Path, hints: Hints) -> Foreign:
        """The network in the file. Raises WeightsError."""
        ...


def convert(file: Path, out: Path, classes: Sequence[str] | None = None, hints: Hints = NO_HINTS) -> dict[str, Any]:
    """Write the weights in `file`, of whatever format, as a model file: whole and proven to predict, or not at all.

    `classes` names the outputs, `hints` says what else a file may not know. Returns {path, format, variant, classes,
    input, guessed}; `guessed` is what neither the file nor the caller said. Raises UsageError where file, names and
    hints do not go together, WeightsError for a file that is refused, StorageError.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file; expected {KINDS}")
    description, tensors = _own(file, classes, hints) if _is_own(file) else _foreign(file, classes, hints)
    with whole(out) as partial:
        files.save(partial, tensors, description)
        _prove(file, partial)
    return report(out)


def fetch(name: str, out: Path | None = None) -> dict[str, Any]:
    """Download what the catalog calls `name`, unless it is here, and convert it to where MODEL looks for it; also to
    `out`. Returns {name, …} as `convert`. Raises UsageError, NetworkError, WeightsError, StorageError."""
    entry, kept = catalog.entry(name), catalog.path(name)
    with alone(kept):
        if not kept.is_file():
            came = download.fetch(entry.address, kept.with_name(entry.file), entry.size, entry.digests)
            convert(came, kept, hints=Hints(variant(entry.variant), entry.resize))
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


def _own(file: Path, classes: Sequence[str] | None, hints: Hints) -> tuple[Description, dict[str, Tensor]]:
    from alexnet.weights import torch_engine

    found = files.describe(file)
    network, mean_picture = torch_engine.assemble(file, found)
    pictures = {} if mean_picture is None else {files.MEAN_PICTURE: mean_picture}
    names = _fitting(classes or found.classes, len(found.classes))
    return dataclasses.replace(found, classes=names, input=_hinted(found, hints)), network.state_dict() | pictures


def _foreign(file: Path, classes: Sequence[str] | None, hints: Hints) -> tuple[Description, dict[str, Tensor]]:
    found = recognise(file).read(file, hints)
    count = found.variant.classes
    names = classes or found.classes or labels.default(count)
    guessed = [what for what in found.guessed if CLASS_NAMES not in what and not (hints.resize and RESIZE in what)]
    if not (classes or found.classes):
        guessed.append(CLASS_NAMES)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    trained = {"format": found.format, "sha256": digest, "guessed": guessed}
    return Description(found.variant, _fitting(names, count), _hinted(found, hints), trained), found.tensors


def _hinted(found: Foreign | Description, hints: Hints) -> Input:
    return dataclasses.replace(found.input, resize=hints.resize) if hints.resize else found.input


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
