"""What the paper, its authors' logs, frameworks and articles report, as values, to be printed beside our own results.

Accuracies in 0..1; most sources print errors in per cent.
"""

from __future__ import annotations

from dataclasses import dataclass

ILSVRC_2010 = "ILSVRC-2010 test"
ILSVRC_2012 = "ILSVRC-2012 validation"
FALL_2009 = "half of ImageNet, Fall 2009: 8.9 million pictures, 10,184 classes"
CIFAR_10 = "CIFAR-10 test"

PAPER = "Krizhevsky, Sutskever, Hinton, NIPS 2012"
SOURCE = "computerhistory/AlexNet-Source-Code, notes in its layer-params files"
CUDA_CONVNET = "cuda-convnet, front page of its wiki"
EXTRA = "one more convolutional layer, first trained on all of ImageNet, Fall 2011: 15 million pictures, 22,000 classes"


@dataclass(frozen=True)
class Result:
    """What somebody measured. `top1` and `top5` are accuracies in 0..1, None where none is printed.

    `views`: how many were averaged, None where that is not said. `variant`: the name of the same network here, "" where
    there is none. `minutes`: how long its training took.
    """

    network: str
    data: str
    source: str
    top1: float | None
    top5: float | None = None
    views: int | None = 10
    variant: str = ""
    minutes: float | None = None

    @property
    def percent(self) -> float | None:
        """Top-1 in per cent, as it is printed."""
        return None if self.top1 is None else round(100 * self.top1, 4)


@dataclass(frozen=True)
class Difference:
    """By how much accuracy, in 0..1, a feature is said to help; `without` and `having` are the variants to compare."""

    feature: str
    source: str
    top1: float
    top5: float | None = None
    having: str = ""
    without: str = ""


TABLE_1 = (
    Result("sparse coding", ILSVRC_2010, f"{PAPER}, table 1", 0.529, 0.718, views=None),
    Result("SIFT and Fisher vectors", ILSVRC_2010, f"{PAPER}, table 1", 0.543, 0.743, views=None),
    Result("one network", ILSVRC_2010, f"{PAPER}, table 1", 0.625, 0.830, variant="krizhevsky-2012"),
    Result("one network", ILSVRC_2010, f"{PAPER}, section 6", 0.610, 0.817, views=1, variant="krizhevsky-2012"),
)

TABLE_2 = (
    Result("SIFT and Fisher vectors", "ILSVRC-2012 test", f"{PAPER}, table 2", None, 0.738, views=None),
    Result("one network", ILSVRC_2012, f"{PAPER}, table 2", 0.593, 0.818, variant="krizhevsky-2012"),
    Result("five networks", ILSVRC_2012, f"{PAPER}, table 2", 0.619, 0.836),
    Result("five networks", "ILSVRC-2012 test", f"{PAPER}, table 2", None, 0.836),
    Result(f"one network, {EXTRA}", ILSVRC_2012, f"{PAPER}, table 2", 0.610, 0.834),
    Result("those five and two of these", ILSVRC_2012, f"{PAPER}, table 2", 0.633, 0.846),
    Result("those five and two of these", "ILSVRC-2012 test", f"{PAPER}, table 2", None, 0.847),
)

WHOLE_IMAGENET = (
    Result("one network, one more convolutional layer", FALL_2009, f"{PAPER}, section 6", 0.326, 0.591),
    Result("best published before", FALL_2009, f"{PAPER}, section 6", 0.219, 0.391, views=None),
)

