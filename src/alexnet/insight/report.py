"""What a run folder shows a person: sheets of pictures, plots, the mistakes, the model card and `report.html`."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alexnet.evaluation.evaluate import Evaluation
from alexnet.insight import plots
from alexnet.pictures import chance
from alexnet.pictures.batches import Batch
from alexnet.pictures.decode import Pixels
from alexnet.pictures.store import Part
from alexnet.storage import write_csv, write_json, write_text

if TYPE_CHECKING:
    from alexnet.training.train import Plan

PER_CLASS = 8
SHOWN = 24  # pictures in predictions.png

FIGURES = (
    ("curves.png", "Loss and accuracy over the epochs"),
    ("confusion.png", "Confusion: rows are the true classes, columns the predicted ones"),
    ("predictions.png", "Predictions on pictures drawn at random"),
    ("samples.png", "Training pictures as stored"),
    ("inputs.png", "The same pictures as the network saw them in training"),
)


def sample(part: Part, classes: Sequence[str], seed: int) -> list[tuple[str, NDArray[np.int64]]]:
    """For each class (of the first few) its name and the places of a few random pictures of it."""
    drawn = chance.order(seed, 0, len(part), "samples")
    labels = part.labels[drawn]
    shown = classes[: plots.SHOWN_CLASSES]
    return [(name, drawn[labels == index][:PER_CLASS]) for index, name in enumerate(shown)]


def samples(part: Part, classes: Sequence[str], seed: int, path: Path) -> None:
    """A sheet of random pictures of each class."""
    rows = [(name, list(part.read(places))) for name, places in sample(part, classes, seed)]
    plots.sheet(rows, f"{len(part):,} pictures, {len(classes)} classes", path)


def before(folder: Path, classes: Sequence[str], part: Part, plan: Plan) -> None:
    """What can be looked at while the network trains: the pictures, as stored and as the network sees them."""
    seed = plan.order.seed
    samples(part, classes, seed, folder / "samples.png")
    rows = [(name, list(_views(part, places, plan))) for name, places in sample(part, classes, seed)]
    plots.sheet(rows, f"as the network sees them, {plan.size} x {plan.size}", folder / "inputs.png")


def _views(part: Part, places: NDArray[np.int64], plan: Plan) -> Pixels:
    """Training views of some pictures, uint8 [N, size, size, 3], with the chance of the first epoch."""
    columns = plan.purposes.items()
    cells = {p: chance.uniform(plan.order.seed, p, 0, 0, len(part), chunk)[places] for p, chunk in columns}
    batch = Batch(0, places, part.read(places), part.labels[places], cells)
    views, _ = plan.tensors(*next(plan.carry([batch])))
    return views.clamp(0, 255).byte().cpu().numpy()


def after(folder: Path, found: Evaluation, history: Sequence[dict[str, Any]], config: dict[str, Any]) -> None:
    """Everything that a finished run shows."""
    plots.curves(history, folder / "curves.png", config["recipe"]["watch"])
    _judged(folder, found)
    _predictions(found, config["seed"], folder / "predictions.png")
    write_text(folder / "README.md", _render("card.md", found.scores, history, config))
    write_text(folder / "report.html", _render("report.html", found.scores, history, config, folder))


def evaluation(folder: Path, found: Evaluation) -> None:
    """What `evaluate --out` writes: the scores, the confusion matrix, the mistakes."""
    write_json(folder / "evaluation.json", found.scores)
    _judged(folder, found)


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
    part, classes, probabilities = found.part, found.classes, found.probabilities
    labels, guesses = part.labels, probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    own, guessed = probabilities[wrong, labels[wrong]], probabilities[wrong, guesses[wrong]]
    paths = part.paths
    worst_first = np.argsort(own - guessed, kind="stable")
    rows = (
        (paths[row], classes[labels[row]], classes[guesses[row]], f"{guessed[i]:.4f}", f"{own[i]:.4f}")
        for i, row in zip(worst_first, wrong[worst_first], strict=True)
    )
    write_csv(path, ("path", "class", "predicted", "probability", "probability_of_class"), rows)


def _render(
    template: str,
    scores: dict[str, Any],
    history: Sequence[dict[str, Any]],
    config: dict[str, Any],
    folder: Path | None = None,
) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=template.endswith(".html"), undefined=StrictUndefined, trim_blocks=True)
    text = resources.files("alexnet.insight").joinpath(template).read_text("utf-8")
    images = {name: base64.b64encode((folder / name).read_bytes()).decode() for name, _ in FIGURES} if folder else {}
    data = Path(config["data"]).name
    return environment.from_string(text).render(
        title=f"{config['variant']['name']} on {data}",
        data=data,
        began=config["weights"] and Path(config["weights"]["model"]).name,
        scores=scores,
        history=history,
        config=config,
        classes=config["classes"],
        configuration=json.dumps(config, indent=1, ensure_ascii=False),
        figures=FIGURES,
        images=images,
    )
