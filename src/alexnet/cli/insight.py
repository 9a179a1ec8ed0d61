"""The commands that look inside a model, and at runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import (
    COUNT,
    Whole,
    columns,
    command,
    emit,
    leave,
    new_file,
    or_boxed,
    percent,
    refusals,
    refused,
    shown,
)
from alexnet.errors import UsageError
from alexnet.storage import new_folder

METHODS = ("grad-cam", "saliency", "occlusion", "activations", "patches", "kernels")
BELONGS = {  # options and the methods that know them
    "layer": ("grad-cam", "activations", "patches"),
    "target": ("grad-cam", "saliency", "occlusion"),
    "kind": ("grad-cam", "saliency"),
    "window": ("occlusion",),
    "stride": ("occlusion",),
    "data": ("patches",),
    "split": ("patches",),
    "units": ("patches",),
    "count": ("patches",),
}


@command("alexnet explain cat.jpg --model runs/photos --method grad-cam --out why")
@click.argument("inputs", nargs=-1, metavar="[INPUT...]")
@click.option("--model", help="Run folder or model file, ONNX for occlusion and kernels; else the one in the box.")
@click.option("--method", type=click.Choice(METHODS), default="grad-cam", show_default=True, help="What to look at.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the pictures.")
@click.option(
    "--layer",
    help="grad-cam, activations, patches: a layer's name.  [default: the last convolution's; activations: each one's]",
)
@click.option("--target", help="Class to explain, by name or index.  [default: the predicted one]")
@click.option("--kind", help="grad-cam: mean, local; saliency: gradient, guided, smoothed.  [default: the first]")
@click.option("--window", type=COUNT, help="occlusion: side of the cover, pixels.  [default: size / 6]")
@click.option("--stride", type=COUNT, help="occlusion: pixels it moves by.  [default: window / 3]")
@click.option("--data", help="patches: DATA to look through, instead of INPUT.")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="patches: part of DATA.  [default: test, else validation]",
)
@click.option("--units", help="patches: units of the layer, as 0-15,40.  [default: the first 16]")
@click.option("--count", type=Whole(1, 100), help="patches: how many for each unit.  [default: 9]")
@click.option("--arrays", is_flag=True, help="Also write what is drawn as .npy, float32, before it is scaled.")
@click.option("--force", is_flag=True, help="Overwrite what is in the folder.")
def explain(
    inputs: tuple[str, ...],
    model: str | None,
    method: str,
    out: Path,
    arrays: bool,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Why a model answers as it does, as pictures.

    grad-cam, saliency and occlusion show where in a picture the evidence for a class lies, activations what comes out
    of a layer, patches what in many pictures excites its units most, kernels the first convolution's weights.
    """
    chosen = _options(method, inputs, given)
    new_folder(out, force)
    from alexnet.weights.model import load

    named = or_boxed(model)
    loaded = load(named)
    document = {"method": method} | _carried_out(loaded, named, method, inputs, out, arrays, chosen)
    entries = document.get("pictures", [])
    codes = refusals(entries)
    emit(document, as_json, "\n".join(_lines(document)))
    leave("explain", codes, len(entries))


def _options(method: str, inputs: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given. Raises UsageError for one that the method does not know, and where pictures lack."""
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen:
        if method not in BELONGS[name]:
            raise UsageError(f"--{name} belongs to --method {' and '.join(BELONGS[name])}, not to {method}")
    if method == "kernels" and inputs:
        raise UsageError("--method kernels takes no pictures: it shows the model's weights")
    if method == "patches" and bool(inputs) == ("data" in chosen):
        raise UsageError("--method patches looks through many pictures: give either --data DATA or INPUT...")
    if method not in ("kernels", "patches") and not inputs:
        raise UsageError(f"--method {method} explains pictures: give at least one INPUT")
    if "split" in chosen and "data" not in chosen:
        raise UsageError("--split chooses a part of --data DATA; give that too")
    return chosen


def _carried_out(
    model: Any, name: str, method: str, inputs: tuple[str, ...], out: Path, arrays: bool, chosen: dict[str, Any]
) -> dict[str, Any]:
    """What the method wrote: {"files"} and with pictures {"pictures"}, with units {"layer", "units"}."""
    from alexnet.use import explain as use

    match method:
        case "kernels":
            return {"files": use.first_kernels(model, Path(name), out, arrays)}
        case "patches":
            return _patches(model, inputs, out, arrays, **chosen)
    target = chosen.pop("target", None)
    entries = use.pictures(model, inputs, out, use.drawing(model, method, arrays, **chosen), target)
    return {"files": [file for entry in entries for file in entry.get("files", [])], "pictures": entries}


def _patches(
    model: Any,
    inputs: tuple[str, ...],
    out: Path,
    arrays: bool,
    layer: str | None = None,
    data: str | None = None,
    split: str | None = None,
    units: str | None = None,
    count: int = 9,
) -> dict[str, Any]:
    from alexnet.insight.explanations import explain as insight
    from alexnet.use import patches

    layer = insight.last_convolution(model.variant) if layer is None else layer
    given = patches.from_inputs(model, inputs) if data is None else patches.from_data(model, data, split)
    document = patches.draw(model, given, layer, _units(units, insight.shape(model, layer)[0]), count, out, arrays)
    return {"layer": layer} | document | {"pictures": given.refused}


def _units(text: str | None, width: int) -> list[int]:
    """0-3,7 → 0, 1, 2, 3, 7. Raises UsageError for units beyond the layer's `width`."""
    if text is None:
        return list(range(min(16, width)))
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not (first.strip().isdecimal() and (last.strip().isdecimal() or not dash)):
            raise UsageError(f"--units {text}: expected numbers and ranges such as 0-15,40")
        low, high = int(first), int(last) if dash else int(first)
        if not low <= high < width:
            raise UsageError(f"--units {part}: the layer has {width} units, 0 to {width - 1}")
        units += range(low, high + 1)
    return list(dict.fromkeys(units))


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [_line(entry) for entry in document.get("pictures", [])]
    return lines if lines and "units" not in document else [*lines, *document["files"]]


def _line(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return refused(entry)
    return f"{shown(entry['path'])}: {entry['label']} {percent(entry['probability'])} → {', '.join(entry['files'])}"


@command("alexnet compare runs/a runs/b --out comparison.html")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Also write a page with the curves (.html).")
@click.option("--force", is_flag=True, help="Overwrite the page.")
def compare(runs: tuple[Path, ...], out: Path | None, force: bool, as_json: bool) -> None:
    """Runs side by side: what was set differently, what came of it, whether it is more than chance."""
    from alexnet.insight.reports import comparison, comparison_page

    if len(runs) < 2:
        raise UsageError("compare takes two runs or more: alexnet compare runs/a runs/b")
    if out:
        new_file(out, force, (".html",))
    folders = comparison.read(runs)
    found = comparison.comparison(folders)
    settings = [(name, *map(comparison_page.setting, values)) for name, values in found["differences"].items()]
    tables = [columns(comparison_page.rows(found))]
    if settings:
        tables.append(columns([("differs in", *(run["run"] for run in found["runs"])), *settings]))
    tables += [comparison_page.pair(pair) for pair in found["paired"]]
    emit(found, as_json, "\n\n".join(tables), lambda: comparison_page.write(folders, found, out) if out else None)
