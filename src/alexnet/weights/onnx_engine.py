"""Networks that ONNX Runtime computes, from files that `alexnet export` wrote. Without torch and without onnx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import walk
from alexnet.pictures.decode import Pixels
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.formats import onnx_file
from alexnet.weights.onnx_layers import more_outputs, value_names

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from alexnet.network.inference import Precision

INPUT, OUTPUT = "pictures", "logits"
SILENT = 4  # level of a message that is said: what is wrong comes as an error


@dataclass(frozen=True)
class OnnxEngine:
    """A session of ONNX Runtime, on the processor."""

    path: Path
    session: InferenceSession
    description: Description
    threads: int  # that compute; 0: one for each core
    giving: dict[tuple[str, ...], InferenceSession] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, pictures: Pixels) -> NDArray[np.float32]:
        """uint8 [N, size, size, 3], RGB → float32 logits [N, classes]. Raises WeightsError for what is no number."""
        try:
            (logits,) = self.session.run([OUTPUT], {INPUT: np.ascontiguousarray(pictures)})
        except Exception as error:  # its own classes have no other ancestor
            raise _damaged(self.path, error) from None
        if not np.isfinite(logits).all():
            raise WeightsError(f"{self.path}: gives logits that are not finite")
        result: NDArray[np.float32] = logits
        return result

    def weight(self, name: str) -> NDArray[np.float32]:
        """A float32 tensor of the file, by our name for it. Raises WeightsError."""
        graph = onnx_file.opened(self.path).message(onnx_file.GRAPH)
        found = [t for t in graph.messages(onnx_file.INITIALIZERS) if t.text(onnx_file.TENSOR_NAME) == name]
        try:
            values = np.frombuffer(found[0].octets(onnx_file.RAW), "<f4")
            return values.reshape(found[0].integers(onnx_file.DIMS))
        except (IndexError, ValueError):
            raise WeightsError(f"{self.path}: holds no tensor {name} as our exports do") from None

    def features(
        self, pictures: Pixels, layers: Sequence[str], precision: Precision = "float32"
    ) -> dict[str, NDArray[np.float32]]:
        """uint8 [N, size, size, 3], RGB → what each layer gives, float32 [N, …]; computed as the file was written.

        Raises UsageError for a layer that the file has no values of.
        """
        known = value_names(walk(self.description.variant, self.description.input.size), OUTPUT)
        if missing := [layer for layer in layers if layer not in known]:
            raise UsageError(
                f"{self.path}: has no values of {', '.join(missing)}, into which the batch normalisation behind is "
                "folded; ask for that, or take the model that the file was exported from"
            )
        values = tuple(sorted({known[layer] for layer in layers}))
        try:
            found = self._giving(values).run(values, {INPUT: np.ascontiguousarray(pictures)})
        except Exception as error:  # as above
            raise _damaged(self.path, error) from None
        return {layer: found[values.index(known[layer])] for layer in layers}

    def _giving(self, values: tuple[str, ...]) -> InferenceSession:
        """A session that gives values from within; it holds the weights again, and is kept."""
        if values not in self.giving:
            more = more_outputs(value for value in values if value != OUTPUT)
            self.giving[values] = _session(self.path, self.path.read_bytes() + more, self.threads)
        return self.giving[values]


def load(path: Path, threads: int | None = None) -> tuple[OnnxEngine, Description]:
    """The engine for an ONNX file of ours, and what the file says about itself.

    Raises WeightsError for a file that is damaged or does not fit its description, UsageError for another program's.
    """
    metadata = onnx_file.inspect(path)
    if files.KEY not in metadata:
        raise UsageError(
            f"{path}: an ONNX file of another program, without class names and input rule; make a model of it: "
            f"alexnet weights convert {path} --out {path.stem}.safetensors"
        )
    description = files.described(path, metadata[files.KEY])
    session = _session(path, path, threads or 0)
    _check(path, session, description)
    return OnnxEngine(path, session, description, threads or 0), description


def _session(path: Path, model: Path | bytes, threads: int) -> InferenceSession:
    """A session for a model: the file at `path`, or made of it."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(f"{path}: needs ONNX Runtime: pip install 'alexnet[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = threads  # 0: one for each core
    # Weights packed for products of matrices cost a third of the time of loading and gain a twentieth in use.
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path}: ONNX Runtime refuses it: {' '.join(str(error).split())[:300]}")


def _check(path: Path, session: InferenceSession, description: Description) -> None:
    """Raise WeightsError unless what goes in and comes out is what the description says, for any number of pictures."""
    size = description.input.size
    expected = {INPUT: ("tensor(uint8)", [size, size, 3]), OUTPUT: ("tensor(float)", [description.variant.classes])}
    ends: list[Any] = [*session.get_inputs(), *session.get_outputs()]
    found = {end.name: (end.type, end.shape[1:]) for end in ends if isinstance(end.shape[0], str)}
    if found != expected or len(ends) > len(expected):
        shapes = ", ".join(f"{end.name} {end.type} {end.shape}" for end in ends)
        raise WeightsError(f"{path}: takes and gives {shapes}, which does not fit its description")
