"""The commands that take what layers make of pictures, and find pictures that are alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import (
    COUNT,
    command,
    elsewhere,
    emit,
    engined,
    leave,
    limited,
    new_file,
    or_boxed,
    refusals,
    refused,
    sharded,
    shown,
)
from alexnet.pictures.limits import Limits
from alexnet.progress import say


@command("alexnet features photos/ --model runs/photos --layers fc7,pool5 --out photos-features")
@click.argument("inputs", nargs=-1, metavar="[INPUT...]")
@click.option("--model", help="Run folder, model file or ONNX file; without it the model in the box.")
@click.option("--layers", help="Names, with commas; fc7 is before its non-linearity, relu7 behind.  [default: fc7]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--data", help="DATA to take all pictures of, instead of INPUT.")
@click.option("--split", help="Part of DATA.  [default: all]")
@click.option(
    "--precision",
    type=click.Choice(["float32", "auto"]),
    default="float32",
    show_default=True,
    help="auto: the form in which prediction is fastest.",
)
@click.option("--parquet", is_flag=True, help="One features.parquet instead of .npy arrays.")
@sharded
@engined
@limited
@click.option("--resume", is_flag=True, help="Go on where the same command was stopped.")
@click.option("--force", is_flag=True, help="Overwrite the folder.")
def features(
    inputs: tuple[str, ...],
    model: str | None,
    layers: str | None,
    out: Path,
    precision: Any,
    parquet: bool,
    engine: str,
    ray_address: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """What layers of a model make of pictures: files, folders, patterns of names, URLs, object stores, the rows of
    parquet files; or of all of DATA.

    Writes <layer>.npy, float32, a row for each picture, and index.csv: row, path, class, error. Any number of pictures:
    they are streamed.
    """
    from alexnet.insight.features.extract import extract

    names = [] if layers is None else [name.strip() for name in layers.split(",")]
    form = "parquet" if parquet else "npy"
    named = or_boxed(model)
    with elsewhere(engine, ray_address, named, precision) as spread:
        document = extract(named, inputs, out, names, precision=precision, form=form, spread=spread, **options)
    code = document.pop("code")
    shapes = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in document["layers"].items())
    text = f"{document['rows']:,} pictures, {shapes}, {document['bytes'] / 1e6:,.1f} MB\n{out}"
    emit(document, as_json, text)
    if document["refused"]:
        count = document["rows"] + document["refused"]
        say(f"alexnet features: {document['refused']} of {count} pictures refused, listed in {out / 'index.csv'}")
        sys.exit(code)


@command("alexnet neighbours cat.jpg --index photos-features --out neighbours.png")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--index", "folder", type=click.Path(path_type=Path), required=True, help="Folder by alexnet features.")
@click.option("--model", help="The model that the index was made with, where it has moved.")
@click.option("--layer", help="Of several in the index.  [default: the first]")
@click.option("--count", type=COUNT, default=8, show_default=True, help="Neighbours of each picture.")
@click.option(
    "--metric",
    type=click.Choice(["euclidean", "cosine"]),
    default="euclidean",
    show_default=True,
    help="By what pictures are near.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Also draw them (.png).")
@limited
@click.option("--force", is_flag=True, help="Overwrite the picture.")
def neighbours(
    inputs: tuple[str, ...],
    folder: Path,
    model: str | None,
    layer: str | None,
    count: int,
    metric: Any,
    out: Path | None,
    limits: Limits,
    force: bool,
    as_json: bool,
) -> None:
    """The nearest pictures of an index: those that the network sees most like these.

    Every picture of the index is compared, exactly. A picture that is in the index is its own nearest neighbour.
    """
    from alexnet.insight.features.neighbours import Index
    from alexnet.use import neighbours as use

    if out:
        new_file(out, force, (".png",))
    index = Index.open(folder, layer)
    loaded = use.model_of(index, model)
    entries = use.nearest(index, loaded, inputs, count, metric, limits)
    codes = refusals(entries)

    def write() -> None:
        if out and len(codes) < len(entries):
            use.draw(index, loaded, entries, metric, out, limits)

    emit(entries, as_json, "\n".join(map(_nearest, entries)), write)
    leave("neighbours", codes, len(entries))


def _nearest(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return refused(entry)
    return f"{shown(entry['path'])}: " + ", ".join(
        f"{shown(n['path'])} {n['distance']:.4g}" for n in entry["neighbours"]
    )
