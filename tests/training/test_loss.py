"""One loss: what the articles call binary cross-entropy is the cross-entropy that is used here."""

from __future__ import annotations

import torch
from torch.nn import functional as F

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(0, 2, (50,), generator=GENERATOR)


def both(loss, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and its gradient."""
    x = x.clone().requires_grad_()
    value = loss(x)
    return value.detach(), torch.autograd.grad(value, x)[0]


def test_one_sigmoid_output_is_a_softmax_over_zero_and_itself():
    """The first article: sigmoid and binary cross-entropy of one output z, against cross-entropy of [0, z]."""
    z = 3 * torch.randn(50, generator=GENERATOR).double()
    theirs = both(lambda z: F.binary_cross_entropy(torch.sigmoid(z), LABELS.double()), z)
    ours = both(lambda z: F.cross_entropy(torch.stack([torch.zeros_like(z), z], 1), LABELS), z)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_binary_cross_entropy_of_a_softmax_of_two_is_cross_entropy():
    """The third article: softmax of two outputs against one-hot labels, binary cross-entropy averaged over both."""
    logits = 3 * torch.randn(50, 2, generator=GENERATOR).double()
    one_hot = F.one_hot(LABELS, 2).double()
    theirs = both(lambda x: F.binary_cross_entropy(x.softmax(1), one_hot), logits)
    ours = both(lambda x: F.cross_entropy(x, LABELS), logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_with_more_classes_they_differ():
    """Why that is no recipe for a thousand classes."""
    logits, labels = torch.randn(50, 3, generator=GENERATOR).double(), torch.randint(0, 3, (50,), generator=GENERATOR)
    theirs = F.binary_cross_entropy(logits.softmax(1), F.one_hot(labels, 3).double())
    assert not torch.isclose(theirs, F.cross_entropy(logits, labels), rtol=1e-2)
