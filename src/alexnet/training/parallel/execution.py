"""How the processes of a run carry out its network: each all of it, for a share of the pictures, or each a part of it.

Whichever it is, model files and checkpoints hold the whole network under the names of its layers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.errors import UsageError
from alexnet.network.architecture import Linear, Variant, walk
from alexnet.network.division import Division, Part, one_weird_trick, towers
from alexnet.network.model import module
from alexnet.pictures.batches import WHOLE
from alexnet.training.parallel.batch_statistics import make_global
from alexnet.training.parallel.crossing import Crossing, OwnDropout, Together
from alexnet.training.parallel.exchange import Exchange, alone
from alexnet.training.parallel.group import ALONE, Group
from alexnet.training.recipe import Recipe

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Replicas:
    """Each process has the whole network, and a share of every step's pictures; one that is alone has them all."""

    group: Group = ALONE
    saves_alone = True  # whether the leading process has all that a checkpoint holds

    @property
    def dropout(self) -> int:
        """Number of the process whose dropout this one draws."""
        return self.group.rank

    def share(self, pictures: int) -> slice:
        """Which of a step's pictures this process takes."""
        return self.group.share(pictures)

    def part_of(self, network: nn.Sequential) -> nn.Sequential:
        """What this process has of a network."""
        return network

    def exchange(self, network: nn.Sequential, recipe: Recipe) -> Callable[[Tensor], Tensor]:
        """What adds up gradients, running statistics and figures after a backward pass."""
        if self.group.size == 1:
            return alone
        if recipe.batch_statistics == "global":
            make_global(network, self.group)
        return Exchange(network, self.group, recipe.gradients == "bfloat16")

    def judged(self, network: nn.Sequential) -> tuple[nn.Module, Group]:
        """What scores pictures, and between whom the pictures are shared for it."""
        return network, self.group

    def whole(self, tensors: Tensors) -> Tensors:
        """Tensors of the whole network, on the leading process, by those of the parts; all processes must call it."""
        return tensors

    def own(self, tensors: Tensors) -> Tensors:
        """Those of this process's part, by tensors of the whole network."""
        return tensors


UNDIVIDED = Replicas()


@dataclass(frozen=True)
class Divided:
    """Each process has a part of the network, as `division` has it, and all pictures of a step or a share of them.

    Dropout masks are those of one device, drawn whole by every process from the same seed.
    """

    group: Group
    division: Division
    dropout = 0
    saves_alone = False

    def share(self, pictures: int) -> slice:
        return self.group.share(pictures) if self.division.sliced else WHOLE

    def part_of(self, network: nn.Sequential) -> nn.Sequential:
        """The same layers under the same names, and what crosses between them; on the device of the network, which
        stays as it is."""
        children: OrderedDict[str, nn.Module] = OrderedDict()
        with torch.device("meta"):
            for part in self.division.parts:
                name = part.row.name
                if isinstance(part.row.layer, Linear) and len(part.row.input) == 3:
                    children["flatten"] = nn.Flatten()
                if part.before:
                    children[f"to_{name}"] = Crossing(part.before, self.group)
                children[name] = self._module(part)
        if self.division.after:
            children["to_scores"] = Crossing(self.division.after, self.group)
        mine = nn.Sequential(children)
        mine.load_state_dict(self.own(network.state_dict()), assign=True)
        for name, parameter in network.named_parameters():
            mine.get_parameter(name).requires_grad_(parameter.requires_grad)
        return mine

    def _module(self, part: Part) -> nn.Module:
        made = module(part.row)
        if isinstance(made, nn.Dropout) and (part.features or part.pictures):
            return OwnDropout(made, 1 if part.features else 0, self.group)
        return made

    def exchange(self, network: nn.Sequential, recipe: Recipe) -> Callable[[Tensor], Tensor]:
        """Where each process has pictures of its own: for the layers that all have whole. Otherwise every process has
        all there is of its own gradients, and of the figures."""
        if not self.division.sliced:
            return alone
        if recipe.batch_statistics == "global":
            make_global(network, self.group, but=self.division.split)
        shared = nn.Sequential(*(c for name, c in network.named_children() if name not in self.division.split))
        return Exchange(shared, self.group, recipe.gradients == "bfloat16")

    def judged(self, network: nn.Sequential) -> tuple[nn.Module, Group]:
        """Every process takes all pictures, since it needs the others for each of them."""
        return (Together(network, self.group) if self.division.sliced else network), ALONE

    def whole(self, tensors: Tensors) -> Tensors:
        found = {}
        for name, tensor in tensors.items():
            whole = self.group.each(tensor.detach()).flatten(0, 1) if self._splits(name, tensor) else tensor
            if self.group.leads:
                found[name] = whole.cpu()
        return found

    def own(self, tensors: Tensors) -> Tensors:
        size, rank = self.group.size, self.group.rank
        shares = {n: t.chunk(size)[rank] if self._splits(n, t) else t for n, t in tensors.items()}
        return {name: share.clone() for name, share in shares.items()}

    def _splits(self, name: str, tensor: Tensor) -> bool:
        """Whether each process has a share of a tensor: `conv1.weight`, `optimizer/conv1.weight/momentum_buffer`."""
        layer = name.partition(".")[0].rpartition("/")[2]
        return layer in self.division.split and "." in name and tensor.dim() > 0  # counts of steps are all processes'


Execution = Replicas | Divided


def execution(recipe: Recipe, variant: Variant, size: int, group: Group) -> Execution:
    """How a recipe has a network of pictures of `size` carried out. Raises UsageError where it cannot be."""
    if recipe.execution == "data":
        return Replicas(group)
    if group.size == 1:
        start = "torchrun --nproc-per-node 2 -m alexnet train …"
        reason = f"--set execution={recipe.execution} needs several processes"
        raise UsageError(f"{reason}; start them with: {start}, or take execution=data")
    if recipe.update == "lars" or recipe.compile != "none":  # which look at whole layers, at the whole network
        other = "update=lars" if recipe.update == "lars" else f"compile={recipe.compile}"
        raise UsageError(f"--set {other} does not go with execution={recipe.execution}; leave one of them out")
    if recipe.execution == "towers":
        return Divided(group, towers(variant, size, group.size))
    if recipe.batch_size % group.size:
        reason = f"{recipe.batch_size} pictures do not divide over {group.size} processes"
        raise UsageError(f"--set batch_size: {reason}, and with execution={recipe.execution} each takes as many")
    return Divided(group, one_weird_trick(variant, group.size, size))


def held(recipe: Recipe, variant: Variant, size: int, processes: int) -> int:
    """Trained values that one of so many processes has of a network."""
    carried = execution(recipe, variant, size, Group(size=processes))
    if isinstance(carried, Divided):
        return carried.division.parameters
    return sum(row.parameters for row in walk(variant, size))
