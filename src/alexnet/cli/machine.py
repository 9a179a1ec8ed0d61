"""The commands about this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from alexnet.cli.door import COUNT, DAY, Number, columns, command, emit, new_file
from alexnet.errors import UsageError
from alexnet.storage import write_json


@command("alexnet bench train")
@click.argument("what", type=click.Choice(["train", "predict", "data", "serve"]))
@click.argument("data", required=False)
@click.option("--variant", default="krizhevsky-2012", show_default=True, help="Name of a network.")
@click.option("--batch", "batches", multiple=True, type=COUNT, help="Pictures at once.  [default: 128; 1, 8 and 32]")
@click.option("--turns", type=COUNT, default=5, show_default=True, help="How often each way is measured.")
@click.option("--seconds", type=Number(1, DAY), default=20.0, show_default=True, help="serve: of each load.")
@click.option("--model", help="serve: MODEL instead of a network that was not trained.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures to a .json file.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def bench(
    what: str,
    data: str | None,
    variant: str,
    batches: tuple[int, ...],
    turns: int,
    seconds: float,
    model: str | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure speed here, the stock way beside ours. Wants a quiet machine.

    train, predict: a network on pictures in memory. data: the way of pictures into the network; DATA is a folder or an
    archive of photographs (without it patterns are drawn). serve: `alexnet serve` under load; DATA is a folder of
    pictures (likewise).
    """
    from alexnet.experiments.bench.data import bench_data
    from alexnet.experiments.bench.network import bench_predict, bench_train

    if what not in ("data", "serve") and data:
        raise UsageError(f"bench {what} takes no DATA")
    if out:
        new_file(out, force, (".json",))
    if what == "train" and len(batches) > 1:
        raise UsageError("bench train measures one --batch")
    if what == "serve":
        from alexnet.experiments.bench.serve import bench_serve

        found = bench_serve(data, variant, model, turns, seconds)
        lines = _serve_lines(found)
    elif what == "data":
        found = bench_data(data, turns)
        lines = _data_lines(found)
    elif what == "train":
        found = bench_train(variant, batches[0] if batches else 128, turns)
        more = f"normalisation {found['normalisation']:.1%}, memory {found['memory']:.2f} x what was counted"
        lines = [_speed(found["what"], found) + f"; {more}"]
    else:
        found = bench_predict(variant, batches or (1, 8, 32), turns)
        lines = [_speed(f"predict {variant}, batch {row['batch']}", row) for row in found["batches"]]
    emit(found, as_json, "\n".join(lines), lambda: write_json(out, found) if out else None)


def _data_lines(found: dict[str, Any]) -> list[str]:
    heading = ("", "ours", "textbook", "times", "limit", "share")
    rows = [
        (
            f"{row['what']}, {row['unit']}",
            f"{row['ours']:,.0f}",
            f"{row['stock']:,.0f}",
            f"{row['ratio']:.2f}",
            f"{row['limit']:,.0f}",
            f"{row['share']:.0%}",
        )
        for row in found["rows"]
    ]
    store = found["store"]
    opens = f"a store of {store['pictures']:,} pictures opens in {store['opens_in_seconds']:.3f} s"
    return [columns([heading, *rows]), opens]


def _serve_lines(found: dict[str, Any]) -> list[str]:
    over = found["overload"]
    return [
        f"{found['what']}: {found['ours']:.1f} requests/s, {found['share']:.0%} of what is done without HTTP "
        f"({found['limit']:.1f}); p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms, {found['errors']} errors",
        f"{over['times']:g} times the load: {over['ours']:.1f} requests/s, {over['share_of_best']:.0%} of that, "
        f"{over['refused']:.0%} of the requests refused; p99 {over['p99_ms']:.0f} ms",
    ]


def _speed(what: str, figures: dict[str, Any]) -> str:
    beside = f", ONNX Runtime {figures['onnxruntime']:.1f}" if "onnxruntime" in figures else ""
    return (
        f"{what}: {figures['ours']:.1f} pictures/s, stock {figures['stock']:.1f}{beside}; {figures['ratio']:.2f} x "
        f"stock; {figures['share']:.0%} of the limit ({figures['limit']:.0f})"
    )


EXTRAS = {  # what each of pyproject.toml's extras must bring to be of use
    "data": ("datasets", "pyarrow"),
    "onnx": ("onnx", "onnxruntime"),
    "keras": ("h5py",),
    "hub": ("huggingface_hub",),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httptools"),
    "scale": ("ray",),
    "track": ("tensorboard",),
}


@command("alexnet doctor")
def doctor(as_json: bool) -> None:
    """Versions, devices, threads and caches: what to send with a question."""
    from importlib.util import find_spec

    from alexnet import compiled
    from alexnet.environment import cache_folder, environment
    from alexnet.pictures.scaling import kernel_in_use

    cache = cache_folder()
    used = sum(file.stat().st_size for file in cache.glob("stores/*/*"))
    document = environment() | {
        "kernel": "C" if compiled.loaded(compiled.RESPONSE_NORM) else "torch, until training builds the one in C",
        "scaling": "C" if kernel_in_use() else "Pillow, until preparing builds the kernel in C",
        "extras": {name: all(map(find_spec, modules)) for name, modules in EXTRAS.items()},
        "cache": str(cache),
        "cache_bytes": used,
    }
    rows = [(key, json.dumps(value) if isinstance(value, dict | list) else value) for key, value in document.items()]
    emit(document, as_json, columns(rows))
