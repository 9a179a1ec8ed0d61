"""The models of a run: validation after each epoch, the best network so far, the last one, the kernels on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.evaluation.evaluate import probabilities
from alexnet.evaluation.metrics import metrics
from alexnet.pictures.store import Part
from alexnet.storage import link, whole
from alexnet.training import recipes
from alexnet.training.checkpoint import State
from alexnet.training.config import Config
from alexnet.training.recipes import EXECUTION
from alexnet.training.train import Plan
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.model import TorchModel


@dataclass
class Keeper:
    """Validation after each epoch, and the two model files of a run."""

    folder: Path
    config: Config
    plan: Plan
    part: Part | None
    mean: torch.Tensor | None

    def validate(self, state: State) -> dict[str, Any] | None:
        """Metrics on the validation part; the best network so far is saved. Without such a part: None."""
        self._keep_kernels(state)
        if self.part is None:
            return None
        model = TorchModel(lambda _: state.network, self.plan.pixels, self._description({}))
        state.network.eval()
        with self.plan.arithmetic():
            outputs = probabilities([(model, self.part)])
        state.network.train()
        found = metrics(outputs, self.part.labels, self.config.classes)
        scores = {key: found[key] for key in ("images", "top1", "top5", "loss")}
        if all(_rank(scores) > _rank(validation(row)) for row in state.history):
            self.save("best", state, {"epoch": self.plan.order.epochs(state.step), "validation": scores})
        return found

    def finish(self, state: State) -> None:
        """Save the last network; where it is the best too, one file carries both names."""
        row = state.history[-1]
        best = best_row(state.history)
        if best is row and self.part is not None and (self.folder / "best.safetensors").exists():
            link(self.folder / "best.safetensors", self.folder / "last.safetensors")
            return
        scores = {"epoch": row["epoch"]} | ({"validation": validation(row)} if self.part is not None else {})
        self.save("last", state, scores)
        if self.part is None:
            link(self.folder / "last.safetensors", self.folder / "best.safetensors")

    def save(self, name: str, state: State, scores: dict[str, Any]) -> None:
        """Write a model file."""
        tensors = state.network.state_dict()
        if self.mean is not None:
            tensors[files.MEAN_PICTURE] = self.mean
        files.save(self.folder / f"{name}.safetensors", tensors, self._description(scores))

    def _description(self, scores: dict[str, Any]) -> Description:
        config = self.config
        recipe = {k: v for k, v in recipes.to_json(config.recipe).items() if k not in EXECUTION}
        data = {"name": Path(config.data).name, "digest": config.digest, "counts": config.counts}
        trained = {"data": data, "recipe": recipe, "seed": config.seed}
        return Description(config.variant, config.classes, config.input, trained, scores)

    def _keep_kernels(self, state: State) -> None:
        kernels = self.folder / "kernels"
        kernels.mkdir(exist_ok=True)
        first = next(child for child in state.network.children() if isinstance(child, torch.nn.Conv2d))
        epoch = self.plan.order.epochs(state.step)
        with whole(kernels / f"{epoch:04d}.npy") as partial:
            np.save(partial, first.weight.detach().cpu().numpy())


def validation(row: dict[str, Any]) -> dict[str, Any]:
    """The validation scores in a row of the history."""
    return {"top1": row["valid_top1"], "top5": row["valid_top5"], "loss": row["valid_loss"]}


def _rank(scores: dict[str, Any]) -> tuple[float, float]:
    return (scores["top1"], -scores["loss"])


def best_row(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The epoch of best validation top-1 (at a tie: of lower loss, then the earlier); without validation the last."""
    if history[-1]["valid_top1"] is None:
        return history[-1]
    return max(history, key=lambda row: _rank(validation(row)))
