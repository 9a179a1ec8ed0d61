"""What an ONNX file may hold: nothing but itself. Looks at messages, not at weights; needs neither torch nor onnx.

Numbers of the fields: onnx/onnx, onnx/onnx.proto.
"""

from __future__ import annotations

from pathlib import Path

from alexnet.errors import WeightsError
from alexnet.weights.formats import protobuf
from alexnet.weights.formats.protobuf import Message

GRAPH, METADATA, TRAINING, FUNCTIONS = 7, 14, 20, 25  # of a model
NODES, GRAPH_NAME, INITIALIZERS, INPUTS, OUTPUTS, SPARSE = 1, 2, 5, 11, 12, 15  # of a graph
NODE_INPUTS, NODE_OUTPUTS, NODE_NAME, KIND, ATTRIBUTES, DOMAIN = 1, 2, 3, 4, 5, 7  # of a node
TENSOR, ALIEN = 5, {6: "a subgraph", 11: "subgraphs", 22: "a sparse tensor", 23: "sparse tensors"}  # of an attribute
DIMS, TYPE, SEGMENT, TENSOR_NAME, RAW, EXTERNAL, LOCATION = 1, 2, 3, 8, 9, 13, 14  # of a tensor
VALUE_NAME = 1  # of what goes in or comes out
DOMAINS = ("", "ai.onnx")


def inspect(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file that needs nothing but itself. Touches no weights.

    Raises WeightsError for a file that is damaged, refers to other files, or uses operators that are not ONNX's own.
    """
    return metadata(opened(path))


def opened(path: Path) -> Message:
    """The model in a file, if it is all there and of ONNX's own operators."""
    model = protobuf.opened(path)
    for number, what in ((FUNCTIONS, "functions"), (TRAINING, "training")):
        if number in model:
            raise WeightsError(f"{path}: holds {what}, which are not read")
    if GRAPH not in model:
        raise WeightsError(f"{path}: an ONNX model without a graph")
    graph = model.message(GRAPH)
    if SPARSE in graph:
        raise WeightsError(f"{path}: holds sparse tensors, which are not read")
    for tensor in graph.messages(INITIALIZERS):
        _here(path, tensor)
    for node in graph.messages(NODES):
        if node.text(DOMAIN) not in DOMAINS:
            raise WeightsError(f"{path}: {called(node)} is of the domain {node.text(DOMAIN)!r:.60}, not ONNX's own")
        for attribute in node.messages(ATTRIBUTES):
            for number in sorted(ALIEN.keys() & attribute.numbers()):
                raise WeightsError(f"{path}: {called(node)} holds {ALIEN[number]}, not read here")
            for tensor in attribute.messages(TENSOR) + attribute.messages(10):
                _here(path, tensor)
    return model


def _here(path: Path, tensor: Message) -> None:
    if EXTERNAL in tensor or tensor.integer(LOCATION):
        raise WeightsError(f"{path}: {tensor.text(TENSOR_NAME)!r:.60} has its values in another file; only one is read")
    if SEGMENT in tensor:
        raise WeightsError(f"{path}: {tensor.text(TENSOR_NAME)!r:.60} is a segment of a tensor")


def metadata(model: Message) -> dict[str, str]:
    """What its writer noted, by key."""
    return {entry.text(1): entry.text(2) for entry in model.messages(METADATA)}


def called(node: Message) -> str:
    """An operator, for a message."""
    return f"{node.text(KIND)!r:.40} {node.text(NODE_NAME)!r:.60}"
