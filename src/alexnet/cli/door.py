"""What every command is made of: the group, --json, tables, pictures that were refused, files that must be new."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

import alexnet
from alexnet.errors import StorageError, UsageError, unknown
from alexnet.pictures.jobs import Shard
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.progress import plain, say
from alexnet.storage import writable

if TYPE_CHECKING:
    from alexnet.weights.model import Spread

F = TypeVar("F", bound=Callable[..., Any])


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "integer"  # click says "is not a valid" before it


class Number(click.FloatRange):
    """A number within bounds, which nan is not."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return number


# Every number has an upper bound: beyond it lies a slip, and some would be carried out for days.
COUNT = Whole(1, 10**6)
SEED = Whole(0, 2**63 - 1)
DAY = 86_400.0  # seconds


class Commands(click.Group):
    """A group that answers a misspelt command with a suggestion, and lists commands in the order of their work, with
    the whole first sentence of what they do."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(200)) for name, each in self.commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(alexnet.__version__, prog_name="alexnet")
def cli() -> None:
    """AlexNet, faithfully and completely, and a classifier for anyone's pictures.

    Example: alexnet train photos/ && alexnet predict cat.jpg --model runs/...
    """


with_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def command(example: str) -> Callable[[F], click.Command]:
    """A command of the group, with an example in its help and a --json option."""

    def register(function: F) -> click.Command:
        name = function.__name__.removesuffix("_command")
        return cli.command(name, epilog=f"Example: {example}")(with_json(function))

    return register


def limited(function: F) -> F:
    """Options for the largest picture that is decoded; the command takes them as `limits`."""

    @wraps(function)
    def within(*arguments: Any, max_pixels: int, max_frames: int, max_bytes: int, **options: Any) -> Any:
        return function(*arguments, limits=Limits(max_pixels, max_frames, max_bytes), **options)

    command: Any = within
    for option, usual, what in (
        ("--max-bytes", LIMITS.bytes, "Refuse larger files."),
        ("--max-frames", LIMITS.frames, "Refuse animations of more frames, TIFFs of more pages."),
        ("--max-pixels", LIMITS.pixels, "Refuse larger pictures."),
    ):
        given: dict[str, Any] = {"type": Whole(1, 10**12), "default": usual, "show_default": True, "metavar": "N"}
        command = click.option(option, help=what, **given)(command)
    return cast(F, command)


def sharded(function: F) -> F:
    """Options for a share of the pictures, and for putting shares together; the command takes `shard` and `merge`."""
    command: Any = click.option(
        "--merge",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Write to --out what all shards of the same command wrote to FOLDER.",
    )(function)
    given: dict[str, Any] = {"type": Shard.parse, "default": "0/1", "metavar": "i/n"}
    return cast(F, click.option("--shard", help="Only share i of n, from 0/n to n-1/n.", **given)(command))


def engined(function: F) -> F:
    """Options for where the work is done; the command takes `engine` and `ray_address`."""
    command: Any = click.option(
        "--ray-address", help="Of a cluster that runs.  [default: $RAY_ADDRESS, else this machine]"
    )(function)
    engines = click.Choice(["local", "ray"])
    what = "ray: on the cores of this machine or of a cluster, through Ray Data."
    return cast(F, click.option("--engine", type=engines, default="local", show_default=True, help=what)(command))


def elsewhere(
    engine: str, address: str | None, model: str, precision: Any = "auto"
) -> AbstractContextManager[Spread | None]:
    """What has work done by an engine other than this process, while the block lasts."""
    if engine == "ray":
        from alexnet.use import cluster

        return cluster.engine(address, model, precision)
    if address:
        raise UsageError("--ray-address takes --engine ray")
    return nullcontext()


def emit(document: Any, as_json: bool, text: str, write: Callable[[], object] = lambda: None) -> None:
    """The answer: JSON, or text for a person. What was found in hours is not lost where the disk refuses the files that
    `write` writes of it."""
    said = json.dumps(document) if as_json else "\n".join(map(plain, text.split("\n")))
    try:
        write()
    except (OSError, StorageError):
        try:
            click.echo(said)
        except OSError:
            unheard()
        raise
    click.echo(said)


def shown(path: str) -> str:
    """A path as one can read it on a line: with its line breaks and the like as in JSON."""
    return path if path and path.isprintable() else json.dumps(path)


def unheard() -> None:
    """Let what is still answered go nowhere, where who read it has gone; also what the interpreter holds back."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def emitting(as_json: bool, beside: bool) -> Iterator[Callable[[Any, str], None]]:
    """Gives what answers with one more entry of a list, at once: as JSON, or as text for a person. What was begun is
    valid JSON, also where the command ends early. Who reads may go: then the work does, unless there are files to be
    written `beside`. Raises StorageError, which says that it was not one of those."""
    begun = done = gone = False
    # Answers go where standard output is now, whatever takes its place meanwhile; on a terminal that is a progress bar,
    # which draws itself anew below each line.
    out = None if sys.stdout.isatty() and sys.stderr.isatty() else sys.stdout

    def one(entry: Any, text: str) -> None:
        nonlocal begun
        line = ("[", ", ")[begun] + json.dumps(entry) if as_json else plain(text)
        begun = True  # before: a signal may come while it is written, and what was written of it is not lost
        put(line, nl=not as_json)

    def put(line: str, nl: bool = True) -> None:
        nonlocal gone
        try:
            if not gone:
                click.echo(line, out, nl=nl)
        except BrokenPipeError:
            gone = True
            if not beside:
                raise
            unheard()
        except OSError as error:
            gone = True
            raise StorageError(f"input/output: {error.strerror}") from None

    try:
        yield one
        done = True
    finally:
        if as_json and (begun or done):
            put("]" if begun else "[]")


def refused(entry: dict[str, Any]) -> str:
    """The line of a picture that was refused."""
    return f"{shown(entry['path'])}: refused: {entry['error']}"


def refusals(entries: list[dict[str, Any]]) -> list[int]:
    """The exit codes of the pictures that were refused, taken out of their entries."""
    return [entry.pop("exit_code") for entry in entries if "exit_code" in entry]


def leave(name: str, codes: list[int], count: int) -> None:
    """Say how many of its pictures a command refused, and exit with the code for that; nothing where there are none."""
    if codes:
        say(f"alexnet {name}: {len(codes)} of {count} pictures refused")
        sys.exit(max(codes))


def columns(rows: list[tuple[Any, ...]]) -> str:
    """Rows as text in aligned columns."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def percent(value: float | None) -> str:
    """0.593 → 59.3 %."""
    return "" if value is None else f"{100 * value:.1f} %"


def new_file(path: Path, force: bool, endings: tuple[str, ...] = ()) -> None:
    """Raise UsageError where no file with one of the endings (without any, whatever its name) may be written."""
    if endings and path.suffix.lower() not in endings:
        raise UsageError(f"{path}: expected a name ending in {' or '.join(endings)}")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; overwrite it with --force")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected the name of a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    writable(path)


def or_boxed(model: str | None) -> str:
    """MODEL, or else the one in the box; that this one answers is said, and what it knows."""
    from alexnet.weights import files

    if model is not None:
        return model
    known = " and ".join(files.describe(files.BOX).classes)
    say(f"no --model: the model in the box answers, which knows {known} and takes anything for one of them")
    return str(files.BOX)
