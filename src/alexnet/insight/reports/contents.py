"""What a report tells about an evaluation: values for the template `report.html`, section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from alexnet.errors import UsageError
from alexnet.evaluation.certainty import Calibration, calibration, wilson
from alexnet.evaluation.evaluate import Evaluation
from alexnet.insight.explanations import explain, kernels, panels
from alexnet.insight.reports import charts, judgement, plots, thumbnails
from alexnet.network import architecture
from alexnet.pictures import chance, views
from alexnet.pictures.decode import Pixels
from alexnet.weights.model import Model

WRONG, UNCERTAIN, DRAWN = 24, 12, 12  # pictures shown; with their heat some 15 kB each
SIDE, SAMPLE_SIDE = 144, 96  # pixels of a shown picture, and of one of the training pictures
SAMPLES = 6  # of each class
COUNTED = 20  # classes up to which the confusion matrix is a table of counts
GROUPS = 100  # into which more classes than `charts.NAMED` are joined
PAIRS = 12  # confused pairs listed


@dataclass(frozen=True)
class Card:
    """A picture with the network's answer: `probability` that of the answer, `own` that of the true class."""

    path: str
    true: str
    answer: str
    probability: float
    own: float
    picture: str
    heat: str | None


def of_evaluation(found: Evaluation) -> dict[str, Any]:
    """All that can be told about any evaluation."""
    scores, classes = found.scores, found.classes
    matrix = np.array(scores["confusion"])
    right = int(matrix.trace())
    wrong, uncertain, reason = _looked_into(found)
    return {
        "scores": scores,
        "classes": _listed(judgement.class_scores(matrix, classes)),
        "right": right,
        "interval": wilson(right, scores["images"]),
        "plain": _largest(scores["per_class"]),
        "confusion": confusion(matrix, classes),
        "calibration": _calibration(calibration(found.probabilities, found.part.labels)),
        "wrong": wrong,
        "uncertain": uncertain,
        "drawn": _cards(found, chance.order(0, 0, len(found.part), "samples")[:DRAWN]),
        "no_heat": reason,
        "facts_of_network": _network(found.model),
    }


def _largest(per_class: Sequence[Mapping[str, Any]]) -> tuple[str, float]:
    """The class that most pictures have, and how many would be right for whoever always answered with it."""
    most = max(per_class, key=lambda row: row["images"])
    return most["class"], most["images"] / sum(row["images"] for row in per_class)


def _listed(scores: list[judgement.ClassScore]) -> list[judgement.ClassScore]:
    """Few classes in their order, many with the least recognised first."""
    if len(scores) <= COUNTED:
        return scores
    return sorted(scores, key=lambda score: 2.0 if score.recall is None else score.recall)


def _network(model: Model) -> list[tuple[str, str]]:
    variant, rule = model.variant, model.input
    rows = architecture.walk(variant, rule.size)
    grey = ", as grey" if rule.order == "grey" else ""
    return [
        ("network", f"{variant.name}: {variant.title}"),
        ("parameters", f"{sum(row.parameters for row in rows):,} in {len(rows)} layers"),
        ("picture", f"{rule.size} × {rule.size}{grey}, from {rule.stored} × {rule.stored} ({rule.resize})"),
    ]


# ------------------------------------------------------------------------------------------------------------ pictures


def _looked_into(found: Evaluation) -> tuple[list[Card], list[Card], str | None]:
    """The most wrong and the most uncertain pictures, with the heat of their answers or the reason for none."""
    wrong = judgement.most_wrong(found.probabilities, found.part.labels)[:WRONG]
    uncertain = judgement.most_uncertain(found.probabilities)[:UNCERTAIN]
    places = np.concatenate([wrong, uncertain])
    try:
        answers = found.probabilities[places].argmax(axis=1).tolist()
        heat = explain.grad_cam(found.model, _seen(found, places), target=answers, kind="local")  # "mean" may find none
    except UsageError as error:  # an ONNX file, or a network without convolutions
        reason = str(error).partition(": ")[2]  # without the path, which may say where somebody works
        return _cards(found, wrong), _cards(found, uncertain), reason
    cards = _cards(found, places, heat)
    return cards[: len(wrong)], cards[len(wrong) :], None


