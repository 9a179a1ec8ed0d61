"""Gradients that are added up over the processes, so that every one of them takes the same step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from alexnet.training.parallel.group import Group

SMALL = 2**16  # values; gradients of smaller tensors travel together, once the backward pass is over


def alone(figures: Tensor) -> Tensor:
    """What `Exchange` is where nobody else is: the figures themselves."""
    return figures


class Exchange:
    """Adds up gradients over the processes: of large tensors each as soon as the backward pass has it, while that goes
    on; of small ones together, with the figures of the step and the means of the running statistics.

    So every process takes the same step and has the same state. `compressed`: large ones travel as bfloat16.
    """

    def __init__(self, network: nn.Module, group: Group, compressed: bool = False) -> None:
        self.group, self.compressed = group, compressed
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.small = [parameter for parameter in learning if parameter.numel() < SMALL]
        for parameter in learning:
            if parameter.numel() >= SMALL:
                parameter.register_post_accumulate_grad_hook(self._send)
        learns = (c for c in network.children() if all(parameter.requires_grad for parameter in c.parameters()))
        self.statistics = [b for child in learns for b in child.buffers() if b.is_floating_point()]
        self.sent: list[tuple[Tensor, Tensor, Callable[[], None]]] = []

    def _send(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        values = _in_memory(parameter.grad)
        travelling = values.bfloat16() if self.compressed else values
        self.sent.append((values, travelling, self.group.sum(travelling)))

    def __call__(self, figures: Tensor) -> Tensor:
        """Called after the backward pass, with figures [K] of this process's share; returns their sums."""
        gradients = [parameter.grad for parameter in self.small if parameter.grad is not None]
        together = [*gradients, *self.statistics, figures]
        flat = torch.cat([tensor.reshape(-1) for tensor in together])
        self.group.sum(flat)()
        sums = flat.split([tensor.numel() for tensor in together])
        for tensor, total in zip(together, sums, strict=True):
            tensor.copy_(total.view_as(tensor))
        for statistic in self.statistics:
            statistic /= self.group.size
        for values, travelled, wait in self.sent:
            wait()
            if self.compressed:
                values.copy_(travelled)
        self.sent.clear()
        return figures


def _in_memory(tensor: Tensor) -> Tensor:
    """The values of a tensor without gaps, in the order in which they lie, whatever that is: a view [N]."""
    return tensor.as_strided((tensor.numel(),), (1,))
