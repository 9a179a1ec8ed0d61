"""The door: one short function per command. What a command needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

import alexnet
from alexnet.errors import AlexNetError, StorageError, UsageError, unknown
from alexnet.progress import say
from alexnet.storage import write_json

F = TypeVar("F", bound=Callable[..., Any])


class Commands(click.Group):
    """A group that answers a misspelt command with a suggestion, and lists commands in the order of their work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(alexnet.__version__, prog_name="alexnet")
def cli() -> None:
    """AlexNet, faithfully and completely, and a classifier for anyone's pictures.

    Example: alexnet train photos/ && alexnet predict cat.jpg --model runs/...
    """


def command(example: str) -> Callable[[F], click.Command]:
    """A command of the group, with an example in its help and a --json option."""

    def register(function: F) -> click.Command:
        with_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
        name = function.__name__.removesuffix("_command")
        return cli.command(name, epilog=f"Example: {example}")(with_json(function))

    return register


def emit(document: Any, as_json: bool, text: str) -> None:
    """The answer: JSON, or text for a person."""
    click.echo(json.dumps(document) if as_json else text)


def columns(rows: list[tuple[Any, ...]]) -> str:
    """Rows as text in aligned columns."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def percent(value: float | None) -> str:
    """0.593 → 59.3 %."""
    return "" if value is None else f"{100 * value:.1f} %"


# ------------------------------------------------------------------------------------------------------- the networks


@command("alexnet variants --json")
def variants_command(as_json: bool) -> None:
    """The networks, with their sizes and published accuracy."""
    from alexnet.network.summary import summary
    from alexnet.network.variants import VARIANTS, variant

    document = []
    for name in VARIANTS:
        value = variant(name)
        found = summary(value)
        numbers = {key: found[key] for key in ("parameters", "input", "classes")}
        names = {"name": name, "title": value.title, "source": value.source}
        published = {key: getattr(value, key) for key in ("top1", "top5", "measured")}
        document.append({**names, **numbers, **published})
    head = ("name", "parameters", "input", "classes", "top-1", "top-5", "measured on", "title")
    rows = [_variant_row(entry) for entry in document]
    emit(document, as_json, columns([head, *rows]))


def _variant_row(entry: dict[str, Any]) -> tuple[Any, ...]:
    size = "x".join(map(str, entry["input"]))
    published = (percent(entry["top1"]), percent(entry["top5"]), entry["measured"])
    return (entry["name"], f"{entry['parameters']:,}", size, entry["classes"], *published, entry["title"])


@command("alexnet summary krizhevsky-2012 --explain")
@click.argument("variant")
@click.option("--classes", type=click.IntRange(1), help="Number of outputs.")
@click.option("--channels", type=click.IntRange(1), help="Number of input channels.")
@click.option("--input", "size", type=click.IntRange(1), help="Side of the input picture.")
@click.option("--explain", is_flag=True, help="Derive each size.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the network to an .svg or .png file.")
@click.option("--dpi", type=click.IntRange(20, 1000), default=110, show_default=True, help="Resolution of a .png.")
@click.option("--force", is_flag=True, help="Overwrite the plot.")
def summary_command(
    variant: str,
    classes: int | None,
    channels: int | None,
    size: int | None,
    explain: bool,
    plot: Path | None,
    dpi: int,
    force: bool,
    as_json: bool,
) -> None:
    """Layer table of a network: shapes, parameters, multiply-adds."""
    from alexnet.network import summary
    from alexnet.network.variants import variant as named

    value = named(variant, classes, channels)
    text = summary.table(value, size)
    if explain:
        text += "\n\n" + "\n".join(summary.explain(value, size))
    if plot:
        from alexnet.network.drawing import draw

        draw(value, size, new_file(plot, force, (".svg", ".png")), dpi)
        say(f"drawn to {plot}")
    emit(summary.summary(value, size), as_json, text)


def new_file(path: Path, force: bool, endings: tuple[str, ...]) -> Path:
    """The path, if a file may be written there. Raises UsageError."""
    if path.suffix.lower() not in endings:
        raise UsageError(f"{path}: expected a name ending in {' or '.join(endings)}")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; overwrite it with --force")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    return path


@command("alexnet recipes")
def recipes_command(as_json: bool) -> None:
    """The training recipes."""
    from alexnet.training.recipe import to_json
    from alexnet.training.recipes import RECIPES

    fields = ("name", "variant", "epochs", "batch_size", "update", "learning_rate", "schedule", "title")
    rows = [tuple(getattr(recipe, field) for field in fields) for recipe in RECIPES.values()]
    emit([to_json(recipe) for recipe in RECIPES.values()], as_json, columns([fields, *rows]))


# ------------------------------------------------------------------------------------------------------- the pictures


@cli.group(
    "datasets", cls=Commands, invoke_without_command=True, epilog="Example: alexnet datasets show patterns --out p.png"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
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


def _dataset_row(entry: dict[str, Any]) -> tuple[Any, ...]:
    counts = " + ".join(f"{count:,} {part}" for part, count in entry["parts"].items())
    drawn = "drawn by the program" if entry["there"] else f"no: {entry['files'][0]} from {entry['download']}"
    return (entry["name"], len(entry["classes"]), counts, entry["path"] or drawn)


@datasets_command.command("show", epilog="Example: alexnet datasets show photos/ --out samples.png")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Picture to write (.png).")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Overwrite the picture.")
def datasets_show(data: str, out: Path, seed: int, force: bool, as_json: bool) -> None:
    """Draw random pictures of each class of DATA."""
    from alexnet.evaluation.evaluate import default_split
    from alexnet.insight.report import samples
    from alexnet.pictures.store import open_store

    new_file(out, force, (".png",))
    store = open_store(data)
    part = store.parts.get("train", store[default_split(store, {})])
    samples(part, store.classes, seed, out)
    emit({"path": str(out)}, as_json, f"drawn to {out}")


@command("alexnet prepare photos/ --out photos-256")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the store.")
@click.option("--size", type=click.IntRange(1, 4096), default=256, show_default=True, help="Side of stored pictures.")
@click.option("--resize", type=click.Choice(["crop", "squash", "pad"]), default="crop", show_default=True)
@click.option("--force", is_flag=True, help="Overwrite a store.")
def prepare(data: str, out: Path, size: int, resize: Any, force: bool, as_json: bool) -> None:
    """Decode DATA once into a store that opens at once."""
    import time

    from alexnet.pictures.store import prepare as make

    started = time.monotonic()
    store = make(data, out, size, resize, force)
    used = sum(file.stat().st_size for file in out.iterdir())
    pictures = sum(map(len, store.parts.values()))
    document = {"pictures": pictures, "bytes": used, "seconds": round(time.monotonic() - started, 3)}
    emit(document, as_json, f"{pictures:,} pictures, {used / 1e6:.1f} MB in {out}, {document['seconds']} s")


# --------------------------------------------------------------------------------------------------------- the model


@command("alexnet train photos/ --epochs 10 --out runs/photos")
@click.argument("data", required=False)
@click.option("--recipe", help="Name of a recipe, or a JSON file (a run's config.json too).  [default: fast]")
@click.option("--variant", help="Name of a network, or a JSON file.  [default: the recipe's]")
@click.option("--epochs", type=click.IntRange(1), help="How often every picture is seen.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Fixes all chance.  [default: 0]")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/<date>-<data>-<recipe>]")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable."
)
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with the run in this folder.")
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
    best = document["best"]
    scored = f", best validation top-1 {percent(best['top1'])} in epoch {best['epoch']}" if best["top1"] else ""
    tested = f", test top-1 {100 * document['test']['top1']:.2f} %" if document["test"] else ""
    text = f"{document['epochs']} epochs, {document['images_per_second']:.0f} pictures/s{scored}{tested}"
    emit(document, as_json, f"{text}\n{document['run']}")


@command("alexnet evaluate runs/photos photos/")
@click.argument("models", nargs=-1, required=True, metavar="MODEL... DATA")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="[default: test, else validation]")
@click.option("--views", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Views of each picture.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for evaluation.json, confusion.png, mistakes.csv.")
@click.option("--force", is_flag=True, help="Overwrite what is in that folder.")
def evaluate(
    models: tuple[str, ...], split: str | None, views: str, out: Path | None, force: bool, as_json: bool
) -> None:
    """Accuracy of a model, or of several averaged, on DATA."""
    from alexnet.evaluation.evaluate import evaluate as run

    if len(models) < 2:
        raise UsageError("evaluate takes MODEL... DATA: give at least a model and the data")
    if out and out.exists() and not (out.is_dir() and (force or not any(out.iterdir()))):
        raise UsageError(f"{out} exists; choose another --out, or overwrite it with --force")
    found = run(models[:-1], models[-1], split=split, views=int(views))
    if out:
        from alexnet.insight.report import evaluation

        out.mkdir(parents=True, exist_ok=True)
        evaluation(out, found)
    scores = found.scores
    text = f"{scores['split']}: {scores['images']:,} pictures, top-1 {100 * scores['top1']:.2f} %, "
    emit(scores, as_json, text + f"top-5 {100 * scores['top5']:.2f} %, loss {scores['loss']:.4f}")


@command("alexnet predict cat.jpg --model runs/photos")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--model", help="Run folder or model file.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to name.")
@click.option("--views", type=click.Choice(["1", "10"]), default="1", show_default=True, help="Views of each picture.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write the answers to a .csv, .json or .parquet file."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def predict(
    inputs: tuple[str, ...], model: str | None, top: int, views: str, out: Path | None, force: bool, as_json: bool
) -> None:
    """What is on pictures: files, folders, patterns of names, URLs."""
    from alexnet.use import predict as use
    from alexnet.weights.model import load

    if model is None:
        raise UsageError("no --model given, and there is no model in the box yet: train one (alexnet train DATA)")
    if out:
        new_file(out, force, (".csv", ".json", ".parquet"))
    entries = use.predict(load(model), inputs, top, int(views))
    codes = [entry.pop("exit_code") for entry in entries if "exit_code" in entry]
    emit(entries, as_json, "\n".join(map(_line, entries)))
    if out:
        use.write(entries, out)
    if codes:
        say(f"alexnet predict: {len(codes)} of {len(entries)} pictures refused")
        sys.exit(max(codes))


def _line(entry: dict[str, Any]) -> str:
    if "error" in entry:
        return f"{entry['path']}: refused: {entry['error']}"
    return f"{entry['path']}: " + ", ".join(f"{t['label']} {percent(t['probability'])}" for t in entry["top"])


@command("alexnet bench train")
@click.argument("what", type=click.Choice(["train", "predict"]))
@click.option("--variant", default="krizhevsky-2012", show_default=True, help="Name of a network.")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1), help="Pictures at once.  [default: 128; 1, 8 and 32]"
)
@click.option("--turns", type=click.IntRange(1), default=5, show_default=True, help="How often each way is measured.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures to a .json file.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def bench(
    what: str, variant: str, batches: tuple[int, ...], turns: int, out: Path | None, force: bool, as_json: bool
) -> None:
    """Measure speed here, the stock way beside ours. Wants a quiet machine."""
    from alexnet.experiments.bench import bench_predict, bench_train

    if out:
        new_file(out, force, (".json",))
    if what == "train" and len(batches) > 1:
        raise UsageError("bench train measures one --batch")
    if what == "train":
        found = bench_train(variant, batches[0] if batches else 128, turns)
        more = f"normalisation {found['normalisation']:.1%}, memory {found['memory']:.2f} x what was counted"
        lines = [_speed(found["what"], found) + f"; {more}"]
    else:
        found = bench_predict(variant, batches or (1, 8, 32), turns)
        lines = [_speed(f"predict {variant}, batch {row['batch']}", row) for row in found["batches"]]
    if out:
        write_json(out, found)
    emit(found, as_json, "\n".join(lines))


def _speed(what: str, figures: dict[str, Any]) -> str:
    beside = f", ONNX Runtime {figures['onnxruntime']:.1f}" if "onnxruntime" in figures else ""
    return (
        f"{what}: {figures['ours']:.1f} pictures/s, stock {figures['stock']:.1f}{beside}; {figures['ratio']:.2f} x "
        f"stock; {figures['share']:.0%} of the limit ({figures['limit']:.0f})"
    )


@command("alexnet doctor")
def doctor(as_json: bool) -> None:
    """Versions, devices, threads and caches: what to send with a question."""
    from importlib.util import find_spec

    from alexnet.environment import cache_folder, environment
    from alexnet.network import compiled

    cache = cache_folder()
    used = sum(file.stat().st_size for file in cache.glob("stores/*/*"))
    document = environment() | {
        "kernel": "C" if compiled.kernel() else "torch, until training builds the one in C",
        "extras": {"data": find_spec("pyarrow") is not None},
        "cache": str(cache),
        "cache_bytes": used,
    }
    rows = [(key, json.dumps(value) if isinstance(value, dict | list) else value) for key, value in document.items()]
    emit(document, as_json, columns(rows))


# -------------------------------------------------------------------------------------------------------------- errors


def main(arguments: list[str] | None = None) -> NoReturn:
    """The program: runs a command and turns what goes wrong into one line and an exit code."""
    # Importing torch makes many objects and no garbage: looking for it takes a tenth of the time.
    gc.set_threshold(100_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what the terminal's encoding does not
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        result = cli.main(arguments, prog_name="alexnet", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        fail(error.format_message(), error.exit_code, getattr(error, "ctx", None))
    except AlexNetError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted", 130)
    except BrokenPipeError:  # who read our output has gone; that is not worth a word
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno is None:
            raise
        fail(f"{error.filename or 'input/output'}: {error.strerror}", StorageError.exit_code)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a command as Ctrl-C does: what was half done is cleaned up."""
    os.write(2, b"alexnet: terminated\n")  # print would fail where the signal came in the middle of another
    sys.exit(128 + number)


def fail(message: str, code: int, context: click.Context | None = None) -> NoReturn:
    """One line on the error stream, and out."""
    command = context.command_path if context else "alexnet"
    say(f"{command}: {' '.join(message.split())}")
    sys.exit(code)
