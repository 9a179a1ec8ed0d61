"""The pictures that excite units most, as files: a sheet of patches with what lies about them, and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import AlexNetError
from alexnet.evaluation.evaluate import choose, default_split
from alexnet.insight.explanations import panels, patches
from alexnet.pictures import views
from alexnet.pictures.batches import in_order
from alexnet.pictures.decode import Pixels
from alexnet.pictures.inputs import chunks, expand, opened, refusal
from alexnet.pictures.prepare import open_for
from alexnet.progress import progress
from alexnet.storage import write_csv
from alexnet.use.explain import write
from alexnet.weights.model import Model

BATCH = 16
ROWS = 16  # units on a sheet
HEADING = ("unit", "rank", "value", "path", "left", "top", "right", "bottom")


@dataclass(frozen=True)
class Given:
    """Pictures to look through: in batches, uint8 [B, size, size, 3]; then any of them by its number, and its path.

    `refused` has an entry for each that could not be read, once the batches have been gone through.
    """

    batches: Iterator[Pixels]
    picture: Callable[[int], Pixels]
    path: Callable[[int], str]
    refused: list[dict[str, Any]]


def from_data(model: Model, data: str, split: str | None) -> Given:
    """The pictures of DATA: of its test part, or else its validation part, or else all. Raises UsageError."""
    store = open_for(model.input, data)
    part = choose(store, {}, split or default_split(store, {}), data)
    read = progress(in_order(part, BATCH), -(-len(part) // BATCH), "looking through")

    def picture(number: int) -> Pixels:
        return _one(views.centre(part.read(slice(number, number + 1)), model.input.size))

    return Given((views.centre(batch, model.input.size) for batch, _ in read), picture, lambda n: part.paths[n], [])


def from_inputs(model: Model, inputs: Sequence[str]) -> Given:
    """Pictures that are named: files, folders, patterns of names, URLs."""
    paths, good, refused = expand(inputs), list[str](), list[dict[str, Any]]()

    def batches() -> Iterator[Pixels]:
        read = progress(opened(paths, model.input), len(paths), "looking through")
        for chunk in chunks(zip(paths, read, strict=True), BATCH):
            found = [(path, picture) for path, picture in chunk if not isinstance(picture, AlexNetError)]
            refused.extend(refusal(path, error) for path, error in chunk if isinstance(error, AlexNetError))
            good.extend(path for path, _ in found)
            if found:
                yield views.centre(np.stack([picture for _, picture in found]), model.input.size)

    def picture(number: int) -> Pixels:
        return _one(model.preprocess(good[number]))

    return Given(batches(), picture, lambda number: good[number], refused)


def draw(
    model: Model, given: Given, layer: str, units: Sequence[int], count: int, out: Path, arrays: bool
) -> dict[str, Any]:
    """Find and draw the `count` strongest answers of each unit: {"units": [{unit, name, patches}], "files"}."""
    answers = patches.strongest(model, given.batches, layer, units, count)
    found = [_unit(model, given, layer, *pair) for pair in zip(units, answers, strict=True)]
    files = []
    for page, start in enumerate(range(0, len(found), ROWS), start=1):
        strips = [_strip(model, given, *pair) for pair in list(zip(found, answers, strict=True))[start : start + ROWS]]
        title = f"{model.variant.name}, {layer}: what excites a unit most; paler: beyond what it sees"
        path = out / (f"patches-{page}.png" if page > 1 else "patches.png")
        files.append(write(path, panels.titled(panels.stacked(strips, gap=0), [title])))
    write_csv(out / "patches.csv", HEADING, _rows(found))
    files.append(str(out / "patches.csv"))
    if arrays:
        files.append(write(out / "patches.npy", answers["value"]))
    return {"units": found, "files": files}


def _unit(model: Model, given: Given, layer: str, unit: int, answers: patches.Answers) -> dict[str, Any]:
    """A unit, by the name of its class in the last layer, and what it answered strongest to."""
    last = layer == model.variant.layers[-1][0]
    found = [
        {
            "path": given.path(int(answer["picture"])),
            "value": float(answer["value"]),
            "box": list(patches.seen_by(model, layer, answer)),
        }
        for answer in answers
        if answer["picture"] != patches.NONE
    ]
    return {"unit": unit, "name": model.classes[unit] if last else f"unit {unit}", "patches": found}


def _rows(found: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for entry in found:
        for rank, patch in enumerate(entry["patches"], start=1):
            yield entry["unit"], rank, f"{patch['value']:.6g}", patch["path"], *patch["box"]


def _strip(model: Model, given: Given, entry: dict[str, Any], answers: patches.Answers) -> Pixels:
    """One unit's patches side by side, under its name and how strongly it answered."""
    size, found = model.input.size, entry["patches"]
    pictures = (panels.as_seen(given.picture(int(answer["picture"])), model.input) for answer in answers[: len(found)])
    shown = [
        panels.patch(picture, patch["box"], patches.around(patch["box"], size))
        for picture, patch in zip(pictures, found, strict=True)
    ]
    strength = f"{found[0]['value']:.3g} … {found[-1]['value']:.3g}" if found else "no picture"
    return panels.titled(panels.beside(shown, gap=4), [f"{entry['name']}: {strength}"])


def _one(pictures: Pixels) -> Pixels:
    first: Pixels = pictures[0]
    return first
