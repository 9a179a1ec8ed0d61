"""Networks from PyTorch: torchvision's alexnet, and networks of ours saved as a state dict, with or without wrapping.

torchvision's keys: features.{0,3,6,8,10} are the convolutions, classifier.{1,4,6} the fully connected layers
(torchvision 0.28, models/alexnet.py). Its normalisation stands in no file, so the rule of its own `AlexNet_Weights` is
taken.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from alexnet.errors import UsageError, WeightsError
from alexnet.network import architecture, variants
from alexnet.network.architecture import Conv, Dropout, Input, Layer, Linear, Variant, Weighted, ZeroLogit
from alexnet.network.model import skeleton
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.formats import pytorch
from alexnet.weights.formats.foreign import CHANNEL_ORDER, MEAN_AND_SCALE, PICTURE_SIZE, RESIZE_RULE, Foreign

if TYPE_CHECKING:
    from torch import Tensor

KEYS = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
# What DataParallel puts before every key, or after `features`, which the ImageNet example wraps alone; torch.compile.
WRAPPING = {"module", "_orig_mod"}
MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in 0..1
DEVIATION = (0.229, 0.224, 0.225)
STORED = 256  # pixels of the shorter side, of which the centre is seen
KINDS = ("weight", "bias")
GUESSED = (PICTURE_SIZE, RESIZE_RULE, CHANNEL_ORDER, MEAN_AND_SCALE)


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file is one of torch's, or safetensors: a header's length, then JSON."""
    return pytorch.recognises(head) or _is_safetensors(head)


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32


def read(path: Path, wanted: Variant | None = None) -> Foreign:
    """The network in a `.pth`, `.pt` or safetensors file (without a description of ours).

    Raises WeightsError for a file that is damaged, hostile or of another network, UsageError where several networks
    fit and `wanted` does not say which.
    """
    with path.open("rb") as file:
        found = files.tensors(path) if _is_safetensors(file.read(9)) else pytorch.tensors(path)
    named = {_unwrapped(name): tensor for name, tensor in pytorch.plain(path, found).items()}
    if len(named) < len(found):
        raise WeightsError(f"{path}: two of its tensors have the same name but for the wrapping")
    theirs = {f"{theirs}.{kind}": f"{ours}.{kind}" for ours, theirs in KEYS.items() for kind in KINDS}
    if theirs.keys() & named.keys():
        named = {theirs.get(name, name): tensor for name, tensor in named.items()}
        variant = _torchvision(path, named, wanted)
    elif "conv1.weight" in named:
        variant = _ours(path, named, wanted)
    else:
        some = ", ".join(sorted(named)[:4])[:200]
        raise WeightsError(f"{path}: the names of its tensors are neither torchvision's nor ours: {some}, …")
    rule = input_rule(variant.size, variant.channels)
    files.compare(path, skeleton(variant, rule.size).state_dict(), named, f"the variant {variant.name}")
    return Foreign("PyTorch", variant, named, rule, guessed=GUESSED)


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPING)


def _torchvision(path: Path, tensors: Mapping[str, Tensor], wanted: Variant | None) -> Variant:
    """torchvision's variant for as many classes and channels as the file has."""
    value = _fitted(variants.variant("torchvision"), tensors)
    if wanted and wanted.name != value.name:
        raise UsageError(f"{path}: its names are torchvision's, so its variant cannot be {wanted.name}")
    return value


def _ours(path: Path, tensors: Mapping[str, Tensor], wanted: Variant | None) -> Variant:
    """The variant that the user names, or the only one whose tensors are named and shaped like these."""
    if wanted:
        return _fitted(wanted, tensors)
    fitting = []
    for name in variants.VARIANTS:
        with suppress(UsageError):
            value = _fitted(variants.variant(name), tensors)
            if _shapes(skeleton(value).state_dict()) == _shapes(tensors):
                fitting.append(value)
    if not fitting:
        raise WeightsError(f"{path}: its tensors fit none of the variants; with --variant it is said where they differ")
    if len(fitting) > 1:
        names = ", ".join(value.name for value in fitting)
        raise UsageError(f"{path}: its tensors fit several variants; say with --variant which it is: {names}")
    return fitting[0]


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _fitted(variant: Variant, tensors: Mapping[str, Tensor]) -> Variant:
    """The variant for as many input channels and classes as the tensors tell."""
    first = next(name for name, layer in variant.layers if isinstance(layer, Weighted))
    last = [name for name, layer in variant.layers if isinstance(layer, Linear)][-1]
    kernels, head = tensors.get(f"{first}.weight"), tensors.get(f"{last}.weight")
    if kernels is not None and kernels.dim() == 4 and kernels.shape[1] in (1, 3):
        variant = dataclasses.replace(variant, channels=kernels.shape[1])
    if head is None or head.dim() != 2 or any(isinstance(layer, ZeroLogit) for _, layer in variant.layers):
        return variant
    return architecture.with_classes(variant, max(1, head.shape[0]))


def input_rule(size: int, channels: int) -> Input:
    """torchvision's rule: the shorter side to 256, bilinear with antialiasing, the centre, RGB, normalised."""
    means, deviations = (MEAN, DEVIATION) if channels == 3 else ((sum(MEAN) / 3,), (sum(DEVIATION) / 3,))
    mean, scale = tuple(255 * value for value in means), tuple(1 / (255 * value) for value in deviations)
    order: Literal["RGB", "grey"] = "RGB" if channels == 3 else "grey"
    return Input(size, max(STORED, size), "crop", order=order, mean=mean, scale=scale)


def write(path: Path, description: Description, tensors: Mapping[str, Tensor]) -> None:
    """Write the state dict that torchvision's `alexnet(num_classes=…).load_state_dict` takes: `.pth` or `.pt` with
    torch.save, or `.safetensors`. Class names and input rule have no place in it.

    Raises UsageError for another network or ending, OSError.
    """
    variant = description.variant
    if _plan(variant) != _plan(variants.variant("torchvision", variant.classes, variant.channels)):
        raise UsageError(f"{path}: torchvision's layout holds no network but torchvision's; this one is {variant.name}")
    named = {f"{theirs}.{kind}": tensors[f"{ours}.{kind}"] for ours, theirs in KEYS.items() for kind in KINDS}
    if path.suffix == ".safetensors":
        files.write_tensors(path, named)
    elif path.suffix in (".pth", ".pt"):
        _save(path, named)
    else:
        raise UsageError(f"{path}: torchvision's layout is written as .pth, .pt or .safetensors, not {path.suffix!r}")


def _plan(variant: Variant) -> tuple[tuple[str, Layer], ...]:
    """The layers without what matters in training alone."""
    return tuple((name, _trained(layer)) for name, layer in variant.layers)


def _trained(layer: Layer) -> Layer:
    if isinstance(layer, Conv | Linear):
        return dataclasses.replace(layer, std=0.0, bias=None if layer.bias is None else 0.0)
    return dataclasses.replace(layer, p=0.0) if isinstance(layer, Dropout) and layer.inverted else layer


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """As torch.save does, with nothing of the file's name in it. By way of memory: on a full disk torch's own writer
    ends the process."""
    import torch

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    file = io.BytesIO()
    torch.save(plain, file)
    path.write_bytes(file.getbuffer())
