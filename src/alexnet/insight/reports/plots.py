"""Pictures of a run: samples, curves, confusion, predictions. Each function draws one and writes it to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from alexnet.pictures.decode import Pixels
from alexnet.storage import whole

RIGHT, WRONG = "#2a7d4f", "#c0392b"
SHOWN_CLASSES = 10  # rows of a sheet of samples at most


def write(figure: Figure, path: Path) -> None:
    """Save a figure, whole or not at all."""
    with whole(path) as partial:
        figure.savefig(partial, dpi=110, bbox_inches="tight")


def shorten(text: str, length: int = 18) -> str:
    """A name that fits under a picture, with nothing in it that the plotting library would take for a formula."""
    short = text if len(text) <= length else f"{text[: length - 1]}…"
    return short.encode("utf-8", "replace").decode().replace("$", r"\$")


def sheet(rows: Sequence[tuple[str, Sequence[Pixels]]], title: str, path: Path) -> None:
    """Pictures, uint8 [H, W, 3] each and all of one size, in rows with a name: `samples.png` and `inputs.png`."""
    columns = max(len(pictures) for _, pictures in rows)
    figure = Figure(figsize=(1.3 * columns + 1.2, 1.3 * len(rows) + 0.5), layout="constrained")
    axis = _montage(figure, [pictures for _, pictures in rows], title, apart=1.04)
    for row, (name, _) in enumerate(rows):
        axis.text(-0.08, 1.04 * row + 0.5, shorten(name), ha="right", va="center", fontsize=9)
    write(figure, path)


def _montage(figure: Figure, rows: Sequence[Sequence[Pixels]], title: str, apart: float) -> Axes:
    """Axes that hold pictures of one size side by side as one picture, each a unit square, rows `apart` from each
    other; axes of their own would each cost more than a picture does."""
    side = len(rows[0][0])
    columns = max(map(len, rows))
    height = round(side * (apart * (len(rows) - 1) + 1))
    canvas = np.full((height, round(side * (1.04 * (columns - 1) + 1)), 3), 255, np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            top, left = round(row * apart * side), round(column * 1.04 * side)
            canvas[top : top + side, left : left + side] = picture
    axis = figure.subplots()
    axis.set_axis_off()
    axis.imshow(canvas, extent=(0, canvas.shape[1] / side, height / side, 0))
    axis.set_title(title, fontsize=11)
    return axis


def curves(history: Sequence[dict[str, Any]], path: Path, watched: str) -> None:
    """Loss and top-1 over the epochs, of training and of the part that was watched: validation or test."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for axis, key, name, factor in ((left, "loss", "cross-entropy", 1), (right, "top1", "top-1 accuracy, %", 100)):
        for part, label in (("train", "training"), ("valid", watched)):
            values = [row[f"{part}_{key}"] for row in history]
            if None not in values:
                axis.plot(epochs, [factor * value for value in values], marker="o", markersize=3, label=label)
        axis.set(xlabel="epoch", ylabel=name)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend()
    left.set_title("loss (training: on augmented views)", fontsize=10)
    right.set_title("accuracy", fontsize=10)
    write(figure, path)


def confusion(matrix: NDArray[np.int64], classes: Sequence[str], title: str, path: Path) -> None:
    """True against predicted classes; with the counts written in where they can be read."""
    count = len(classes)
    side = float(np.clip(0.55 * count + 2, 3.6, 14))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axis = figure.subplots()
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the true class", shrink=0.8)
    axis.set(xlabel="predicted", ylabel="true")
    axis.set_title(title, fontsize=10)
    if count <= 40:
        axis.set_xticks(
            range(count),
            [shorten(c) for c in classes],
            rotation=45 if count > 2 else 0,
            ha="right" if count > 2 else "center",
        )
        axis.set_yticks(range(count), [shorten(c) for c in classes])
    if count <= 20:
        write_counts(axis, matrix, share)
    write(figure, path)


def write_counts(axis: Axes, matrix: NDArray[np.int64], share: NDArray[np.floating[Any]]) -> None:
    for true in range(len(matrix)):
        for predicted in range(len(matrix)):
            colour = "white" if share[true, predicted] > 0.55 else "black"
            text = f"{matrix[true, predicted]}"
            axis.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=8)


def predictions(
    pictures: Sequence[Pixels], lines: Sequence[tuple[str, bool]], title: str, path: Path, columns: int = 6
) -> None:
    """Pictures with a line of text under each, green where right and red where wrong."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    figure = Figure(figsize=(1.75 * columns, 2.05 * len(rows) + 0.4), layout="constrained")
    axis = _montage(figure, rows, title, apart=1.2)
    for place, (text, right) in enumerate(lines):
        x, y = 1.04 * (place % columns) + 0.5, 1.2 * (place // columns) + 1.02
        axis.text(x, y, text, ha="center", va="top", fontsize=8, color=RIGHT if right else WRONG)
    write(figure, path)
