"""A loaded model behind one small interface: pictures in, logits out, with class names and input rule inside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.environment import keep_memory
from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import Input, Variant
from alexnet.pictures import views
from alexnet.pictures.decode import Pixels, decode, fit, read
from alexnet.weights import files
from alexnet.weights.files import Description

if TYPE_CHECKING:
    from torch import Tensor, nn

    from alexnet.network.inference import Precision, Rows

Picture = str | os.PathLike[str] | bytes | Image.Image | Pixels


class Model(Protocol):
    """What everything that uses a model needs of it."""

    description: Description

    def logits(self, pictures: Pixels) -> NDArray[np.float32]:
        """uint8 [N, size, size, 3], RGB → float32 [N, classes]."""
        ...


class TorchModel:
    """A model that torch computes: `form` gives the network to compute a batch of some size with."""

    def __init__(self, form: Callable[[int], nn.Module], pixels: nn.Module, description: Description) -> None:
        self.form, self.pixels, self.description = form, pixels, description

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
        import torch

        network = self.form(len(pictures))
        device = next(network.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
            result: Tensor = network(self.pixels(batch))
            return result.float().cpu().numpy()

    def preprocess(self, pictures: Picture | Iterable[Picture]) -> Pixels:
        """Files, encoded bytes, Pillow pictures or uint8 arrays [H, W, 3] → uint8 [N, size, size, 3], centre views.

        Raises PictureError for a picture that is refused.
        """
        one = isinstance(pictures, str | os.PathLike | bytes | Image.Image | np.ndarray)
        several: Iterable[Any] = [pictures] if one else pictures  # type: ignore[assignment]
        stored = np.stack([fit(_open(p), self.input.stored, self.input.resize) for p in several])
        return views.centre(stored, self.input.size)

    def predict(self, pictures: Picture | Iterable[Picture], top: int = 5) -> list[dict[str, Any]]:
        """Label, probability and the `top` most probable classes of each picture, as `alexnet predict --json`."""
        return [answer(row, self.classes, top) for row in softmax(self.logits(self.preprocess(pictures)))]


def _open(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if isinstance(picture, np.ndarray):
        return Image.fromarray(picture).convert("RGB")
    return decode(picture if isinstance(picture, bytes) else read(picture))


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


def load(model: str | os.PathLike[str], device: str = "cpu", precision: Precision = "auto") -> TorchModel:
    """The model that MODEL names: a run folder or a model file.

    `precision`: "float32" for the weights as they are; "auto" for the form that answers fastest (`network.inference`).
    Never draws initial weights. Raises UsageError when there is none, WeightsError when it is damaged.
    """
    from alexnet.network.inference import Forms
    from alexnet.network.layers import Pixels as FirstStage

    keep_memory()
    path = files.locate(model)
    description = files.describe(path)
    network, mean_picture = assemble(path, description)
    network.to(device)
    forms = Forms(network, _rows(path, network), precision)
    return TorchModel(forms, FirstStage(description.input, mean_picture).to(device), description)


def _rows(path: Path, network: nn.Sequential) -> Rows:
    """Rows of the network's weights from the file; as mapped, where another file has taken its place since."""

    def identity() -> tuple[int, ...] | None:
        try:
            status = path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def rows(name: str) -> Iterable[Tensor]:
        return files.rows(path, name) if identity() == opened else [network.get_parameter(name)]

    opened = identity()
    return rows


def assemble(path: Path, description: Description) -> tuple[nn.Sequential, Tensor | None]:
    """The network in use with its weights from the file, and the mean picture, everything about them checked."""
    import torch

    from alexnet.network.model import skeleton

    tensors = files.tensors(path)
    expected: dict[str, str] = {}
    if description.input.mean_picture:
        expected[files.MEAN_PICTURE] = _form(torch.empty(description.input.size, description.input.size, 3))
    try:
        network = skeleton(description.variant, description.input.size)
    except (UsageError, RuntimeError) as error:  # torch's own for sizes beyond all measure
        raise WeightsError(f"{path}: {error}") from None
    expected |= {name: _form(tensor) for name, tensor in network.state_dict().items()}
    _compare(path, expected, tensors)
    for name in tensors:
        if not all(torch.isfinite(torch.stack(block.aminmax())).all() for block in files.rows(path, name)):
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    mean_picture = tensors.pop(files.MEAN_PICTURE, None)
    network.load_state_dict(tensors, assign=True)
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last), mean_picture  # type: ignore[call-overload]


def _form(tensor: Tensor) -> str:
    """Shape and type, in words."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _compare(path: Path, expected: dict[str, str], tensors: dict[str, Tensor]) -> None:
    """Raise WeightsError with a table of what is missing, unexpected or of another shape or type."""
    found = {name: _form(tensor) for name, tensor in tensors.items()}
    lines = [f"missing {name} {expected[name]}" for name in expected.keys() - found.keys()]
    lines += [f"unexpected {name} {found[name]}" for name in found.keys() - expected.keys()]
    lines += [
        f"{n} is {found[n]}, not {expected[n]}" for n in expected.keys() & found.keys() if found[n] != expected[n]
    ]
    if lines:
        raise WeightsError(f"{path}: its tensors do not fit its description: {'; '.join(sorted(lines))}")
