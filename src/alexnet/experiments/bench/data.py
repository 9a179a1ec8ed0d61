"""The speed of pictures' way into the network, with the textbook's way beside it and the limits measured there."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from alexnet.environment import environment
from alexnet.errors import UsageError
from alexnet.experiments.bench.turns import Figures, in_turn, process
from alexnet.pictures import datasets, patterns
from alexnet.pictures.archives import Archive
from alexnet.pictures.forms import FORMS
from alexnet.pictures.layout import is_picture
from alexnet.pictures.sources import Folder
from alexnet.pictures.store import FORMAT
from alexnet.pictures.store_pieces import pieces_of

MOST = 2_000  # pictures of DATA that are measured with
DRAWN = 300  # without DATA
MANY = 1_281_167  # in a store that is only opened: as many as ImageNet has
FILES = 50_000  # in a folder that is only listed
STEPS = 20  # batches that are fed in a turn
VIEWED = ("fast", "krizhevsky-2012")


def bench_data(data: str | None, turns: int) -> dict[str, Any]:
    """Preparing, opening, training views, feeding, and the training loop on a store; every figure a median of turns.

    `rows`: rates (more is faster), ours, stock's and the limit. Limits: for preparing, Pillow's bare decoder and resize
    on all cores; for a known folder, asking each file for size and time; for views, writing their values once; for
    feeding, copying what is stored; for the loop, the same step on views in memory. The heading figures are those of
    preparing. Without DATA patterns are drawn, which are not photographs: then only ratios mean something.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        folder, store = str(place / "files"), str(place / "stored" / "store")
        count = _unpack(data, place / "files")
        process(["data", "prepare-ours", folder, str(place / "stored")])
        compared = {
            "prepare": ("pictures/s", "rate", _prepared(folder, place, turns)),
            "open a known folder": ("files/s", "rate", _opened(place, turns)),
            **{f"view of {name}": ("pictures/s of CPU", "cpu", _viewed(store, name, turns)) for name in VIEWED},
            "feed": ("pictures/s", "rate", _fed(store, folder, turns)),
        }
        rows = [_row(what, *entry) for what, entry in compared.items()]
        loops = in_turn({way: ["data", "loop", store, folder, way, str(2 * turns)] for way in ("ours", "stock")}, 1)
        opened = in_turn({"store": ["data", "store", str(_empty_store(place))]}, turns)["store"]
    return {
        "what": f"data, {count:,} pictures of {Path(data).name if data else 'drawn patterns'}",
        **{key: rows[0][key] for key in ("ours", "stock", "ratio", "limit", "share", "unit")},
        "rows": [*rows, _loop_row(loops["ours"], loops["stock"])],
        "store": {"pictures": MANY, "opens_in_seconds": opened["seconds"]},
        "turns": turns,
        "environment": environment(),
    }


# ---------------------------------------------------------------------------------------------------------------- rows


def _prepared(folder: str, place: Path, turns: int) -> dict[str, Figures]:
    """Each turn has a folder of its own for its store, which goes with the scratch folder."""
    collected = []
    for turn in range(turns):
        arguments = {way: ["data", f"prepare-{way}", folder] for way in ("ours", "limit", "stock")}
        arguments["ours"].append(str(place / f"turn{turn}"))
        arguments["jpeg"] = ["data", "prepare-ours", folder, str(place / f"jpeg{turn}"), "jpeg"]
        collected.append(in_turn(arguments, 1))
    return _medians(collected)


def _medians(turns: list[dict[str, Figures]]) -> dict[str, Figures]:
    return {
        way: {key: float(np.median([turn[way][key] for turn in turns])) for key in figures}
        for way, figures in turns[0].items()
    }


