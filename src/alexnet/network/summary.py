"""The layer table of a variant: as text, as JSON values, with each size explained, and as a drawing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alexnet.network.architecture import (
    AdaptivePool,
    Linear,
    Nonlinearity,
    Row,
    Shape,
    Variant,
    Weighted,
    Windowed,
    ZeroLogit,
    walk,
)


def activation(rows: tuple[Row, ...], index: int) -> str | None:
    """Name of the non-linearity that layer `index` feeds: the first one before the next layer with weights."""
    if not isinstance(rows[index].layer, Weighted):
        return None
    for row in rows[index + 1 :]:
        if isinstance(row.layer, Nonlinearity):
            return type(row.layer).__name__.lower()
        if isinstance(row.layer, Weighted):
            break
    return None


def summary(variant: Variant, size: int | None = None) -> dict[str, Any]:
    """Layer table as JSON values: rows in order, then the totals.

    `parameters` counts every value that a model file holds, `trainable` those that training changes; they differ by
    the running statistics of batch normalisation. `macs` are multiply-adds of one picture, forward.
    """
    rows = walk(variant, size)
    layers = [_row(rows, index) for index in range(len(rows))]
    return {
        "name": variant.name,
        "title": variant.title,
        "source": variant.source,
        "input": list(rows[0].input),
        "classes": variant.classes,
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "trainable": sum(row.parameters for row in rows),
        "macs": sum(row.macs for row in rows),
    }


def _row(rows: tuple[Row, ...], index: int) -> dict[str, Any]:
    row = rows[index]
    return {
        "name": row.name,
        "type": type(row.layer).__name__,
        "input": list(row.input),
        "output": list(row.output),
        **{field: getattr(row.layer, field, None) for field in ("kernel", "stride", "padding", "groups")},
        "activation": activation(rows, index),
        "parameters": row.parameters + row.statistics,
        "macs": row.macs,
    }


def explain(variant: Variant, size: int | None = None) -> Iterator[str]:
    """One line a layer that changes the shape: how its size follows, e.g. conv1: (227 - 11)/4 + 1 = 55."""
    for row in walk(variant, size):
        text = _explanation(row)
        if text:
            yield f"{row.name}: {text}"


def _explanation(row: Row) -> str | None:
    layer = row.layer
    if isinstance(layer, Windowed):
        return f"{_side(layer, row.input[1], row.output[1])}, {_maps(row.output)}"
    if isinstance(layer, Linear):
        inputs = row.input[0] if len(row.input) == 1 else f"{row.input[0]} x {row.input[1]} x {row.input[2]}"
        return f"{inputs} values to {layer.units}"
    if isinstance(layer, AdaptivePool):
        return f"whatever comes to {_maps(row.output)}"
    if isinstance(layer, ZeroLogit):
        return "1 value and a 0 beside it to 2"
    return None


def _side(layer: Windowed, side: int, output: int) -> str:
    padding = getattr(layer, "padding", 0)
    padded = f"{side} + 2·{padding}" if padding else f"{side}"
    exact = (side + 2 * padding - layer.kernel) % layer.stride == 0
    fraction = f"({padded} − {layer.kernel})/{layer.stride}"
    if exact:
        return f"{fraction} + 1 = {output}"
    return f"⌈{fraction}⌉ + 1 = {output}" if getattr(layer, "ceil", False) else f"⌊{fraction}⌋ + 1 = {output}"


def _maps(shape: Shape) -> str:
    return f"{shape[0]} maps of {shape[1]} x {shape[2]}"


def table(variant: Variant, size: int | None = None) -> str:
    """The table as Keras prints it, with kernels and multiply-adds beside."""
    document = summary(variant, size)
    head = ("Layer (type)", "Output shape", "Kernel", "Activation", "Param #", "Mult-adds")
    lines = [_cells(layer) for layer in document["layers"]]
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]

    def line(cells: tuple[str, ...]) -> str:
        left = [cell.ljust(width) for cell, width in zip(cells[:4], widths[:4], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(cells[4:], widths[4:], strict=True)]
        return "  ".join([*left, *right]).rstrip()

    rule = "─" * (sum(widths) + 2 * len(widths) - 2)
    fixed = document["parameters"] - document["trainable"]
    return "\n".join(
        [
            f"{variant.name}: {variant.title}, {document['classes']} classes, input {_dash(document['input'])}",
            rule,
            line(head),
            rule,
            *map(line, lines),
            rule,
            f"Total params: {document['parameters']:,}",
            f"Trainable params: {document['trainable']:,}",
            f"Non-trainable params: {fixed:,}",
            f"Multiply-adds a picture: {document['macs'] / 1e6:,.1f} M",
        ]
    )


def _dash(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _cells(layer: dict[str, Any]) -> tuple[str, ...]:
    kernel = ""
    if layer["kernel"]:
        kernel = f"{layer['kernel']}x{layer['kernel']} s{layer['stride']}"
        kernel += f" p{layer['padding']}" if layer["padding"] else ""
        kernel += f" g{layer['groups']}" if (layer["groups"] or 1) > 1 else ""
    parameters = f"{layer['parameters']:,}" if layer["parameters"] else "0"
    macs = f"{layer['macs']:,}" if layer["macs"] else ""
    name = f"{layer['name']} ({layer['type']})"
    return (name, _dash(layer["output"]), kernel, layer["activation"] or "", parameters, macs)
