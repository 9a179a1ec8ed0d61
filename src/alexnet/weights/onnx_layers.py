"""The values inside our ONNX files: how each layer's is called there, and how a session is made to give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alexnet.network.architecture import AdaptivePool, BatchNorm, Conv, Dropout, Linear, Row
from alexnet.weights.formats.onnx_file import GRAPH, OUTPUTS, VALUE_NAME
from alexnet.weights.formats.protobuf import BYTES


def value_names(rows: Sequence[Row], output: str) -> dict[str, str]:
    """Layer → name of the value that it gives in a file by `onnx_graph`, whose last value is called `output`.

    What does nothing in use has the value of the layer before it. A product into which the batch normalisation behind
    it is folded is left out: its own values are nowhere.
    """
    names: dict[str, str] = {}
    value, folded = "", False
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        idle = isinstance(row.layer, Dropout) and row.layer.inverted
        same = isinstance(row.layer, AdaptivePool) and row.input == row.output
        value = value if folded or idle or same else row.name
        folded = isinstance(row.layer, Conv | Linear) and bool(following and isinstance(following.layer, BatchNorm))
        if not folded:
            names[row.name] = value
    return {layer: output if its == value else its for layer, its in names.items()}


def more_outputs(values: Iterable[str]) -> bytes:
    """What makes a model give these values too, put behind its bytes: pieces of one message are joined by readers
    (protobuf.dev, "Encoding", last one wins)."""
    return _field(GRAPH, b"".join(_field(OUTPUTS, _field(VALUE_NAME, value.encode())) for value in values))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    return bytes([value & 0x7F | 0x80]) + _varint(value >> 7) if value > 0x7F else bytes([value])
