"""The experiments by name, in the order in which the documents list them."""

from __future__ import annotations

from alexnet.errors import unknown
from alexnet.experiments import articles, paper
from alexnet.experiments.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        articles.YENIGUN,
        articles.LE,
        articles.ARHAM,
        paper.RELU_VS_TANH,
        paper.CIFAR_11PCT,
        paper.CIFAR_13PCT,
        paper.NORMALISATION,
        paper.OVERLAPPING_POOLING,
        paper.GROUPS,
        paper.DROPOUT,
        paper.AUGMENTATION,
        paper.COLOUR_NOISE,
        articles.INITIALISATION,
        articles.LENET,
    )
}


def experiment(name: str) -> Experiment:
    """The experiment of that name. Raises UsageError."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
