"""Features of many pictures into a folder: what `alexnet features` is."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alexnet.errors import AlexNetError, StorageError, UsageError
from alexnet.insight.features import folder as feature_folder
from alexnet.insight.features import parquet, parts
from alexnet.insight.features.folder import Found, State, Unfinished, compare, listing
from alexnet.insight.features.layers import (
    Named,
    Pictures,
    Some,
    at,
    named,
    of_batch,
    of_data,
    of_listing,
    shapes,
    size_of,
)
from alexnet.pictures.datasets import located
from alexnet.pictures.inputs import Listing, chunks
from alexnet.pictures.jobs import WHOLE, Shard
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.progress import progress, say
from alexnet.storage import sha256
from alexnet.weights import files
from alexnet.weights.model import BATCH, Model, Spread, layers_of, load

if TYPE_CHECKING:
    from alexnet.network.inference import Precision

TASK = 8  # batches at a time on another machine,
MEMORY = 2**26  # if what comes of them is no more than so many bytes
SECONDS = 5.0  # between two times that everything is on the disk: what a kill costs at most

PathLike = str | os.PathLike[str]
Plan = dict[str, Any]


def extract(
    model: PathLike,
    inputs: Sequence[str],
    out: PathLike,
    layers: Sequence[str] = (),
    *,
    data: PathLike | None = None,
    split: str | None = None,
    precision: Precision = "float32",
    form: str = "npy",
    limits: Limits = LIMITS,
    shard: Shard = WHOLE,
    merge: PathLike | None = None,
    spread: Spread | None = None,
    resume: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write what layers of MODEL make of pictures to the folder `out`; the answer is what `alexnet features` prints.

    Pictures are `inputs` (files, folders, patterns of names, URLs), or those of DATA: of one `split`, or all. Those
    that are refused, also for their size (`limits`), are listed and do not keep the others. `form` is "npy" or
    "parquet". A `shard` takes its share of the pictures; `merge` is a folder in which all shards' folders lie, and
    nothing is computed; `spread` has it done on other machines (`use.cluster`). Raises UsageError, WeightsError,
    StorageError, and PictureError for a data set that holds unreadable pictures.
    """
    if bool(inputs) == (data is not None):
        raise UsageError("features takes INPUT... or --data DATA, one of the two")
    if spread is not None and data is not None:
        raise UsageError("--engine ray takes INPUT..., not --data: a prepared store is read where it lies")
    folder = Path(out)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    _check(folder, unfinished, resume, force)
    if form == "parquet":
        parquet.library()
    loaded = load(model, precision=precision)
    names = layers_of(loaded.variant, layers)
    of_batch(
        loaded, [np.zeros((loaded.input.stored, loaded.input.stored, 3), np.uint8)], names, precision
    )  # has it all
    every: Pictures = named(inputs, loaded, limits) if data is None else of_data(data, split, loaded, limits)
    pictures = at(every, shard.places(len(every.paths), BATCH))
    plan = _plan(files.locate(model), loaded, names, precision, pictures, data) | {"form": form}
    if folder.exists() and not force:
        return _complete(folder, plan)
    if merge is not None:
        parts.in_order(Path(merge), plan, pictures.paths)  # before anything is written
    began = time.monotonic()
    with feature_folder.own(unfinished):
        before = _begun(unfinished, plan, resume)
        _check_room(unfinished, (len(pictures.paths) - before.done) * size_of(loaded, names))
        if merge is not None:
            batches = parts.batches(Path(merge), plan, pictures.paths, before.done)
        elif spread is not None:
            batches = _elsewhere(spread, loaded, pictures, before.done, names, precision)
        else:
            batches = _batches(loaded, pictures, before.done, names, precision)
        state = _carry_out(unfinished, plan, before, batches)
        _finish(unfinished, folder, plan, state)
    seconds = time.monotonic() - began
    return _answer(folder) | {
        "seconds": round(seconds, 3),
        "pictures_per_second": round((state.done - before.done) / seconds, 1),
    }


def _check(folder: Path, unfinished: Path, resume: bool, force: bool) -> None:
    """Raise UsageError where something is in the way."""
    if folder.exists() and not force and (unfinished.exists() or not resume):
        raise UsageError(f"{folder} exists; choose another --out, or overwrite it with --force")
    if unfinished.exists() and not (resume or force):
        raise UsageError(f"{unfinished}: begun and not finished; go on with --resume, or begin anew with --force")
    for place in (folder, unfinished):
        if place.exists() and (other := feature_folder.foreign(place)):
            raise UsageError(f"{place} holds {other[0]}, which is no part of features; choose another --out")


