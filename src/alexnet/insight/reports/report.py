"""What a run folder, and the folder of an evaluation, show a person: sheets of pictures, plots, the mistakes, the model
card and `report.html`, whose contents are in `contents`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alexnet.evaluation.evaluate import Evaluation
from alexnet.insight.reports import contents, judgement, notes, plots, provenance
from alexnet.insight.reports.page import render
from alexnet.insight.reports.thumbnails import jpeg
from alexnet.pictures import chance
from alexnet.pictures.batches import Batch
from alexnet.pictures.decode import Pixels
from alexnet.pictures.store import Part, class_counts
from alexnet.storage import write_csv, write_json, write_text

if TYPE_CHECKING:
    from alexnet.training.train import Plan

PER_CLASS = 8
SHOWN = 24  # pictures in predictions.png


@dataclass(frozen=True)
class Sample:
    """Training pictures of a class, as stored and as the network sees them, both as small pictures for a page."""

    name: str
    stored: list[str]
    seen: list[str]


@dataclass(frozen=True)
class Beginning:
    """What there is to say of the training pictures before anything is learnt."""

    samples: list[Sample]
    notes: list[str]


def sample(part: Part, classes: Sequence[str], seed: int) -> list[tuple[str, NDArray[np.int64]]]:
    """For each class (of the first few) its name and the places of a few random pictures of it."""
    drawn = chance.order(seed, 0, len(part), "samples")
    labels = part.labels[drawn]
    shown = classes[: plots.SHOWN_CLASSES]
    return [(name, drawn[labels == index][:PER_CLASS]) for index, name in enumerate(shown)]


def samples(part: Part, classes: Sequence[str], seed: int, path: Path) -> None:
    """A sheet of random pictures of each class."""
    rows = [(name, list(part.read(places))) for name, places in sample(part, classes, seed)]
    plots.sheet(rows, _sheet_title(part, classes), path)


def _sheet_title(part: Part, classes: Sequence[str]) -> str:
    return f"{len(part):,} pictures, {len(classes)} classes"


def before(folder: Path, classes: Sequence[str], part: Part, plan: Plan) -> Beginning:
    """What can be looked at while the network trains: the pictures, as stored and as the network sees them."""
    chosen = sample(part, classes, plan.order.seed)
    stored = [(name, list(part.read(places))) for name, places in chosen]
    seen = [(name, list(_views(part, places, plan))) for name, places in chosen]
    plots.sheet(stored, _sheet_title(part, classes), folder / "samples.png")
    plots.sheet(seen, f"as the network sees them, {plan.size} x {plan.size}", folder / "inputs.png")
    pairs = zip(stored, seen, strict=True)
    return Beginning(
        [Sample(name, _small(pictures), _small(views)) for (name, pictures), (_, views) in pairs],
        notes.of_training(class_counts(classes, part.labels)),
    )


def _small(pictures: Sequence[Pixels]) -> list[str]:
    return [jpeg(picture, contents.SAMPLE_SIDE) for picture in pictures[: contents.SAMPLES]]


def _views(part: Part, places: NDArray[np.int64], plan: Plan) -> Pixels:
    """Training views of some pictures, uint8 [N, size, size, 3], with the chance of the first epoch."""
    columns = plan.purposes.items()
    cells = {p: chance.uniform(plan.order.seed, p, 0, 0, len(part), chunk)[places] for p, chunk in columns}
    batch = Batch(0, places, part.read(places), part.labels[places], cells, part.labels[places])
    views, *_ = plan.tensors(*next(plan.carry([batch])))
    return views.clamp(0, 255).byte().cpu().numpy()


def after(
    folder: Path,
    found: Evaluation,
    history: Sequence[dict[str, Any]],
    config: dict[str, Any],
    result: dict[str, Any],
    began: Beginning,
) -> None:
    """Everything that a finished run shows; `result` is what it will answer, `began` what `before` gave."""
    plots.curves(history, folder / "curves.png", config["recipe"]["watch"])
    _judged(folder, found)
    _predictions(found, config["seed"], folder / "predictions.png")
    told = contents.of_evaluation(found) | provenance.of_run(folder, found, history, config, result)
    told["notes"] += began.notes
    write_text(folder / "README.md", render("card.md", config=config, **told))
    write_text(folder / "report.html", render("report.html", samples=began.samples, **told))


def evaluation(folder: Path, found: Evaluation, models: Sequence[str], data: str) -> None:
    """What `evaluate --out` writes: the scores, the confusion matrix, the mistakes, the report."""
    write_json(folder / "evaluation.json", found.scores)
    _judged(folder, found)
    told = contents.of_evaluation(found) | provenance.of_models(found, models, data)
    write_text(folder / "report.html", render("report.html", **told))


def _judged(folder: Path, found: Evaluation) -> None:
    matrix = np.array(found.scores["confusion"])
    plots.confusion(matrix, found.classes, _title(found), folder / "confusion.png")
    mistakes(found, folder / "mistakes.csv")


def _title(found: Evaluation) -> str:
    return f"{found.scores['split']} part: {found.scores['top1']:.2%} of {found.scores['images']:,} right"


def _predictions(found: Evaluation, seed: int, path: Path) -> None:
    places = chance.order(seed, 0, len(found.part), "samples")[:SHOWN]
    rows, labels = found.probabilities[places], found.part.labels[places]
    lines = [
        (f"{plots.shorten(found.classes[row.argmax()], 14)} {row.max():.0%}", bool(row.argmax() == label))
        for row, label in zip(rows, labels, strict=True)
    ]
    plots.predictions(list(found.part.read(places)), lines, _title(found), path)


def mistakes(found: Evaluation, path: Path) -> None:
    """mistakes.csv: path, true class, predicted class and both probabilities, most wrong first."""
    classes, labels, paths = found.classes, found.part.labels, found.part.paths
    wrong = judgement.most_wrong(found.probabilities, labels)
    rows = (
        (paths[place], classes[labels[place]], classes[row.argmax()], f"{row.max():.4f}", f"{row[labels[place]]:.4f}")
        for place, row in zip(wrong, found.probabilities[wrong], strict=True)
    )
    write_csv(path, ("path", "class", "predicted", "probability", "probability_of_class"), rows)
