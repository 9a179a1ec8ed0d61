"""The commands about data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import SEED, Commands, Whole, cli, columns, command, emit, limited, new_file, with_json
from alexnet.pictures.limits import Limits
from alexnet.progress import say


@cli.group(
    "datasets", cls=Commands, invoke_without_command=True, epilog="Example: alexnet datasets show patterns --out p.png"
)
@with_json
@click.pass_context
def datasets_command(context: click.Context, as_json: bool) -> None:
    """Data sets known by name, and what else DATA can be."""
    if context.invoked_subcommand:
        return
    from alexnet.pictures import datasets

    document = [
        {"name": name, "classes": list(named.classes), "parts": named.parts, **_state(name)}
        for name, named in datasets.NAMED.items()
    ]
    document += [_of_the_hub(name, classes) for name, classes in datasets.HUB.items()]
    rows = [_dataset_row(entry) for entry in document]
    what = datasets.__doc__.split("\n\n", 1)[1].strip()
    emit(document, as_json, f"{columns([('by name', 'classes', 'pictures', 'here'), *rows])}\n\n{what}")


def _state(name: str) -> dict[str, Any]:
    """Whether a data set known by name can be used here, where it is, or what to get from where."""
    from alexnet.pictures import datasets

    named = datasets.NAMED[name]
    found = named.find()
    there = name == datasets.PATTERNS or found is not None
    path = str(found.resolve()) if found else None
    return {"there": there, "path": path, "files": list(named.files), "download": named.download}


def _of_the_hub(name: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """The same of a data set of the hub; how many pictures it has the hub says."""
    from alexnet.pictures.hub.datasets import PREFIX, kept

    repository = name.removeprefix(PREFIX)
    found = kept(repository)
    download = f"https://huggingface.co/datasets/{repository}"
    state: dict[str, Any] = {
        "there": found is not None,
        "path": str(found) if found else None,
        "files": [],
        "download": download,
    }
    return {"name": name, "classes": list(classes), "parts": {}, **state}


def _dataset_row(entry: dict[str, Any]) -> tuple[Any, ...]:
    counts = " + ".join(f"{count:,} {part}" for part, count in entry["parts"].items())
    missing = f"no: {entry['files'][0]} from {entry['download']}" if entry["files"] else "no: fetched on first use"
    drawn = "drawn by the program" if entry["there"] else missing
    return (entry["name"], len(entry["classes"]), counts, entry["path"] or drawn)


@datasets_command.command("show", epilog="Example: alexnet datasets show photos/ --out samples.png")
@with_json
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Picture to write (.png).")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Which pictures are drawn.")
@click.option("--force", is_flag=True, help="Overwrite the picture.")
def datasets_show(data: str, out: Path, seed: int, force: bool, as_json: bool) -> None:
    """Draw random pictures of each class of DATA."""
    from alexnet.evaluation.evaluate import default_split
    from alexnet.insight.reports.report import samples
    from alexnet.pictures.prepare import open_store

    new_file(out, force, (".png",))
    store = open_store(data)
    part = store.parts.get("train", store[default_split(store, {})])
    samples(part, store.classes, seed, out)
    emit({"path": str(out)}, as_json, f"drawn to {out}")


@command("alexnet prepare photos/ --out photos-256")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the store.")
@click.option("--size", type=Whole(1, 4096), default=256, show_default=True, help="Side of stored pictures.")
@click.option(
    "--resize",
    type=click.Choice(["crop", "squash", "pad"]),
    default="crop",
    show_default=True,
    help="How pictures become square.",
)
@click.option(
    "--decode",
    type=click.Choice(["full", "scaled"]),
    default="full",
    show_default=True,
    help="scaled: JPEGs from four times the size on are decoded at part of theirs.",
)
@click.option(
    "--store",
    "kept",
    type=click.Choice(["raw", "jpeg"]),
    default="raw",
    show_default=True,
    help="jpeg: a seventh of the room, decoded on use.",
)
@click.option(
    "--from", "origin", type=click.Path(path_type=Path), help="Folder with the files of a data set known by name."
)
@click.option(
    "--unreadable",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="skip: leave out pictures that cannot be decoded, if they are at most 1 %.",
)
@limited
@click.option("--force", is_flag=True, help="Overwrite a store.")
def prepare(
    data: str,
    out: Path,
    size: int,
    resize: Any,
    decode: Any,
    kept: Any,
    origin: Path | None,
    unreadable: Any,
    limits: Limits,
    force: bool,
    as_json: bool,
) -> None:
    """Decode DATA once into a store that opens at once.

    Beyond a gigabyte it says beforehand how long it takes, and goes on where a command that was stopped had come to.
    """
    import time

    from alexnet.pictures.checks.glance import glance
    from alexnet.pictures.prepare import prepare as make

    started = time.monotonic()
    rules = {"decode": decode, "kept": kept, "unreadable": unreadable, "limits": limits}
    store = make(data, out, size, resize, force, origin=origin, **rules)
    for warning in glance(store):
        say(warning)
    used = sum(file.stat().st_size for file in out.iterdir())
    pictures = sum(map(len, store.all_parts.values()))
    document = {"pictures": pictures, "bytes": used, "seconds": round(time.monotonic() - started, 3)}
    emit(document, as_json, f"{pictures:,} pictures, {used / 1e6:.1f} MB in {out}, {document['seconds']} s")