def _opened(place: Path, turns: int) -> dict[str, Figures]:
    folder = place / "many"
    for name in range(50):
        (folder / f"{name:02d}").mkdir(parents=True)
        for number in range(FILES // 50):
            (folder / f"{name:02d}" / f"n01440764_{number:05d}.JPEG").touch()
    return in_turn({way: ["data", "open", str(folder), way] for way in ("ours", "limit", "stock")}, turns)


def _viewed(store: str, name: str, turns: int) -> dict[str, Figures]:
    found = in_turn({way: ["data", "view", store, name, way] for way in ("ours", "limit", "stock")}, turns)
    return {way: figures | {"cpu": 1000 / figures["cpu_ms"]} for way, figures in found.items()}


def _fed(store: str, folder: str, turns: int) -> dict[str, Figures]:
    places = {"ours": store, "limit": store, "stock": folder}
    return in_turn({way: ["data", f"feed-{way}", where, str(STEPS)] for way, where in places.items()}, turns)


def _row(what: str, unit: str, key: str, found: dict[str, Figures]) -> dict[str, Any]:
    ours, limit, stock = (found[way][key] for way in ("ours", "limit", "stock"))
    rates = {"ours": ours, "stock": stock, "ratio": ours / stock, "limit": limit, "share": ours / limit}
    jpeg = {"jpeg": found["jpeg"][key]} if "jpeg" in found else {}
    cpu = {"cpu_ms": {way: found[way]["cpu_ms"] for way in found}} if key == "cpu" else {}
    return {"what": what, "unit": unit, **rates, **jpeg, **cpu}


def _loop_row(ours: Figures, stock: Figures) -> dict[str, Any]:
    """Shares are medians of the turns' own: steps in memory and steps on what is fed, one after the other."""
    rates = {"ours": ours["rate"], "stock": stock["rate"], "ratio": ours["rate"] / stock["rate"]}
    shares = {"limit": ours["limit"], "share": ours["share"], "stock_share": stock["share"]}
    return {"what": "training loop", "unit": "pictures/s", **rates, **shares}


# ------------------------------------------------------------------------------------------------------------ material


def _unpack(data: str | None, folder: Path) -> int:
    """Up to MOST pictures, evenly spread, as files in two class folders; how many."""
    for name in "ab":
        (folder / name).mkdir(parents=True)
    place = -1
    for place, (name, content) in enumerate(_contents(data)):
        (folder / "ab"[place % 2] / f"{place:05d}-{name[-60:]}").write_bytes(content)
    if place < 1:
        raise UsageError(f"{Path(data or '')}: too few pictures to measure with")
    return place + 1


def _contents(data: str | None) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of a folder or an archive, or of drawn patterns."""
    source = None if data is None else datasets.source(data)
    match source:
        case None:
            yield from (("pattern.jpg", _drawn(index)) for index in range(DRAWN))
        case Folder():
            paths = [source.root / path for path, _, _ in source.listing if is_picture(PurePosixPath(path))]
            yield from ((path.name, path.read_bytes()) for path in paths[:: -(-len(paths) // MOST) or 1])
        case Archive():
            with source.whole():
                count = sum(is_picture(PurePosixPath(name)) for name, _, _ in source.members())
                places = ((PurePosixPath(name), read) for name, _, read in source.members())
                pictures = ((place.name, read) for place, read in places if is_picture(place))
                every = -(-count // MOST)
                yield from ((name, read()) for number, (name, read) in enumerate(pictures) if number % every == 0)
        case _:
            raise UsageError(f"{data}: bench data measures with a folder or an archive of pictures")


def _drawn(index: int) -> bytes:
    """A pattern as a JPEG of the size that pictures of ImageNet mostly have."""
    data = io.BytesIO()
    Image.fromarray(patterns.draw(index)[0]).resize((500, 375)).save(data, "JPEG", quality=90)
    return data.getvalue()


def _empty_store(place: Path) -> Path:
    """A store of as many pictures as ImageNet has, all of them black: files with nothing in them take no room."""
    folder = place / "empty"
    folder.mkdir()
    pieces = pieces_of("train", MANY, 256 * 256 * 3)
    for piece in pieces:
        with FORMS["raw"].create(folder, piece.name, (len(piece.rows), 256, 256, 3)):
            pass
    np.save(folder / "train.labels.npy", np.arange(MANY, dtype=np.int64) % 1000)
    (folder / "train.paths.txt").write_text("\n".join(json.dumps(f"{row}.jpg") for row in range(MANY)))
    entries = [{"name": piece.name, "count": len(piece.rows), "digest": ""} for piece in pieces]
    document = {
        "format": FORMAT,
        "name": "empty",
        "classes": [f"{number:03d}" for number in range(1000)],
        "size": 256,
        "resize": "crop",
        "decode": "full",
        "store": "raw",
        "parts": {"train": {"count": MANY, "digest": "", "shards": entries}},
        "skipped": {},
        "strays": 0,
    }
    (folder / "store.json").write_text(json.dumps(document))
    return folder
