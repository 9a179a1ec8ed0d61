"""Networks that torch computes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.environment import keep_memory
from alexnet.errors import UsageError, WeightsError
from alexnet.network.inference import InForm, Precision, in_form, values
from alexnet.network.layers import Pixels as FirstStage
from alexnet.network.model import skeleton
from alexnet.pictures.decode import Pixels
from alexnet.weights import coded, files
from alexnet.weights.files import Description

SPARSE = 0.25  # share of values that are not zero up to which a matrix is kept and multiplied by as a sparse one
ROWS = 64  # of a decoded weight in one block


@dataclass(frozen=True)
class TorchEngine:
    """`network` in the form in which it answers, `pixels` its first stage.

    `assembled` makes the plain network, where `network` is another form of it.
    """

    network: nn.Module
    pixels: nn.Module
    assembled: Callable[[], nn.Sequential] | None = None

    @cached_property
    def plain(self) -> nn.Sequential:
        """The network as its file has it: float32, each layer under its own name, gradients through all of them.

        The form that answers fastest has neither. Made at first use and kept, in memory that the file backs.
        """
        if self.assembled is not None:
            return self.assembled()
        assert isinstance(self.network, nn.Sequential)
        return self.network

    def __call__(self, pictures: Pixels) -> NDArray[np.float32]:
        """uint8 [N, size, size, 3], RGB → float32 logits [N, classes]."""
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
            network, first = self.network, self.pixels
            result: Tensor = network.answer(first, batch) if isinstance(network, InForm) else network(first(batch))
            return result.float().cpu().numpy()

    def features(
        self, pictures: Pixels, layers: Sequence[str], precision: Precision = "float32"
    ) -> dict[str, NDArray[np.float32]]:
        """uint8 [N, size, size, 3], RGB → what each layer gives, float32 [N, …].

        float32: by the plain network. Else in the form in which this engine answers, unless that lacks one of the
        layers, as it does products into which a batch normalisation is folded.
        """
        fast = precision != "float32" and set(layers) <= {name for name, _ in self.network.named_children()}
        network = cast(nn.Sequential, self.network) if fast else self.plain
        device = next(network.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
            found = values(network, self.pixels(batch), layers)
            return {name: found[name].cpu().numpy() for name in layers}


def from_tensors(description: Description, tensors: Mapping[str, Tensor]) -> TorchEngine:
    """The engine for tensors in memory that fit the description, in float32."""
    pixels = FirstStage(description.input, tensors.get(files.MEAN_PICTURE))
    return TorchEngine(_plain(description, tensors), pixels)


def load(path: Path, description: Description, device: str = "cpu", precision: Precision = "auto") -> TorchEngine:
    """The engine for a model file of ours. Raises WeightsError when it is damaged."""
    keep_memory()
    # Mapped now: the plain network is made of them, whatever lies at `path` by then.
    stored = files.tensors(path)
    network, tensors = _checked(path, description, stored)
    network.to(device)
    form = in_form(network, lambda n: files.rows(path, n) if n in stored else tensors[n].split(ROWS), precision)
    pixels = FirstStage(description.input, tensors.get(files.MEAN_PICTURE)).to(device)
    if form is network:
        return TorchEngine(_plain(description, tensors, device), pixels)
    return TorchEngine(form, pixels, partial(_plain, description, tensors, device))


def _plain(description: Description, tensors: Mapping[str, Tensor], device: str = "cpu") -> nn.Sequential:
    network = skeleton(description.variant, description.input.size)
    network.load_state_dict({name: _dense(tensors[name]) for name in network.state_dict()}, assign=True)
    return _in_use(network).to(device)


def limit(threads: int) -> None:
    """How many threads of this process torch computes with."""
    torch.set_num_threads(threads)


def assemble(path: Path, description: Description) -> tuple[nn.Sequential, Tensor | None]:
    """The network in use with its weights from the file, and the mean picture, everything about them checked."""
    found = tensors(path, description)
    return _plain(description, found), found.get(files.MEAN_PICTURE)


def tensors(path: Path, description: Description) -> dict[str, Tensor]:
    """Every tensor of a model file by name, float32 and dense, everything about them checked. Raises WeightsError."""
    _, found = _checked(path, description, files.tensors(path))
    return {name: _dense(tensor) for name, tensor in found.items()}


def _checked(
    path: Path, description: Description, stored: Mapping[str, Tensor]
) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """The network in use and its tensors, of which those that are mostly zeros are sparse."""
    try:
        network = skeleton(description.variant, description.input.size)
    except (UsageError, RuntimeError) as error:  # torch's own for sizes beyond all measure
        raise WeightsError(f"{path}: {error}") from None
    expected = dict(network.state_dict())
    if description.input.mean_picture:
        expected[files.MEAN_PICTURE] = torch.empty(description.input.size, description.input.size, 3, device="meta")
    tensors = decoded(path, stored, expected)
    files.compare(path, expected, tensors, "its description")
    for name in tensors.keys() & stored.keys():
        # In numpy, on one thread: torch's two wait for each other at every block, for a second where others compute.
        blocks = map(Tensor.numpy, files.rows(path, name))
        if not all(np.isfinite((block.min(), block.max())).all() for block in blocks):
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    network.load_state_dict({name: tensors[name] for name in network.state_dict()}, assign=True)
    return _in_use(network), tensors


def decoded(path: Path, stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with those of a compressed one in place of their parts. Raises WeightsError."""
    names = [name for name in expected if name + coded.GAPS in stored and name not in stored]
    parts = {name + part for name in names for part in coded.PARTS}

    def weight(name: str) -> coded.Coded:
        try:
            own = {part: stored[name + part].numpy() for part in coded.PARTS}
            return coded.decode(own, tuple(expected[name].shape))
        except (ValueError, KeyError) as error:
            raise WeightsError(f"{path}: {name} cannot be decoded: {error}") from None

    names.sort(key=lambda name: -expected[name].numel())
    with ThreadPoolExecutor() as pool:  # one beside another, the largest first
        weights = dict(zip(names, pool.map(weight, names), strict=True))
    plain = {name: found for name, found in stored.items() if name not in parts}
    return plain | {name: tensor(found) for name, found in weights.items()}


def tensor(weight: coded.Coded) -> Tensor:
    """A matrix that is mostly zeros as a sparse one, which is quicker to make and to multiply by; else dense."""
    if len(weight.shape) != 2 or len(weight.places) > SPARSE * math.prod(weight.shape):
        return torch.from_numpy(weight.dense())
    rows, columns = weight.shape
    firsts = np.arange(rows + 1, dtype=weight.places.dtype) * columns
    starts = np.searchsorted(weight.places, firsts).astype(firsts.dtype)
    places = weight.places - np.repeat(firsts[:-1], np.diff(starts))  # a remainder would take three times as long
    where, values = (torch.from_numpy(starts), torch.from_numpy(places)), torch.from_numpy(weight.values)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")  # "is in beta state"; torch is pinned
        return torch.sparse_csr_tensor(*where, values, size=weight.shape, check_invariants=False)


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _in_use(network: nn.Sequential) -> nn.Sequential:
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
