"""The commands that train, evaluate and use models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import (
    COUNT,
    SEED,
    command,
    elsewhere,
    emit,
    emitting,
    engined,
    leave,
    limited,
    new_file,
    or_boxed,
    percent,
    refusals,
    refused,
    sharded,
    shown,
)
from alexnet.environment import leads
from alexnet.errors import PictureError, UsageError
from alexnet.pictures.jobs import Shard
from alexnet.pictures.limits import Limits
from alexnet.storage import new_folder


@command("alexnet train photos/ --epochs 10 --out runs/photos")
@click.argument("data", required=False)
@click.option("--recipe", help="Name of a recipe, or a JSON file (a run's config.json too).  [default: fast]")
@click.option("--variant", help="Name of a network, or a JSON file.  [default: the recipe's]")
@click.option("--epochs", type=COUNT, help="How often every picture is seen.")
@click.option("--seed", type=SEED, help="Fixes all chance.  [default: 0]")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/<date>-<data>-<recipe>]")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable."
)
@click.option("--weights", metavar="MODEL", help="Begin with a model's weights: fine-tuning.  [default: drawn]")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with the run in this folder.")
@click.option("--towers", is_flag=True, help="In two processes of torchrun's, each with one column of the network.")
@click.option("--valid", help="DATA to validate on, instead of a share of the training part.")
@click.option(
    "--skip-list", type=click.Path(path_type=Path), help="File with paths of pictures to leave out, one a line."
)
@click.option("--force", is_flag=True, help="Overwrite the run folder.")
def train(data: str | None, resume: Path | None, as_json: bool, **options: Any) -> None:
    """Train a classifier on DATA (without DATA: on the embedded patterns) and evaluate it.

    DATA is a folder of class folders, a folder with train/, val/, test/ of class folders, a zip or tar of either, a
    csv file of path and label, a prepared store, or a name (see `alexnet datasets`).
    """
    from alexnet.run import train as run

    document = run(data, resume=resume, **options)
    if not leads():
        return
    best = document["best"]
    chosen = best["top1"] is not None and document.get("watched") != "test"  # the test part chooses nothing
    scored = f", best validation top-1 {percent(best['top1'])} in epoch {best['epoch']}" if chosen else ""
    tested = f", test top-1 {100 * document['test']['top1']:.2f} %" if document["test"] else ""
    text = f"{document['epochs']} epochs, {document['images_per_second']:.0f} pictures/s{scored}{tested}"
    emit(document, as_json, f"{text}\n{document['run']}")


@command("alexnet evaluate runs/photos photos/")
@click.argument("models", nargs=-1, required=True, metavar="MODEL... DATA")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="[default: test, else validation]")
@click.option("--views", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Views of each picture.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for report.html, evaluation.json, mistakes.csv, ….",
)
@limited
@click.option("--force", is_flag=True, help="Overwrite what is in that folder.")
def evaluate(
    models: tuple[str, ...],
    split: str | None,
    views: str,
    out: Path | None,
    limits: Limits,
    force: bool,
    as_json: bool,
) -> None:
    """Accuracy of a model, or of several averaged, on DATA."""
    from alexnet.evaluation.evaluate import evaluate as run

    if len(models) < 2:
        raise UsageError("evaluate takes MODEL... DATA: give at least a model and the data")
    if out:
        new_folder(out, force)
    found = run(models[:-1], models[-1], split=split, views=int(views), limits=limits)

    def write() -> None:
        if out:
            from alexnet.insight.reports.report import evaluation

            out.mkdir(parents=True, exist_ok=True)
            evaluation(out, found, models[:-1], models[-1])

    scores = found.scores
    text = f"{scores['split']}: {scores['images']:,} pictures, top-1 {100 * scores['top1']:.2f} %, "
    emit(scores, as_json, text + f"top-5 {100 * scores['top5']:.2f} %, loss {scores['loss']:.4f}", write)


@command("alexnet predict cat.jpg --model runs/photos")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--model", help="Run folder, model or ONNX file, or a name (see `alexnet weights`); else the one in the box."
)
@click.option("--top", type=COUNT, default=5, show_default=True, help="How many classes to name.")
@click.option("--views", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Views of each picture.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write the answers to a .csv, .json or .parquet file."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["ilsvrc"]),
    help="Write --out for a challenge's server: INPUT is a store with its test pictures.",
)
@click.option("--sheet", type=click.Path(path_type=Path), help="Also draw pictures with their probable classes (.png).")
@sharded
@engined
@limited
@click.option("--force", is_flag=True, help="Overwrite the files.")
def predict(
    inputs: tuple[str, ...],
    model: str | None,
    top: int,
    views: str,
    out: Path | None,
    form: str | None,
    sheet: Path | None,
    shard: Shard,
    merge: Path | None,
    engine: str,
    ray_address: str | None,
    limits: Limits,
    force: bool,
    as_json: bool,
) -> None:
    """What is on pictures: files, folders, patterns of names, URLs, object stores, the rows of parquet files.

    Any number of pictures: answers come and are written one by one.
    """
    from alexnet.use import predict as use
    from alexnet.use.writing import FORMS, writing
    from alexnet.weights.model import load

    if form and sheet:
        raise UsageError("--sheet draws answers, which --format ilsvrc does not give; leave one of them out")
    if form:
        return _submit(inputs, model, int(views), out, limits, force, as_json)
    if out:
        new_file(out, force, tuple(FORMS))
    if merge:
        return _merge(inputs, merge, out, shard, as_json)
    if sheet:
        new_file(sheet, force, (".png",))
    named = or_boxed(model)
    loaded, boxed = load(named), {} if model else {"model": "box"}
    count, codes, drawn = 0, list[int](), dict[int, dict[str, Any]]()
    beside = bool(out or sheet)
    with emitting(as_json, beside) as answer, elsewhere(engine, ray_address, named) as spread, writing(out) as put:
        for entry in use.predict(loaded, inputs, top, int(views), limits, shard, spread):
            codes += refusals([entry])
            put(entry | boxed)
            answer(entry | boxed, _line(entry))
            if sheet and "error" not in entry and len(drawn) <= use.MOST:
                drawn[count] = entry
            count += 1
    if sheet and drawn:
        use.draw(drawn, inputs, loaded, sheet, limits, shard)
    leave("predict", codes, count)


def _merge(inputs: tuple[str, ...], folder: Path, out: Path | None, shard: Shard, as_json: bool) -> None:
    from alexnet.use.merge import merge

    if out is None:
        raise UsageError("--merge takes --out, the file to write; its ending says which of the shards' files to take")
    document = merge(inputs, folder, out, shard)
    emit(document, as_json, f"{document['pictures']:,} pictures of {document['parts']} shards\n{out}")
    leave("predict", [PictureError.exit_code] * document["refused"], document["pictures"])


def _submit(
    inputs: tuple[str, ...], model: str | None, views: int, out: Path | None, limits: Limits, force: bool, as_json: bool
) -> None:
    """The test pictures of ILSVRC-2012, answered as its server takes it."""
    from alexnet.use.submission import submission, write
    from alexnet.weights.model import load

    if out is None or len(inputs) != 1:
        raise UsageError("--format ilsvrc takes one INPUT, a store with the challenge's test pictures, and --out F.txt")
    new_file(out, force, (".txt",))
    count = write(submission(load(or_boxed(model)), inputs[0], views, limits=limits), out)
    emit({"path": str(out), "pictures": count}, as_json, f"{count:,} pictures answered in {out}")


def _line(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return refused(entry)
    return f"{shown(entry['path'])}: " + ", ".join(f"{t['label']} {percent(t['probability'])}" for t in entry["top"])
