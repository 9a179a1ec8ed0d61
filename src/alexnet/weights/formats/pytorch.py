"""What `torch.save` wrote, read without running any of it: the tensors of a state dict.

torch's own restricted reader does the reading and nothing stands in for it when it refuses. Before it begins, the
pickle is looked through for what it names and for its length, since the restricted reader still lets a file ask for
any amount of memory or time; afterwards every tensor is checked to be plain values that lie in the file.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet.errors import WeightsError
from alexnet.weights.formats import zips

TAR = b"ustar"  # at TAR_AT; torch's files until 2016 were tar archives
TAR_AT = 257
PICKLE = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
PICKLED = 2**20  # bytes of pickle; a checkpoint of such a network has some 10,000
OPERATIONS = 20_000  # of a pickle, so that references to references cannot take more than a second
KINDS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
HARMLESS = {
    "collections OrderedDict",
    *(f"torch._utils {name}" for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")),
    *(f"torch {kind}Storage" for kind in KINDS),
}
WRAPPERS = ("state_dict", "model_state_dict", "model")  # of the ImageNet example, of tutorials, of torchvision
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def recognises(head: bytes) -> bool:
    """Whether a file with these first bytes is one of torch's, or some other pickle, which `tensors` refuses."""
    if head.startswith(zips.MAGIC):
        return b"data.pkl" in head
    return head.startswith(PICKLE) or head[TAR_AT:].startswith(TAR)


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of the state dict in a file of torch's, by name; of any type, mapped where the file allows it.

    Raises WeightsError.
    """
    with path.open("rb") as file:
        head = file.read(PICKLED)
    if head[TAR_AT:].startswith(TAR):
        raise WeightsError(
            f"{path}: in torch's first format, a tar archive, which cannot be read safely; load it once with torch and "
            "save it anew, or take alexnet-owt-7be5be79.pth instead of alexnet-owt-4df8aa71.pth"
        )
    zipped = head.startswith(zips.MAGIC)
    if zipped:
        _look_through_zip(path)
    else:
        _look_through_pickles(path, head)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch raises a dozen kinds of exception for damaged files
        raise WeightsError(f"{path}: torch cannot read it as weights: {_line(error)}") from None
    return _state(path, content)


def _line(error: Exception) -> str:
    """What an exception says, on one line of bearable length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _look_through_zip(path: Path) -> None:
    with zips.opened(path) as archive:
        pickles = [member for member in archive.infolist() if member.filename.endswith("data.pkl")]
        if len(pickles) != 1:
            raise WeightsError(f"{path}: {len(pickles)} members called data.pkl; a file of torch's has one")
        if pickles[0].file_size > PICKLED:
            raise WeightsError(f"{path}: {pickles[0].filename} is longer than {PICKLED:,} bytes")
        _look_through(path, io.BytesIO(archive.read(pickles[0])))
        damaged = archive.testzip()  # torch compares no checksums
        if damaged:
            raise WeightsError(f"{path}: damaged: the checksum of {damaged} is wrong")


def _look_through_pickles(path: Path, head: bytes) -> None:
    """The format of 2017 to 2020: a magic number, a version, the machine, the object, the order of its storages."""
    stream = io.BytesIO(head)
    first = _look_through(path, stream)
    if first != torch.serialization.MAGIC_NUMBER:
        raise WeightsError(f"{path}: a Python pickle, not a file of torch's; only the weights of a network can be read")
    for _ in range(4):
        _look_through(path, stream)


def _look_through(path: Path, stream: io.BytesIO) -> object:
    """Check one pickle without running it; gives the last value it mentions. Raises WeightsError."""
    value: object = None
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if operation.name == "GLOBAL" and argument not in HARMLESS:
                name = str(argument)[:80].replace(" ", ".")
                raise WeightsError(f"{path}: holds a Python object, {name}, not weights alone; save its state_dict()")
            if count > OPERATIONS:
                raise WeightsError(f"{path}: its pickle has more than {OPERATIONS:,} steps, too many for a network")
            value = value if argument is None else argument
    except (ValueError, IndexError, OverflowError) as error:
        raise WeightsError(f"{path}: damaged pickle: {_line(error)}") from None
    return value


def _state(path: Path, content: Any) -> dict[str, Tensor]:
    """The state dict in what a file holds: all of it, or an entry of a checkpoint."""
    inner = next((content[key] for key in WRAPPERS if isinstance(content, dict) and key in content), content)
    if not isinstance(inner, dict) or not inner:
        raise WeightsError(f"{path}: no state dict in it, but {type(inner).__name__}")
    for name, value in inner.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path}: no state dict in it: {str(name)[:80]!r} is {type(value).__name__}, no tensor")
    return inner


def plain(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors in float32, row by row in memory, all else as it is.

    Raises WeightsError for a tensor that is not plain values of its own in memory, and for values that are not finite.
    """
    claimed: dict[int, int] = {}
    for name, tensor in tensors.items():
        _check(path, name, tensor, claimed)
    result = {}
    for name, tensor in tensors.items():
        value = tensor.detach()
        result[name] = (value.float() if value.dtype in FLOATS else value).contiguous()
        if value.numel() and not torch.isfinite(torch.stack(result[name].aminmax())).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite in float32")
    return result


def _check(path: Path, name: str, tensor: Tensor, claimed: dict[int, int]) -> None:
    """`claimed`: bytes that the tensors before claim of each storage, by its address."""
    ordinary = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not ordinary or type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.is_neg() or tensor.is_conj():
        kind = "quantised" if tensor.is_quantized else f"{tensor.device.type} {tensor.layout}"
        raise WeightsError(f"{path}: {name} is not a dense tensor of plain values but {kind}".replace("torch.", ""))
    storage = tensor.untyped_storage()
    claimed[storage.data_ptr()] = claimed.get(storage.data_ptr(), 0) + tensor.nbytes
    if claimed[storage.data_ptr()] > storage.nbytes():
        raise WeightsError(f"{path}: {name} claims more values than the file holds for it")
