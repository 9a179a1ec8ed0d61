"""The commands that bring other people's weights in, and take ours out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import COUNT, SEED, Commands, Number, cli, columns, command, emit, new_file, percent, with_json
from alexnet.progress import say

CHANGE = {"resize rule": "--resize", "class names": "--labels", "mean and scale": "--mean"}
TO = ("onnx", "pt2", "torchvision", "keras", "safetensors")
with_force = click.option("--force", is_flag=True, help="Overwrite the file.")


@cli.group("weights", cls=Commands, invoke_without_command=True, epilog="Example: alexnet weights fetch torchvision")
@with_json
@click.pass_context
def weights_command(context: click.Context, as_json: bool) -> None:
    """Other people's weights: what there is, and how to bring it in."""
    if not context.invoked_subcommand:
        context.invoke(weights_list, as_json=as_json)


@weights_command.command("list", epilog="Example: alexnet weights list --json")
@with_json
def weights_list(as_json: bool) -> None:
    """Published weights known by name. Fetches nothing."""
    from dataclasses import asdict

    from alexnet.weights import catalog

    here = {name: catalog.path(name) for name in catalog.CATALOG if catalog.path(name).is_file()}
    document = [{**asdict(e), "path": str(here[e.name]) if e.name in here else None} for e in catalog.ENTRIES]
    rows = [_row(entry) for entry in document]
    head = ("name", "MB", "top-1", "top-5", "what", "here")
    emit(document, as_json, columns([head, *rows]))


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    size = round(entry["size"] / 1e6) if entry["size"] else None
    there = entry["path"] or f"alexnet weights fetch {entry['name']}"
    return (entry["name"], size, percent(entry["top1"]), percent(entry["top5"]), entry["title"], there)


@weights_command.command("fetch", epilog="Example: alexnet weights fetch torchvision")
@with_json
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the model file here (.safetensors).")
@with_force
def weights_fetch(name: str, out: Path | None, force: bool, as_json: bool) -> None:
    """Download the weights that the list calls NAME and convert them; then --model NAME takes them."""
    from alexnet.weights.convert import fetch

    if out:
        new_file(out, force, (".safetensors",))
    _emit(fetch(name, out), as_json)


@weights_command.command("convert", epilog="Example: alexnet weights convert alexnet.pth --out alexnet.safetensors")
@with_json
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Model file to write (.safetensors).")
@click.option("--labels", type=click.Path(path_type=Path), help="Names of the classes, one a line, in order.")
@click.option("--resize", type=click.Choice(["crop", "squash", "pad"]), help="How pictures become square.")
@click.option("--variant", help="Name of the network, or a JSON file, where the weights fit several.")
@click.option("--mean", type=click.Path(path_type=Path), help="Mean picture: a .binaryproto or .npy file.")
@with_force
def weights_convert(
    file: Path,
    out: Path,
    labels: Path | None,
    resize: Any,
    variant: str | None,
    mean: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a model file of weights in another library's FILE: torch, Keras, ONNX, Caffe, told by content."""
    from alexnet.training.config import variant_of
    from alexnet.weights import labels as names
    from alexnet.weights.convert import Hints, convert

    new_file(out, force, (".safetensors",))
    classes = names.read(labels) if labels else None
    _emit(convert(file, out, Hints(classes, None if variant is None else variant_of(variant), resize, mean)), as_json)


def _emit(document: dict[str, Any], as_json: bool) -> None:
    if document["guessed"]:
        found = [f"{what} ({CHANGE[what]})" if what in CHANGE else what for what in document["guessed"]]
        say(f"not in the file, taken as usual for such networks: {', '.join(found)}")
    text = f"{document['variant']}, {len(document['classes']):,} classes, from {document['format']}"
    emit(document, as_json, f"{text}\n{document['path']}")


@command("alexnet export runs/photos --to onnx --out photos.onnx")
@click.argument("model")
@click.option("--to", type=click.Choice(TO), required=True, help="Format of the file.")
@click.option("--int8", is_flag=True, help="Fully connected layers in int8, a quarter of the size; for onnx.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--data", help="DATA to compare on; with its labels, accuracy before and after.  [default: patterns]")
@with_force
def export(model: str, to: str, int8: bool, out: Path, data: str | None, force: bool, as_json: bool) -> None:
    """Write a MODEL for other programs.

    The file is run back and compared with the model; where they differ, nothing is written. Files in ONNX take uint8
    pictures [N, size, size, 3] and are MODELs themselves: predict, evaluate and serve take them, without torch.
    """
    from alexnet.use.export import export as run
    from alexnet.use.export import form_of

    new_file(out, force, form_of(to, int8).endings)
    found = run(model, to, out, int8, data)
    same = f"the most probable class is the same on {percent(found['top1_agreement'])} of {found['pictures']} pictures"
    text = f"{out}: {found['bytes'] / 1e6:.1f} MB, {same}, logits differ by {found['max_abs_difference']:.2g} at most"
    if "top1_after" in found:
        text += f"; top-1 {percent(found['top1_before'])} before, {percent(found['top1_after'])} after"
    emit(found, as_json, text)


@command("alexnet compress runs/photos --data photos/ --out photos-small.safetensors")
@click.argument("model")
@click.option("--data", required=True, help="DATA to retrain and compare on: what the model was trained on.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Model file to write (.safetensors).")
@click.option("--ratio", type=Number(4, 500), default=35, show_default=True, help="How many times smaller.")
@click.option("--epochs", type=COUNT, help="How often every picture is seen.  [default: 9]")
@click.option("--seed", type=SEED, help="Fixes all chance.  [default: the model's own]")
@with_force
def compress(
    model: str, data: str, out: Path, ratio: float, epochs: int | None, seed: int | None, force: bool, as_json: bool
) -> None:
    """Make a MODEL many times smaller: prune it, share its values, retrain it on DATA.

    What is written is a MODEL like any other.
    """
    from alexnet.use.compress import compress as run

    new_file(out, force, (".safetensors",))
    found = run(model, data, out, ratio, epochs, seed)
    text = f"{out}: {found['bytes'] / 1e6:.2f} MB, {found['ratio']:.1f} times smaller; {found['split']} top-1 "
    emit(found, as_json, text + f"{percent(found['top1_before'])} before, {percent(found['top1_after'])} after")