def _plan(
    path: Path,
    loaded: Model,
    layers: Sequence[str],
    precision: Precision,
    pictures: Pictures,
    data: PathLike | None,
) -> Plan:
    """What the folder will hold, as its document says it."""
    return {
        "format": feature_folder.FORMAT,
        "model": {"name": loaded.variant.name, "sha256": sha256(path)},
        "layers": {name: list(shape) for name, shape in shapes(loaded, layers).items()},
        "precision": precision,
        "pictures": {"count": len(pictures.paths), "sha256": listing(pictures.paths)},
        # Where everything was, for `neighbours`; it may move.
        "places": {"model": str(path.resolve()), "folder": os.getcwd(), "data": data and located(data)},
    }


def _complete(folder: Path, plan: Plan) -> dict[str, Any]:
    """The answer of a folder that is as planned already."""
    compare(folder, plan, feature_folder.read(folder))
    say(f"{folder}: the features are complete")
    return _answer(folder) | {"seconds": 0.0, "pictures_per_second": None}


def _answer(folder: Path) -> dict[str, Any]:
    document = feature_folder.read(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {"path": str(folder), **{key: document[key] for key in ("rows", "refused", "code", "layers")}, "bytes": size}


# ------------------------------------------------------------------------------------------------------------- the work


def _begun(unfinished: Path, plan: Plan, resume: bool) -> State:
    """How far the folder has come; a new one gets its document first."""
    if resume and (unfinished / feature_folder.DOCUMENT).exists():
        before = feature_folder.read(unfinished)
        compare(unfinished, plan, before)
        counts = {key: before[key] for key in ("rows", "refused", "code")} if "state" not in before else before["state"]
        return State(**{"done": plan["pictures"]["count"]} | counts)
    for entry in unfinished.iterdir():
        entry.unlink()
    feature_folder.write_state(unfinished, plan, State())
    return State()


def _check_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        raise StorageError(f"{folder}: the features take {need / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free")


def _batches(
    model: Model, pictures: Pictures, start: int, layers: Sequence[str], precision: Precision
) -> Iterator[Found]:
    """From a place on: path, class and error of some pictures, and what the layers make of those without an error."""
    read = progress(pictures.read(start), len(pictures.paths) - start, "features")
    for chunk in chunks(read, BATCH):
        place = slice(start, start + len(chunk))
        errors = [picture if isinstance(picture, AlexNetError) else None for picture in chunk]
        entries = list(zip(pictures.paths[place], pictures.labels[place], errors, strict=True))
        yield entries, of_batch(model, chunk, layers, precision)
        start += len(chunk)


@dataclass(frozen=True)
class Extracting:
    """What to do with pictures, wherever it is done."""

    layers: Sequence[str]
    precision: Precision
    limits: Limits

    def __call__(self, model: Model, pictures: Listing) -> Iterator[Found]:
        return _batches(model, of_listing(pictures, model, self.limits), 0, self.layers, self.precision)


def _elsewhere(
    spread: Spread, model: Model, pictures: Some, start: int, layers: Sequence[str], precision: Precision
) -> Iterator[Found]:
    """The same, from other machines."""
    assert isinstance(pictures.all, Named)  # what is not has been refused
    work = Extracting(layers, precision, pictures.all.limits)
    end = pictures.first + len(pictures.paths)
    listing = pictures.all.listing.part(slice(pictures.first + start, end))
    together = max(1, min(TASK, MEMORY // (BATCH * size_of(model, layers))))
    found = chain.from_iterable(spread(work, listing, together * BATCH))
    yield from progress(found, -(-len(listing.names) // BATCH), "features, batches")


def _carry_out(unfinished: Path, plan: Plan, state: State, batches: Iterator[Found]) -> State:
    """Write what is missing. What was computed until somebody stopped it is kept."""
    if state.done == plan["pictures"]["count"] > 0:  # of no pictures, files without rows are written
        return state
    writing = Unfinished(unfinished, plan, state)
    kept = time.monotonic()
    try:
        for some in batches:
            writing.append(some)
            if time.monotonic() - kept > SECONDS:
                writing.keep()
                kept = time.monotonic()
        writing.keep()
    except (KeyboardInterrupt, SystemExit):
        writing.keep()
        say("stopped; to go on, repeat the command with --resume")
        raise
    finally:
        writing.close()
    return writing.state


def _finish(unfinished: Path, folder: Path, plan: Plan, state: State) -> None:
    if plan["form"] == "parquet":
        parquet.convert(unfinished, plan["layers"])
    document = plan | {"rows": state.rows, "refused": state.refused, "code": state.code}
    feature_folder.publish(unfinished, folder, document)
