"""What an experiment is: arms that are trained, what is compared between them, and what was published. All values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.network import architecture
from alexnet.network.architecture import Variant
from alexnet.training.recipe import Recipe


@dataclass(frozen=True)
class Arm:
    """One way of training one network, carried out once for each seed; `data` is the name of a data set."""

    label: str  # its runs' folders are called so, with the seed
    recipe: Recipe
    variant: Variant
    data: str
    seeds: tuple[int, ...] = (0,)

    @property
    def size(self) -> int:
        """Side of the picture that the network sees."""
        return self.recipe.size or self.variant.size

    @property
    def stored(self) -> int:
        """Side of the picture that it is cut from."""
        whole = self.recipe.margin == "none"
        return self.size if whole else round(self.variant.stored * self.size / self.variant.size)


@dataclass(frozen=True)
class Quick:
    """How `--quick` reduces an experiment: pictures per class, epochs, side (0: as it is), batch, seeds."""

    train: int = 24
    test: int = 12
    epochs: int = 3
    size: int = 0
    batch_size: int = 16
    seeds: int = 2

    def reduced(self, arm: Arm) -> Arm:
        """The arm, smaller. A network that needs larger pictures gets the smallest that it can take."""
        size = max(self.size, architecture.smallest_size(arm.variant)) if self.size else arm.recipe.size
        recipe = replace(
            arm.recipe,
            size=min(size, arm.size),
            epochs=min(self.epochs, arm.recipe.epochs),
            batch_size=min(self.batch_size, arm.recipe.batch_size),
        )
        return replace(arm, recipe=recipe, seeds=arm.seeds[: self.seeds])


@dataclass(frozen=True)
class Run:
    """What a run of an arm has left so far.

    `history`: the rows of history.csv as numbers. `evaluation`: as `alexnet evaluate --json`, None before the end;
    `ten_views`: the same from ten views, where the experiment asks for them. `failure`: why it came to no end.
    """

    arm: Arm
    seed: int
    history: tuple[Mapping[str, Any], ...] = ()
    evaluation: Mapping[str, Any] | None = None
    ten_views: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    failure: str = ""

    @property
    def name(self) -> str:
        return f"{self.arm.label}-{self.seed}"

    @property
    def epochs(self) -> int:
        """Epochs that are complete."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def finished(self) -> bool:
        """Whether there is no more to come: a run that diverged has told what it can."""
        return self.result is not None or bool(self.failure)


Runs = Mapping[str, Sequence[Run]]
"""The runs of each arm by its label, in the order of arms and seeds; those not begun are there too, empty."""


@dataclass(frozen=True)
class Row:
    """One line of an experiment's table: a quantity, its value in each run that has one, and the published number."""

    arm: str
    quantity: str
    unit: str
    values: tuple[float, ...]
    published: float | None
    runs: tuple[Run, ...]

    @property
    def finished(self) -> bool:
        return all(run.finished for run in self.runs)


Compare = Callable[[Runs], Sequence[Row]]
Draw = Callable[["Outcome", Path], None]


@dataclass(frozen=True)
class Experiment:
    """A published experiment: who reported what, our arms, the rows of its table and its figures by file name.

    `data` are names of data sets; `differences` says in what ours is not as published. `ten_views`: finished networks
    are also evaluated on ten views.
    """

    name: str
    title: str
    source: str
    published: str
    differences: tuple[str, ...]
    arms: tuple[Arm, ...]
    compare: tuple[Compare, ...]
    figures: tuple[tuple[str, Draw], ...]
    quick: Quick = Quick()
    ten_views: bool = False

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the data sets, in the order in which the arms name them."""
        return tuple(dict.fromkeys(arm.data for arm in self.arms))


@dataclass(frozen=True)
class Outcome:
    """An experiment with what its runs have left so far; `marks` say why that is not all, where it is not."""

    experiment: Experiment
    runs: Runs
    marks: tuple[str, ...] = ()

    @property
    def rows(self) -> list[Row]:
        return [row for compare in self.experiment.compare for row in compare(self.runs)]

    @property
    def finished(self) -> bool:
        return all(run.finished for runs in self.runs.values() for run in runs)