def _seen(found: Evaluation, places: NDArray[np.int64]) -> Pixels:
    """Pictures as the network saw them, uint8 [N, size, size, 3]: their centre views."""
    return np.ascontiguousarray(views.centre(found.part.read(places), found.model.input.size))


def _cards(found: Evaluation, places: NDArray[np.int64], heat: NDArray[np.float32] | None = None) -> list[Card]:
    pictures, labels = _seen(found, places), found.part.labels
    cards = []
    for number, (place, picture) in enumerate(zip(places, pictures, strict=True)):
        row, label = found.probabilities[place], labels[place]
        cards.append(
            Card(
                found.part.paths[place],
                found.classes[label],
                found.classes[row.argmax()],
                float(row.max()),
                float(row[label]),
                thumbnails.jpeg(picture, SIDE),
                None if heat is None else thumbnails.jpeg(panels.overlay(picture, heat[number]), SIDE),
            )
        )
    return cards


# ------------------------------------------------------------------------------------------------------------- numbers


def confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """What was taken for what: counts for few classes, a picture with names for some, one of groups for many."""
    count = len(classes)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    found: dict[str, Any] = {
        "pairs": judgement.confused_pairs(matrix, classes, PAIRS),
        "mistakes": int(matrix.sum() - matrix.trace()),
        "table": None,
        "picture": None,
        "groups": [],
    }
    if count <= COUNTED:
        counts = zip(classes, matrix.tolist(), shares.tolist(), strict=True)
        return found | {"table": [(name, list(zip(row, share, strict=True))) for name, row, share in counts]}
    order = judgement.alike(matrix)
    if count <= charts.NAMED:
        names = [plots.shorten(classes[place]) for place in order]
        said = f"Confusion of {count} classes: rows are the true ones, columns the answers."
        return found | {"picture": charts.matrix(shares[np.ix_(order, order)], names, said)}
    joined, members = charts.grouped(matrix[np.ix_(order, order)], GROUPS)
    said = f"Confusion of {count} classes in {GROUPS} groups of similar ones: rows are true, columns the answers."
    groups = [[classes[order[place]] for place in group] for group in members]
    return found | {"picture": charts.matrix(joined, [], said), "groups": groups}


def _calibration(found: Calibration) -> dict[str, Any]:
    bins, width = len(found.counts), 1 / len(found.counts)
    rows = [
        (place * width, (place + 1) * width, int(found.counts[place]), found.confidence[place], found.accuracy[place])
        for place in np.flatnonzero(found.counts)
    ]
    said = (
        f"Reliability diagram of {bins} bins, expected calibration error {found.error:.1%}; its numbers are in a table."
    )
    return {"error": found.error, "bins": bins, "rows": rows, "chart": charts.reliability(found, said)}


def curves(history: Sequence[Mapping[str, Any]], watched: str, best: int | None) -> list[tuple[str, Markup]]:
    """Loss and accuracy over the epochs; `best`: the epoch whose weights were kept, where one was chosen."""
    shown = []
    for key, name, unit, factor in (("loss", "loss", "nats", 1), ("top1", "top-1 accuracy", "%", 100)):
        lines = [
            charts.Line([(row["epoch"], factor * row[f"{part}_{key}"]) for row in history], style)
            for style, part in enumerate(("train", "valid"))
            if history[0][f"{part}_{key}"] is not None
        ]
        said = f"{name} over {len(history)} epochs, {' and '.join(('training', watched)[: len(lines)])}"
        shown.append((name, charts.curves(lines, name, unit, said, best)))
    return shown


# ------------------------------------------------------------------------------------------------------------- kernels


def kernels_of_run(folder: Path, model: Model) -> list[tuple[str, str]]:
    """The first layer's kernels after the first and after the last epoch, as the run kept them: (what, picture)."""
    kept = kernels.epochs(folder, model.input)
    chosen = {f"after epoch {epoch}": weights for epoch, weights in (*kept[:1], *kept[-1:])}
    return [(what, _tiles(weights, model)) for what, weights in chosen.items()]


def kernels_of(model: Model) -> list[tuple[str, str]]:
    """The first layer's kernels of a model, if it has a convolution."""
    try:
        return [("as they answer", _tiles(kernels.kernels(model), model))]
    except UsageError:
        return []


def _tiles(weights: NDArray[np.float32], model: Model) -> str:
    return thumbnails.png(panels.kernels(weights, kernels.columns(model.variant), least=24))
