"""The models of a run: validation after each epoch, the best network so far, the last one, the kernels on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.evaluation.evaluate import BATCH, probabilities
from alexnet.evaluation.metrics import metrics
from alexnet.pictures.layout import TEST, VALIDATION
from alexnet.pictures.store import Part
from alexnet.storage import link, whole
from alexnet.training.checkpoint import State
from alexnet.training.config import Config
from alexnet.training.fine_tuning import training_mode
from alexnet.training.parallel.group import Group
from alexnet.training.recipe import EXECUTION, Recipe, to_json
from alexnet.training.train import Plan
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.model import Model
from alexnet.weights.torch_engine import TorchEngine


@dataclass
class Keeper:
    """Validation after each epoch on `part`, and the two model files of a run."""

    folder: Path
    config: Config
    plan: Plan
    part: Part | None
    mean: torch.Tensor | None

    def validate(self, state: State) -> dict[str, Any] | None:
        """Scores on the part that is watched; the best network so far is saved if that part may choose. Without such
        a part: None."""
        self._keep_kernels(state)
        if self.part is None:
            return None
        network, sharing = self.plan.execution.judged(state.network)
        model = Model(TorchEngine(network, self.plan.pixels), self._description({}))
        state.network.eval()
        with self.plan.arithmetic():
            outputs = shared_probabilities(model, self.part, sharing)
        training_mode(state.network)
        scores = self.plan.group.told(None if outputs is None else self._judge(self.part, outputs))
        assert scores is not None  # the leading process's
        if self._chooses and all(_rank(scores) > _rank(validation(row)) for row in state.history):
            self.save("best", state, {"epoch": self.plan.order.epochs(state.step), VALIDATION: scores})
        return scores

    def _judge(self, part: Part, outputs: NDArray[np.float64]) -> dict[str, Any]:
        found = metrics(outputs, part.labels, self.config.classes)
        return {key: found[key] for key in ("images", "top1", "top5", "loss")}

    def finish(self, state: State) -> None:
        """Save the last network; where it is the best too, one file carries both names."""
        row, leads = state.history[-1], self.plan.group.leads
        best, last = self.folder / "best.safetensors", self.folder / "last.safetensors"
        is_best = self._chooses and best_row(state.history, self.config.recipe) is row
        if self.plan.group.told(is_best and best.exists()):
            if leads:
                link(best, last)
            return
        watched = {self.config.recipe.watch: validation(row)} if self.part is not None else {}
        self.save("last", state, {"epoch": row["epoch"]} | watched)
        if leads and not self._chooses:
            link(last, best)

    @property
    def _chooses(self) -> bool:
        """Whether the best network is chosen on the part that is watched."""
        return self.part is not None and self.config.recipe.watch == VALIDATION

    def save(self, name: str, state: State, scores: dict[str, Any]) -> None:
        """Write a model file; every process must call it."""
        tensors = dict(self.plan.execution.whole(state.network.state_dict()))
        if not self.plan.group.leads:
            return
        if self.mean is not None:
            tensors[files.MEAN_PICTURE] = self.mean
        files.save(self.folder / f"{name}.safetensors", tensors, self._description(scores))

    def _description(self, scores: dict[str, Any]) -> Description:
        config = self.config
        recipe = {k: v for k, v in to_json(config.recipe).items() if k not in EXECUTION}
        data = {"name": Path(config.data).name, "digest": config.digest, "counts": config.counts}
        weights = {"weights": config.weights.trained()} if config.weights else {}
        trained = {"data": data, "recipe": recipe, "seed": config.seed, **weights}
        return Description(config.variant, config.classes, config.input, trained, scores)

    def _keep_kernels(self, state: State) -> None:
        first = next((name for name, x in state.network.named_children() if isinstance(x, torch.nn.Conv2d)), None)
        name = f"{first}.weight"
        found = self.plan.execution.whole({name: state.network.get_parameter(name)} if first else {})
        if not self.plan.group.leads:
            return
        kernels = self.folder / "kernels"
        kernels.mkdir(exist_ok=True)
        if first is None:
            return
        epoch = self.plan.order.epochs(state.step)
        with whole(kernels / f"{epoch:04d}.npy") as partial:
            np.save(partial, found[name].detach().cpu().numpy())


def shared_probabilities(
    model: Model, part: Part, group: Group, label: str | None = None
) -> NDArray[np.float64] | None:
    """`probabilities` of a part, found by all processes; the leading one gets them, the others None.

    Each takes some of the batches that a process by itself would take, so that no bit depends on how many there are.
    """
    count = -(-len(part) // BATCH)
    ends = [min(len(part), BATCH * replace(group, rank=rank).share(count).stop) for rank in range(group.size)]
    starts = [0, *ends[:-1]]
    own = part.take(np.arange(starts[group.rank], ends[group.rank]))
    outputs = probabilities([(model, own)], label=label) if len(own) else np.empty((0, len(model.classes)))
    return group.gathered(outputs, [end - start for start, end in zip(starts, ends, strict=True)])


def validation(row: dict[str, Any]) -> dict[str, Any]:
    """The validation scores in a row of the history."""
    return {"top1": row["valid_top1"], "top5": row["valid_top5"], "loss": row["valid_loss"]}


def _rank(scores: dict[str, Any]) -> tuple[float, float]:
    return (scores["top1"], -scores["loss"])


def best_row(history: Sequence[dict[str, Any]], recipe: Recipe) -> dict[str, Any]:
    """The epoch of best validation top-1 (at a tie: of lower loss, then the earlier). The last where there is no
    validation, or where the test part is watched, which never chooses."""
    if history[-1]["valid_top1"] is None or recipe.watch == TEST:
        return history[-1]
    return max(history, key=lambda row: _rank(validation(row)))
