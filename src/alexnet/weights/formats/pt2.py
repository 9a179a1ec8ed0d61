"""Programs of torch.export: the whole network with its first stage, for torch's own compilers and runtimes.

They take uint8 pictures [N, size, size, 3], RGB, any number of them, and give float32 logits [N, classes].
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.pictures.decode import Pixels
from alexnet.weights import files, torch_engine
from alexnet.weights.files import Description


@dataclass(frozen=True)
class Program:
    """A program that was read back."""

    module: nn.Module

    def __call__(self, pictures: Pixels) -> NDArray[np.float32]:
        """uint8 [N, size, size, 3], RGB → float32 logits [N, classes]."""
        with torch.inference_mode():
            result: Tensor = self.module(torch.from_numpy(np.ascontiguousarray(pictures)))
            return result.numpy()


def write(path: Path, description: Description, tensors: Mapping[str, Tensor]) -> None:
    """Write the network as a program, with its description as the extra file `alexnet`. By way of memory: on a full
    disk torch's own writer ends the process. Raises OSError."""
    own = {name: tensor.clone() for name, tensor in tensors.items()}  # not as parts of one mapped file
    engine = torch_engine.from_tensors(description, own)
    module = nn.Sequential(OrderedDict(pixels=engine.pixels, network=engine.network)).eval()
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # row by row, as its file wants it
    size = description.input.size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with torch.no_grad():
        program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("N", min=1)},))
    text = json.dumps(description.to_json(), sort_keys=True)
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={files.KEY: text})
    path.write_bytes(file.getbuffer())


def read(path: Path) -> Program:
    """A program that we wrote. Not for files from elsewhere: torch looks at what is in them after it has built it."""
    return Program(torch.export.load(path).module())
