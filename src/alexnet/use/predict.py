"""Answers about pictures that the network has not seen: files, folders, patterns of names, URLs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from alexnet.errors import AlexNetError, NetworkError, PictureError, UsageError
from alexnet.evaluation.evaluate import view_probabilities
from alexnet.pictures.decode import Pixels, stored
from alexnet.pictures.inputs import Listing, chunks, class_of, contents, listed, opened, refusal
from alexnet.pictures.jobs import WHOLE, Shard
from alexnet.pictures.limits import LIMITS, Limits
from alexnet.progress import progress, say
from alexnet.use.writing import Entry
from alexnet.weights.model import BATCH, Model, Spread, answer

TASK = 8 * BATCH  # pictures at a time on another machine: some seconds of work
SIDE = 200  # pixels of a picture on a sheet
MOST = 32  # pictures on one


def predict(
    model: Model,
    inputs: Sequence[str],
    top: int = 5,
    views: int = 1,
    limits: Limits = LIMITS,
    shard: Shard = WHOLE,
    spread: Spread | None = None,
) -> Iterator[Entry]:
    """One entry per picture, in input order: {path, label, probability, top} or {path, error, exit_code}.

    Pictures are read and decoded ahead on other threads. A picture that is refused never loses the others. In memory
    are the model, a batch with its answers and a few decoded pictures, and the names of all. `spread` has it done on
    other machines (`use.cluster`).
    """
    pictures = _of_shard(inputs, shard)
    work = Predicting(top, views, limits)
    if spread is None:
        entries = work(model, pictures)
    else:
        entries = chain.from_iterable(spread(work, pictures, TASK))
    yield from progress(entries, len(pictures.names), "predicting")


def _of_shard(inputs: Sequence[str], shard: Shard) -> Listing:
    every = listed(inputs)
    return every.part(shard.places(len(every.names), BATCH))


@dataclass(frozen=True)
class Predicting:
    """What to do with pictures, wherever it is done."""

    top: int
    views: int
    limits: Limits

    def __call__(self, model: Model, pictures: Listing) -> Iterator[Entry]:
        read = opened(pictures.contents(), model.input, self.limits)
        for chunk in chunks(zip(pictures.names, read, strict=True), BATCH):
            yield from _answers(model, chunk, self.top, self.views)


def _answers(model: Model, chunk: list[tuple[str, Pixels | AlexNetError]], top: int, views: int) -> Iterator[Entry]:
    good = [picture for _, picture in chunk if not isinstance(picture, AlexNetError)]
    rows = iter(view_probabilities(model, np.stack(good), views) if good else ())
    for path, picture in chunk:
        if isinstance(picture, AlexNetError):
            yield refusal(path, picture)
        else:
            yield {"path": path, **answer(next(rows), model.classes, top)}


def draw(
    entries: Mapping[int, Entry],
    inputs: Sequence[str],
    model: Model,
    path: Path,
    limits: Limits = LIMITS,
    shard: Shard = WHOLE,
) -> None:
    """A sheet of pictures that were answered, at most MOST, with the probable classes under each (paper, figure 4,
    left). `entries` are by the picture's place in what `predict` answered of the same inputs. The true class is that of
    the folder that a picture lies in, where it is called after one. Raises UsageError where there is no picture; one
    that has gone meanwhile is left out."""
    from alexnet.insight.reports import sheets

    good = {place: entry for place, entry in entries.items() if entry.get("top")}
    if len(good) > MOST:
        say(f"{path}: the first {MOST} pictures")
    rows = enumerate(islice(_of_shard(inputs, shard).contents(), max(good, default=0) + 1))
    of_tables = {place: content for place, content in rows if place in good and isinstance(content, bytes)}
    shown = []
    for place, entry in islice(good.items(), MOST):
        top = [(one["label"], one["probability"]) for one in entry["top"]]
        with suppress(PictureError, NetworkError):
            data = of_tables.get(place) or contents(entry["path"], limits)
            picture = stored(data, SIDE, model.input.resize, limits=limits)
            shown.append(sheets.Answer(picture, class_of(entry["path"], model.classes), top))
    if not shown:
        raise UsageError(f"{path}: nothing to draw: no picture could be read")
    sheets.answers(shown, f"the most probable of {len(model.classes):,} classes, {model.variant.name}", path)