# What the notes on the source's runs end with. 145 is the paper's network, whose tables round these numbers.
LOGS = (
    Result("145", ILSVRC_2010, SOURCE, 0.625273, 0.830013, variant="source-145"),
    Result("145", ILSVRC_2010, SOURCE, 0.609753, 0.817047, views=1, variant="source-145"),
    Result("145", ILSVRC_2012, SOURCE, 0.593360, 0.817900, variant="source-145"),
    Result("145 for 135 epochs, its rate raised again", ILSVRC_2012, SOURCE, 0.5975, 0.8201),
    Result(f"146: {EXTRA}", ILSVRC_2012, SOURCE, 0.610100, 0.833780),
    Result("147: 2 x 2 pooling", ILSVRC_2012, SOURCE, 0.589420, 0.814900, variant="no-overlap"),
    Result("148: no normalisation", ILSVRC_2012, SOURCE, 0.579660, 0.806380, variant="no-normalisation"),
    Result("145-half: one column", ILSVRC_2010, SOURCE, 0.608320, 0.817713, variant="half-width"),
    Result("150: columns that never meet below fc6", ILSVRC_2012, SOURCE, 0.5817, 0.8067),
    Result("166: second normalisation before the ReLU", ILSVRC_2012, SOURCE, 0.5890, 0.8133),
    Result("167: normalisation in layer 1 alone", ILSVRC_2012, SOURCE, 0.5951, 0.8188),
    Result("169: trained as 167, all normalisations", ILSVRC_2012, SOURCE, 0.5940, 0.8189),
    Result("120: an earlier network", ILSVRC_2012, SOURCE, 0.5896, 0.8129),
)

AUTHORS_ON_CIFAR_10 = (
    Result("layers-conv-local-11pct", CIFAR_10, CUDA_CONVNET, 0.89, variant="cifar-11pct", minutes=75),
    Result("layers-conv-local-13pct", CIFAR_10, CUDA_CONVNET, 0.87, variant="cifar-13pct", minutes=25),
    Result("layers-18pct, no augmentation", CIFAR_10, CUDA_CONVNET, 0.82, views=1, variant="cifar-18pct", minutes=20),
    Result("layers-80sec, no augmentation", CIFAR_10, CUDA_CONVNET, 0.74, views=1, minutes=80 / 60),
)

FRAMEWORKS = (
    Result("One weird trick", ILSVRC_2012, "cuda-convnet2, wiki", 0.5745, 0.8019, views=1, variant="one-weird-trick"),
    Result("One weird trick", ILSVRC_2012, "cuda-convnet2, wiki", 0.5958, 0.8185, variant="one-weird-trick"),
    Result("bvlc_alexnet", ILSVRC_2012, "Caffe, readme.md", 0.571, 0.802, views=1, variant="bvlc-alexnet"),
    Result("bvlc_alexnet at its best", ILSVRC_2012, "Caffe, readme.md", 0.57258, views=1, variant="bvlc-alexnet"),
    Result("caffenet", ILSVRC_2012, "Caffe, readme.md", 0.574, 0.804, views=1, variant="caffenet"),
    Result("alexnet", ILSVRC_2012, "torchvision 0.28", 0.56522, 0.79066, views=1, variant="torchvision"),
)

LE = "Khuyen Le, Alexnet and image classification, its notebook"
ARTICLES = (
    Result("last of 100 epochs", "Kaggle's 2,023 test cats and dogs", LE, 0.90954, views=1, variant="le-keras"),
    Result("last of 100 epochs", "the training pictures, in training", LE, 0.9885, views=1, variant="le-keras"),
)

DIFFERENCES = (
    Difference("response normalisation", f"{PAPER}, section 3.3", 0.014, 0.012, "source-145", "no-normalisation"),
    Difference("overlapping pooling", f"{PAPER}, section 3.4", 0.004, 0.003, "source-145", "no-overlap"),
    Difference("two columns", f"{PAPER}, section 3.2", 0.017, 0.012, "source-145", "half-width"),
    Difference("colour noise: more than", f"{PAPER}, section 4.1", 0.01),
    Difference("any one of the middle layers: about", f"{PAPER}, section 7", 0.02),
    Difference("response normalisation, CIFAR-10", f"{PAPER}, section 3.3", 0.02, None, "cifar-11pct", "cifar-13pct"),
)


def points(feature: str) -> float:
    """Points of top-1 that a feature is said to gain."""
    return round(100 * next(row.top1 for row in DIFFERENCES if row.feature.partition(":")[0] == feature), 4)


FIGURE_1 = (0.25, 6)
"""Training error on CIFAR-10, in 0..1, that ReLU reaches so many times sooner than tanh."""

RESULTS = (*TABLE_1, *TABLE_2, *WHOLE_IMAGENET, *LOGS, *AUTHORS_ON_CIFAR_10, *FRAMEWORKS, *ARTICLES)
