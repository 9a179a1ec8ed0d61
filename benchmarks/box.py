"""The model in the box: how good it is, how sure of what it knows and of what it cannot know. Writes results/box.json.

    python benchmarks/box.py cats-and-dogs.tar imagenet-sample.tar compress.json

The third is what `alexnet compress --json` answered when the model was made. The second archive holds pictures named by
WNID. Those of cats and dogs are answered rightly or wrongly; those of anything else can only be answered wrongly, so
that it matters how sure the answers sound.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from compression import decoding
from numpy.typing import NDArray
from PIL import Image
from record import record
from sklearn.metrics import roc_auc_score

import alexnet
from alexnet.evaluation.evaluate import evaluate
from alexnet.weights import files
from alexnet.weights.model import Model

DOGS, CATS = range(2085620, 2113979), range(2123045, 2124076)  # WNIDs of the challenge's breeds, without the wild ones
SURE = (0.5, 0.7, 0.9, 0.95)


def kind(name: str) -> str:
    number = int(Path(name).name[1:9])
    return "dogs" if number in DOGS else "cats" if number in CATS else "other"


def archive(path: str) -> list[tuple[str, Image.Image]]:
    with tarfile.open(path) as tar:
        members = [member for member in tar if member.isfile()]
        return [(kind(m.name), Image.open(io.BytesIO(tar.extractfile(m).read()))) for m in members]  # type: ignore[union-attr]


def said(model: Model, pictures: list[Image.Image]) -> NDArray[np.float64]:
    """Probabilities [N, classes]."""
    entries = model.predict(pictures, top=len(model.classes))
    rows = [sorted((one["index"], one["probability"]) for one in entry["top"]) for entry in entries]
    return np.array([[probability for _, probability in row] for row in rows])


def sure(top: NDArray[np.float64]) -> dict[str, float]:
    """Share of the answers that name a class with at least so much probability."""
    return {f"{least:g}": float((top >= least).mean()) for least in SURE}


def main(data: str, strange: str, compressed: str) -> None:
    model, size = alexnet.load(), files.BOX.stat().st_size
    found = evaluate([str(files.BOX)], data)
    scores: dict[str, Any] = found.scores
    known = found.probabilities.max(axis=1)
    pictures = archive(strange)
    animals = [(name, picture) for name, picture in pictures if name != "other"]
    answers = said(model, [picture for _, picture in animals]).argmax(axis=1)
    right = sum(model.classes[answer] == name for answer, (name, _) in zip(answers, animals, strict=True))
    unknown = said(model, [picture for name, picture in pictures if name == "other"]).max(axis=1)
    strangeness = np.concatenate([1 - known, 1 - unknown])
    is_strange = np.repeat([0, 1], [len(known), len(unknown)])
    record(
        "box",
        {
            "compression": json.loads(Path(compressed).read_text("utf-8")) | {"path": files.BOX.name},
            "bytes": size,
            "decode_seconds": decoding(files.BOX),
            "scores": {key: scores[key] for key in ("split", "images", "top1", "loss", "per_class", "confusion")},
            "sure": {"of test pictures": sure(known), "of other things": sure(unknown)},
            "tells_other_things_apart_auroc": float(roc_auc_score(is_strange, strangeness)),
            "imagenet": {"cats and dogs": len(animals), "right": right, "other things": len(unknown)},
        },
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
