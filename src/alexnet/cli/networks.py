"""The commands about networks and recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import COUNT, Whole, columns, command, emit, new_file, percent
from alexnet.progress import say


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
@click.option("--classes", type=COUNT, help="Number of outputs.")
@click.option("--channels", type=COUNT, help="Number of input channels.")
@click.option("--input", "size", type=COUNT, help="Side of the input picture.")
@click.option("--explain", is_flag=True, help="Derive each size.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the network to an .svg or .png file.")
@click.option("--dpi", type=Whole(20, 1000), default=110, show_default=True, help="Resolution of a .png.")
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

    if plot:
        new_file(plot, force, (".svg", ".png"))
    value = named(variant, classes, channels)
    text = summary.table(value, size)
    if explain:
        text += "\n\n" + "\n".join(summary.explain(value, size))
    if plot:
        from alexnet.network.drawing.sheet import draw

        draw(value, size, plot, dpi)
        say(f"drawn to {plot}")
    emit(summary.summary(value, size), as_json, text)


@command("alexnet recipes")
def recipes_command(as_json: bool) -> None:
    """The training recipes."""
    from alexnet.training.recipe import to_json
    from alexnet.training.recipes import RECIPES

    fields = ("name", "variant", "epochs", "batch_size", "update", "learning_rate", "schedule", "title")
    rows = [tuple(getattr(recipe, field) for field in fields) for recipe in RECIPES.values()]
    emit([to_json(recipe) for recipe in RECIPES.values()], as_json, columns([fields, *rows]))
