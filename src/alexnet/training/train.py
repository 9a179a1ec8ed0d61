"""The training loop, on a page: everything that happens to a network between its first and its last step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from alexnet.errors import UsageError
from alexnet.network.inference import has_bfloat16
from alexnet.network.layers import Pixels
from alexnet.pictures.batches import Batch, Order, ahead, batches
from alexnet.pictures.store import Part
from alexnet.training.augment import augment
from alexnet.training.checkpoint import Checkpoints, State
from alexnet.training.fine_tuning import training_mode
from alexnet.training.journal import Journal, Signals
from alexnet.training.optimizer import rate, set_rate, stopped
from alexnet.training.parallel.exchange import alone
from alexnet.training.parallel.execution import UNDIVIDED, Execution
from alexnet.training.parallel.group import Group
from alexnet.training.parallel.meetings import Meetings
from alexnet.training.recipe import Recipe, phase_at, purposes, views_in


@dataclass(frozen=True)
class Plan:
    """What the loop needs beside the state, all of it settled before the first step."""

    recipe: Recipe
    order: Order
    pixels: Pixels  # the network's first stage
    size: int
    device: torch.device
    bfloat16: bool
    class_weights: Tensor | None
    execution: Execution = UNDIVIDED
    exchange: Callable[[Tensor], Tensor] = alone

    @property
    def group(self) -> Group:
        """The processes that train together."""
        return self.execution.group

    @cached_property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.order.steps(self.recipe.epochs)

    @cached_property
    def purposes(self) -> dict[str, int]:
        """Columns of the table of chance that the views need, and how many pictures in a row share a cell."""
        return purposes(self.recipe)

    def phase(self, step: int) -> int:
        """Number of the recipe's phase in which a step falls."""
        return phase_at(self.recipe, step * self.order.batch_size / self.order.count)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """bfloat16 products over float32 weights, or plain float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def carry(self, found: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
        """Each batch with its pictures on the device; to a GPU the next ones are copied while it computes."""
        if self.device.type != "cuda":
            for batch in found:
                yield batch, torch.from_numpy(batch.pictures).to(self.device)
            return
        copies = torch.cuda.Stream(self.device)

        def copy(batch: Batch) -> tuple[Batch, Tensor, torch.cuda.Event]:
            with torch.cuda.stream(copies):
                pictures = torch.from_numpy(batch.pictures).pin_memory().to(self.device, non_blocking=True)
                return batch, pictures, copies.record_event()

        for batch, pictures, copied in ahead(copy, found):
            here = torch.cuda.current_stream(self.device)
            here.wait_event(copied)
            pictures.record_stream(here)  # its memory may be used again only once this stream is done with it
            yield batch, pictures

    def weight(self, labels: Tensor) -> Tensor | int:
        """What the sum of a step's losses is divided by: how many pictures it has, or what their classes weigh."""
        return len(labels) if self.class_weights is None else self.class_weights[labels].sum()

    def tensors(self, batch: Batch, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor | int]:
        """Training views [B, size, size, 3] and labels [B] of a batch whose pictures are on the device, and the weight
        of the whole step; the chance stays here, where corners of crops are read from it."""
        chance = {purpose: single(cells) for purpose, cells in batch.chance.items()}
        views = augment(
            pictures, chance, views_in(self.recipe, self.phase(batch.step)), self.size, self.pixels.rgb_mean
        )
        labels, together = (
            torch.from_numpy(some).to(self.device, non_blocking=True) for some in (batch.labels, batch.together)
        )
        return views, labels, self.weight(together)


def train(
    state: State,
    plan: Plan,
    part: Part,
    validate: Callable[[State], dict[str, Any] | None],
    journal: Journal,
    checkpoints: Checkpoints,
    signals: Signals,
) -> None:
    """Take `state` from where it stands to the end of the plan.

    `validate` is called after each epoch, keeps what it wants of the network and returns its metrics. Raises
    DivergedError, Interrupted (after a checkpoint) and StorageError.
    """
    recipe, group, meetings = plan.recipe, plan.group, Meetings(plan.group, state.step)
    training_mode(state.network)
    journal.begin(state)
    share, steps = plan.execution.share(recipe.batch_size), range(state.step, plan.steps)
    found = batches(part, plan.order, plan.purposes, steps, recipe.workers, share)
    for batch, pictures in plan.carry(found):
        if stopped(state.history, recipe.stop_on, recipe.patience):
            break
        phase = plan.phase(batch.step)
        learning_rate = rate(recipe, batch.step, plan.steps, state.history, phase)
        set_rate(state.optimizer, learning_rate, phase)
        torch.manual_seed(dropout_seed(plan.order.seed, batch.step, plan.execution.dropout))
        update(state, plan, *plan.tensors(batch, pictures))
        journal.tick(state)
        if plan.order.epochs(state.step) > plan.order.epochs(batch.step):
            with journal.pause():
                journal.approve(state)  # a network that diverged is not validated, nor kept as the best
                journal.epoch(state, learning_rate, validate(state))
        asked = meetings.heard(state.step, checkpoints.due(state), signals.received is not None)
        if any(asked) or checkpoints.planned(state.step):
            with journal.pause():
                journal.approve(state)
                journal.clock(state)
                checkpoints.save(state)
            signals.check(journal.folder, group)
    journal.clock(state)


def update(state: State, plan: Plan, views: Tensor, labels: Tensor, weight: Tensor | int) -> None:
    """One step: forward, loss, backward, new weights, unless a loss was not finite. Nothing waits for the device.

    `weight` is the whole step's, so that losses and gradients of several processes need but be added up.
    """
    with plan.arithmetic():
        logits = state.network(plan.pixels(views))
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    smoothing = plan.recipe.label_smoothing
    summed = F.cross_entropy(logits, labels, plan.class_weights, reduction="sum", label_smoothing=smoothing)
    loss = summed / weight
    loss.backward()
    hits = (logits.argmax(1) == labels).sum()
    figures = plan.exchange(torch.stack([loss.detach(), hits.to(loss.dtype)]))
    state.sums.add(state.step, plan.order.batch_size, *figures)
    state.optimizer.found_inf = state.sums.found_inf  # type: ignore[attr-defined]
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1


def single(cells: NDArray[np.float64]) -> Tensor:
    """Numbers in [0, 1) as float32, still below 1: rounding up would put a crop past the edge once in 30 million."""
    return torch.from_numpy(cells).float().clamp_(max=1 - 2**-24)


def dropout_seed(seed: int, step: int, rank: int = 0) -> int:
    """A number for torch's generator that no two steps or ranks of a run share."""
    return ((seed % 2**20) << 43) + (rank << 32) + step


def bfloat16(recipe: Recipe, device: torch.device) -> bool:
    """Whether to compute in bfloat16: what the recipe says, or whether the processor has instructions for it."""
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16"
    return has_bfloat16(device)


def device(recipe: Recipe) -> torch.device:
    """The device that the recipe names; auto: a CUDA GPU, else Apple's, else the processor."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if recipe.device != "auto":
        if not there[recipe.device]:
            raise UsageError(f"--set device={recipe.device}: torch finds no such device here")
        return torch.device(recipe.device)
    return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
