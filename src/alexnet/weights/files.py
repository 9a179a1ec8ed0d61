"""Our own model file: safetensors with the weights under the layers' names, and one JSON description.

The description holds the whole variant, the class names in order, the input rule, what the model was trained on and
how it scored; nothing of when, where or by whom, so that the same run gives the same bytes. No pickle anywhere.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet.errors import UsageError, WeightsError
from alexnet.network import documents
from alexnet.network.architecture import MOST_SIDE, Input, Variant
from alexnet.storage import whole
from alexnet.weights import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

FORMAT = 1
KEY = "alexnet"  # the one metadata key: safetensors writes several in changing order
MEAN_PICTURE = "input.mean"
CONVERT = "other libraries' files become models with: alexnet weights convert FILE --out F"
BOX = Path(__file__).with_name("box.safetensors")  # the model that comes with the program: docs/box.md
SHARED = "model.safetensors"  # what Hugging Face calls the weights of a repository
BLOCK, MAPPED = 2**18, 2**22  # values that `rows` yields at a time, and has in memory
DTYPES = {  # in the order in which tensors lie in a file
    "torch.int64": "I64",
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.int32": "I32",
    "torch.bfloat16": "BF16",
    "torch.float16": "F16",
    "torch.uint8": "U8",
}


@dataclass(frozen=True)
class Description:
    """What a model file says about itself besides its weights."""

    variant: Variant
    classes: tuple[str, ...]
    input: Input
    trained: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        """What it says of the data that it was trained on; empty where it does not say that in our way."""
        data = self.trained.get("data")
        return data if isinstance(data, dict) else {}

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "variant": documents.to_json(self.variant),
            "classes": list(self.classes),
            "input": dataclasses.asdict(self.input),
            "trained": self.trained,
            "scores": self.scores,
        }


def description_from_json(document: dict[str, Any]) -> Description:
    """Inverse of `Description.to_json`. Raises ValueError, KeyError or TypeError when the document is not one."""
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}; this version reads {FORMAT}")
    variant = documents.from_json(document["variant"])
    classes = tuple(map(str, document["classes"]))
    if not (isinstance(document["trained"], dict) and isinstance(document["scores"], dict)):
        raise ValueError("what it was trained on and how it scored are not tables")
    if len(classes) != variant.classes:
        raise ValueError(f"{len(classes)} class names for {variant.classes} outputs")
    rule = input_from_json(document["input"])
    if (variant.channels, rule.order) not in ((3, "RGB"), (3, "BGR"), (1, "grey")):
        raise ValueError(f"{variant.channels} channels cannot be {rule.order}")
    if rule.mean_picture and rule.order == "grey":
        raise ValueError("a mean picture for grey pictures")
    if len(rule.mean) != variant.channels or len(rule.scale) != variant.channels:
        raise ValueError(f"{len(rule.mean)} means and {len(rule.scale)} scales for {variant.channels} channels")
    return Description(variant, classes, rule, document["trained"], document["scores"])


def input_from_json(document: dict[str, Any]) -> Input:
    """Inverse of `dataclasses.asdict` for an input rule. Raises ValueError, KeyError or TypeError."""
    mean, scale = (tuple(map(float, document[name])) for name in ("mean", "scale"))
    rest = {name: value for name, value in document.items() if name not in ("mean", "scale")}
    rule = Input(mean=mean, scale=scale, **documents.checked(Input, rest))
    if not (all(map(math.isfinite, mean + scale)) and rule.size <= rule.stored <= MOST_SIDE):
        raise ValueError(f"an input rule cannot be {document}")
    return rule


def save(path: Path, tensors: Mapping[str, Tensor], description: Description) -> None:
    """Write a model file, whole or not at all. Raises StorageError."""
    with whole(path) as partial:
        write(partial, tensors, description)


def write(path: Path, tensors: Mapping[str, Tensor], description: Description) -> None:
    """Write a model file that somebody else makes whole. Raises OSError."""
    write_tensors(path, tensors, {KEY: json.dumps(description.to_json(), sort_keys=True)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, byte for byte as safetensors does. Raises OSError.

    Written to, not mapped as safetensors has it: on a full disk a write raises an error where a mapped page ends the
    process. Takes no memory beyond the largest tensor.
    """
    kinds = {name: str(tensor.dtype) for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda name: (list(DTYPES).index(kinds[name]), name))
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        header[name] = {"dtype": DTYPES[kinds[name]], "shape": list(tensors[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(_bytes(tensors[name]))


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's values, row by row, without a copy where it lies so."""
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def describe(path: Path) -> Description:
    """What a model file says about itself; reads the head of the file alone. Raises WeightsError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file: {error}; {CONVERT}") from None
    if KEY not in metadata:
        raise WeightsError(f"{path}: a safetensors file without a description of ours; {CONVERT}")
    return described(path, metadata[KEY])


def described(path: Path, text: str) -> Description:
    """The description in a file's metadata. Raises WeightsError."""
    try:
        return description_from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: its description is not one: {type(error).__name__}: {error}") from None


def tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a model file, mapped rather than read. Raises WeightsError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file: {error}") from None


def compare(path: Path, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Raise WeightsError with a table of what is missing, unexpected or of another shape or type than `what` wants."""
    wanted, found = ({n: _form(tensor) for n, tensor in some.items()} for some in (expected, tensors))
    lines = [f"missing {name} {wanted[name]}" for name in wanted.keys() - found.keys()]
    lines += [f"unexpected {name} {found[name]}" for name in found.keys() - wanted.keys()]
    lines += [f"{n} is {found[n]}, not {wanted[n]}" for n in wanted.keys() & found.keys() if found[n] != wanted[n]]
    if lines:
        raise WeightsError(f"{path}: its tensors do not fit {what}: {'; '.join(sorted(lines))}")


def _form(tensor: Tensor) -> str:
    """Shape and type, in words."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def rows(path: Path, name: str) -> Iterator[Tensor]:
    """The rows of a tensor in consecutive blocks. The file is mapped anew now and then, so that it does not gather in
    memory."""
    from safetensors import safe_open

    start, count = 0, 1
    while start < count:
        with safe_open(path, framework="pt") as file:
            part = file.get_slice(name)
            count, *rest = part.get_shape() or [1]
            row = max(1, math.prod(rest))
            some = part[start : start + max(1, MAPPED // row)] if part.get_shape() else file.get_tensor(name)[None]
            yield from some.split(max(1, BLOCK // row))
            start += len(some)


def readable(path: Path) -> Path:
    """The path of a file that one may read. Raises UsageError."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:  # what reads safetensors and ONNX takes no other
        raise UsageError(f"{path}: a model's path must be UTF-8; rename what is not") from None
    return path


def locate(model: str | os.PathLike[str]) -> Path:
    """The file that MODEL names: itself, the best weights of a run folder, the one in a folder from Hugging Face, or
    what was fetched by a catalog name; what exists goes before a name. Raises UsageError."""
    path = Path(model)
    if os.path.isdir(path):  # unlike pathlib's, not troubled by names that no file can have
        names = ("best.safetensors", "last.safetensors", SHARED)
        found = [path / name for name in names if (path / name).is_file()]
        if not found:
            raise UsageError(f"{path}: a folder without best.safetensors; expected a run folder or a model file")
        path = found[0]
    if os.path.isfile(path):
        return readable(path)
    return catalog.locate(str(model))
