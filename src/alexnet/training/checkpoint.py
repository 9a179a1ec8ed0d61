"""Where a run stands, on disk: all that is needed to go on with the same bits, safe against a crash at any moment.

Each checkpoint is a folder `checkpoint/<step>/`: first the tensors, then, as the commit, one small `state.json` that
holds their digest, the history, and a digest of itself. The two newest are kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from alexnet.errors import StorageError, UsageError, WeightsError
from alexnet.progress import say
from alexnet.storage import changes, flush, sha256, whole, write_json
from alexnet.training.optimizer import load_named_state, named_state
from alexnet.training.parallel.execution import UNDIVIDED, Execution
from alexnet.training.parallel.group import ALONE, Group
from alexnet.weights.files import write_tensors

KEEP = 2
SHARE = 0.02  # of the training time that saving may take
SLOW_DISK = 200e6  # bytes/s, and
SLOW_SYNC = 0.05  # seconds: what the first save is expected to take, before one was measured


@dataclass
class Sums:
    """What the running epoch adds up, on the device: pictures, loss, hits; and the first step whose loss was not
    finite, or -1, after which no update follows."""

    totals: Tensor
    bad_step: Tensor

    @classmethod
    def zero(cls, device: torch.device) -> Sums:
        return cls(torch.zeros(3, device=device), torch.full((), -1, dtype=torch.int64, device=device))

    def add(self, step: int, images: int, loss: Tensor, hits: Tensor) -> None:
        """Count one step, its mean loss and how many pictures it had right; nothing is read back from the device."""
        self.totals += torch.stack([torch.full_like(loss, images), loss * images, hits])
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

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor under one name, each with memory of its own."""
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"optimizer/{name}": t for name, t in named_state(self.network, self.optimizer).items()}
        return tensors | {"sums/totals": self.sums.totals, "sums/bad_step": self.sums.bad_step}


@dataclass
class Checkpoints:
    """The checkpoints of a run, and when the next is due."""

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)  # JSON; a run goes on under the one it began with alone
    complete: Callable[[dict[str, Any]], Mapping[str, Any]] = dict  # the one of an older version, as it is written now
    minutes: float = 0.0  # between two
    steps: int = 0  # between two; where both are 0, saving takes SHARE of the time
    step: int | None = None  # that the newest one holds
    last: float = field(default_factory=time.monotonic)
    cost: float | None = None  # seconds of the last save
    group: Group = ALONE  # whose leading process reads and writes
    execution: Execution = UNDIVIDED  # what is written is whole, however the network is carried out

    def planned(self, step: int) -> bool:
        """Whether every process saves after this step."""
        return bool(self.steps) and step % self.steps == 0

    def due(self, state: State) -> bool:
        """Whether it is time to save again, by the leading process's clock."""
        if (self.steps and not self.minutes) or not self.group.leads:
            return False
        if self.cost is None:
            self.cost = SLOW_SYNC + sum(tensor.nbytes for tensor in state.tensors().values()) / SLOW_DISK
        return time.monotonic() - self.last >= (60 * self.minutes or self.cost / SHARE)

    def save(self, state: State) -> None:
        """Write a checkpoint, unless it is there, and drop all but the newest; every process must call it. Raises
        StorageError; what was there stays valid."""
        if state.step == self.step:
            return
        started = time.monotonic()
        tensors = self.execution.whole(state.tensors())
        if not self.group.leads:
            self.step = state.step
            return
        target = self.folder / f"{state.step:09d}"
        try:
            self._write(target, state, tensors)
        except (OSError, StorageError) as error:
            self._drop([target])
            raise StorageError(f"checkpoint not written: {error}") from None
        with suppress(OSError):  # what cannot be dropped now is dropped after the next save
            self._drop(self._all()[:-KEEP])
        self.step, self.last = state.step, time.monotonic()
        self.cost = self.last - started

    def _write(self, target: Path, state: State, tensors: Mapping[str, Tensor]) -> None:
        self._drop([target])
        target.mkdir(parents=True)
        flush(self.folder)
        flush(self.folder.parent)
        file = target / "tensors.safetensors"
        with whole(file) as partial:
            write_tensors(partial, tensors)
        document = {
            "config": self.config,
            "step": state.step,
            "history": state.history,
            "seconds": state.seconds,
            "rates": [group["lr"] for group in state.optimizer.param_groups],
            "tensors": sha256(file),
        }
        write_json(target / "state.json", document | {"sha256": _digest(document)})

    def load(self, state: State) -> bool:
        """Put the newest whole checkpoint into `state`; False if there is none.

        One that a kill left unfinished is removed. A damaged one is said, and removed once one before it is found
        whole. Raises WeightsError if all are damaged, UsageError if the run was configured otherwise.
        """
        document, tensors = self._newest() if self.group.leads else (None, None)
        if (document := self.group.told(document)) is None:
            return False
        _restore(state, document, self.execution.own(self.group.copied(tensors)))
        self.step = state.step
        return True

    def _newest(self) -> tuple[dict[str, Any], dict[str, Tensor]] | tuple[None, None]:
        """What the newest whole checkpoint holds."""
        self._drop(folder for folder in self._all() if not (folder / "state.json").exists())
        damaged: list[Path] = []
        for folder in reversed(self._all()):
            try:
                document, tensors = _read(folder)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
                say(f"{folder}: damaged checkpoint ({error}); trying the one before")
                damaged.append(folder)
                continue
            if found := changes(self.complete(document["config"]), self.config):
                raise UsageError(f"--resume: config.json has changed since the run began: {'; '.join(found)}")
            self._drop(damaged)
            return document, tensors
        if damaged:
            raise WeightsError(f"{self.folder}: every checkpoint is damaged; start the run anew with --force")
        return None, None

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*") if path.name.isdigit())

    def clear(self) -> None:
        """Drop every checkpoint: the run is complete."""
        if self.group.leads:
            self._drop(self._all())

    def _drop(self, folders: Iterable[Path]) -> None:
        """Remove checkpoints, each its commit first: a kill in between leaves one unfinished, not one damaged."""
        for folder in folders:
            with suppress(OSError):
                (folder / "state.json").unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint holds. Raises one of many errors if a bit of it is not as it was written."""
    document: dict[str, Any] = json.loads((folder / "state.json").read_text("utf-8"))
    if document.pop("sha256") != _digest(document):
        raise ValueError("the digest of state.json differs")
    tensors = folder / "tensors.safetensors"
    if document["tensors"] != sha256(tensors):
        raise ValueError("the digest of tensors.safetensors differs")
    return document, load_file(tensors)


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _restore(state: State, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "sums": {}}
    for name, tensor in tensors.items():
        part, rest = name.split("/", 1)
        groups[part][rest] = tensor
    state.network.load_state_dict(groups["network"])
    device = state.sums.totals.device
    layouts = dict(state.network.named_parameters())
    moved = {}
    for name, tensor in groups["optimizer"].items():
        like = layouts[name.split("/")[0]]
        whole = tensor.shape == like.shape
        moved[name] = torch.empty_like(like).copy_(tensor) if whole else tensor.to(device, copy=True)  # not mapped
    load_named_state(state.network, state.optimizer, moved)
    state.sums = Sums(*(groups["sums"][name].to(device, copy=True) for name in ("totals", "bad_step")))
    for group, rate in zip(state.optimizer.param_groups, document["rates"], strict=True):
        group["lr"] = rate  # what the restored momentum was made with
    state.step, state.history, state.seconds = document["step"], document["history"], document["seconds"]
