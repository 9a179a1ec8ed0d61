"""Where a run stands, on disk: all that is needed to go on with the same bits, safe against a crash at any moment.

Each checkpoint is a folder `checkpoint/<step>/`: first the tensors, then, as the commit, one small `state.json` that
holds their digest and the history. The two newest are kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from alexnet.errors import StorageError, WeightsError
from alexnet.progress import say
from alexnet.storage import write_json
from alexnet.training.optimizer import load_named_state, named_state
from alexnet.weights.files import save_tensors

KEEP = 2
SHARE = 0.02  # of the training time that saving may take


@dataclass
class Sums:
    """What the running epoch adds up, on the device: pictures, loss, hits; and the first step whose loss was not
    finite, or -1, after which no update follows."""

    totals: Tensor
    bad_step: Tensor

    @classmethod
    def zero(cls, device: torch.device) -> Sums:
        return cls(torch.zeros(3, device=device), torch.full((), -1, dtype=torch.int64, device=device))

    def add(self, step: int, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one step; nothing is read back from the device."""
        hits = (logits.argmax(1) == labels).sum()
        count = torch.full_like(loss, len(labels))
        self.totals += torch.stack([count, loss.detach() * len(labels), hits.to(loss.dtype)])
        newly = ~torch.isfinite(loss) & (self.bad_step < 0)
        self.bad_step = torch.where(newly, step, self.bad_step)

    @property
    def found_inf(self) -> Tensor:
        """1.0 once a loss was not finite: fused optimizers then leave everything as it is."""
        return (self.bad_step >= 0).float()


@dataclass
class State:
    """All that a checkpoint holds."""

    network: nn.Sequential
    optimizer: torch.optim.Optimizer
    sums: Sums
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"run": 0.0, "steps": 0.0})


@dataclass
class Checkpoints:
    """The checkpoints of a run, and when the next is due."""

    folder: Path
    minutes: float = 0.0  # 0: chosen so that saving takes SHARE of the time
    last: float = field(default_factory=time.monotonic)
    cost: float | None = None  # seconds of the last save

    def due(self) -> bool:
        """Whether it is time to save again."""
        elapsed = time.monotonic() - self.last
        # Before the first save its cost is unknown; half a minute is long against any save of a network this size.
        wait = 60 * self.minutes or (30.0 if self.cost is None else self.cost / SHARE)
        return elapsed >= wait

    def save(self, state: State) -> None:
        """Write a checkpoint and drop all but the newest. Raises StorageError; what was there stays valid."""
        started = time.monotonic()
        target = self.folder / f"{state.step:09d}"
        try:
            self._write(target, state)
        except (OSError, StorageError) as error:
            shutil.rmtree(target, ignore_errors=True)
            raise StorageError(f"checkpoint not written: {error}; resume when there is room") from None
        for old in self._all()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        self.last = time.monotonic()
        self.cost = self.last - started

    def _write(self, target: Path, state: State) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        tensors = target / "tensors.safetensors"
        save_tensors(tensors, _flat(state))
        document = {
            "step": state.step,
            "history": state.history,
            "seconds": state.seconds,
            "rates": [group["lr"] for group in state.optimizer.param_groups],
            "sha256": _sha256(tensors),
        }
        write_json(target / "state.json", document)

    def load(self, state: State) -> bool:
        """Put the newest whole checkpoint into `state`; False if there is none. A damaged one is said and passed by.

        Raises WeightsError if there are checkpoints and all are damaged.
        """
        found = [folder for folder in reversed(self._all()) if (folder / "state.json").exists()]
        for folder in found:
            try:
                self._load(folder, state)
                return True
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                say(f"{folder}: damaged checkpoint ({error}); trying the one before")
        if found:
            raise WeightsError(f"{self.folder}: every checkpoint is damaged; start the run anew with --force")
        return False

    def _load(self, folder: Path, state: State) -> None:
        document = json.loads((folder / "state.json").read_text("utf-8"))
        if _sha256(folder / "tensors.safetensors") != document["sha256"]:
            raise ValueError("digest differs")
        tensors = load_file(folder / "tensors.safetensors")
        _restore(state, tensors)
        for group, rate in zip(state.optimizer.param_groups, document["rates"], strict=True):
            group["lr"] = rate  # what the restored momentum was made with
        state.step, state.history, state.seconds = document["step"], document["history"], document["seconds"]

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*") if path.name.isdigit())

    def clear(self) -> None:
        """Drop every checkpoint: the run is complete."""
        for old in self._all():
            shutil.rmtree(old, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flat(state: State) -> dict[str, Tensor]:
    """Every tensor of a state under one name, each with memory of its own."""
    tensors = {f"network/{name}": tensor for name, tensor in state.network.state_dict().items()}
    tensors |= {f"optimizer/{name}": t for name, t in named_state(state.network, state.optimizer).items()}
    tensors |= {"sums/totals": state.sums.totals, "sums/bad_step": state.sums.bad_step}
    return tensors


def _restore(state: State, tensors: dict[str, Tensor]) -> None:
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "sums": {}}
    for name, tensor in tensors.items():
        group, rest = name.split("/", 1)
        groups[group][rest] = tensor
    state.network.load_state_dict(groups["network"])
    device = state.sums.totals.device
    layouts = dict(state.network.named_parameters())
    moved = {}
    for name, tensor in groups["optimizer"].items():
        like = layouts[name.split("/")[0]]
        whole = tensor.shape == like.shape
        moved[name] = torch.empty_like(like).copy_(tensor) if whole else tensor.to(device)
    load_named_state(state.network, state.optimizer, moved)
    state.sums = Sums(groups["sums"]["totals"].to(device), groups["sums"]["bad_step"].to(device))
