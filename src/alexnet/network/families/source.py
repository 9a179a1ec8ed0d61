"""The networks as their authors ran them: the layer files of 2012 that the paper reports on, and that of 2014.

cuda-convnet divides alpha by the number of values in a window, counts a last window that overhangs, and its dropout
only zeroes in training.
"""

from collections.abc import Mapping
from dataclasses import replace

from alexnet.network.architecture import (
    Conv,
    Dropout,
    Layer,
    Layers,
    Linear,
    MaxPool,
    ReLU,
    ResponseNorm,
    Variant,
)

REPOSITORY = "computerhistory/AlexNet-Source-Code"


def source_145(classes: int = 1000, channels: int = 3) -> Variant:
    """The network behind the paper's tables, whose logs end on their very digits."""
    # PAPER §3.3: prints alpha for the plain sum; the source divides it by the size, so its windows weigh a fifth.
    across = ResponseNorm(5, alpha=1e-4 / 5, beta=0.75, k=2.0, columns=2)
    # As section 4.2 prints it: training only zeroes, use multiplies by 0.5.
    dropout = Dropout(0.5, inverted=False)
    layers: Layers = (
        ("conv1", Conv(96, 11, stride=4, ceil=True)),
        # PAPER §3.3: normalises after the ReLU; in the source layer 1 normalises and pools before it.
        ("norm1", across),
        ("pool1", MaxPool(3, 2, ceil=True)),
        ("relu1", ReLU()),
        ("conv2", Conv(256, 5, padding=2, groups=2, bias=1.0)),
        ("relu2", ReLU()),
        ("norm2", across),
        # PAPER §3.3: does not mention this second normalisation, within each map. 1e-3 over 5 x 5, k as it is unset.
        ("cnorm2", ResponseNorm(5, alpha=1e-3 / 25, beta=0.75, k=1.0, over="space")),
        ("pool2", MaxPool(3, 2, ceil=True)),
        # PAPER §5: prints a deviation of 0.01 for every layer; the source has 0.03 in layers 3 to 5.
        ("conv3", Conv(384, 3, padding=1, std=0.03)),
        ("relu3", ReLU()),
        ("conv4", Conv(384, 3, padding=1, groups=2, std=0.03, bias=1.0)),
        ("relu4", ReLU()),
        ("conv5", Conv(256, 3, padding=1, groups=2, std=0.03, bias=1.0)),
        ("pool5", MaxPool(3, 2, ceil=True)),
        ("relu5", ReLU()),
        ("fc6", Linear(4096, bias=1.0)),
        ("relu6", ReLU()),
        ("drop6", dropout),
        ("fc7", Linear(4096, bias=1.0)),
        ("relu7", ReLU()),
        ("drop7", dropout),
        ("fc8", Linear(classes)),
    )
    return Variant(
        name="source-145",
        title="AlexNet as its source has it",
        source=f"{REPOSITORY}, layers/layers-145.cfg; accuracy from layer-params-145.cfg, as in the paper's table 2",
        layers=layers,
        classes=classes,
        channels=channels,
        size=224,
        top1=0.593360,
        top5=0.817900,
        measured="ILSVRC-2012, ten views",
    )


def no_normalisation(classes: int = 1000, channels: int = 3) -> Variant:
    """The paper's ablation of section 3.3: no response normalisation, across maps or within them."""
    parent = source_145(classes, channels)
    return replace(
        parent,
        name="no-normalisation",
        title="AlexNet's source without response normalisation",
        source=f"{REPOSITORY}, layers 148, which removes all three normalisations of 145; accuracy from its log",
        layers=tuple((name, layer) for name, layer in parent.layers if not isinstance(layer, ResponseNorm)),
        top1=0.579660,
        top5=0.806380,
    )


def no_overlap(classes: int = 1000, channels: int = 3) -> Variant:
    """The paper's ablation of section 3.4: pooling windows of 2 x 2, less padding where it keeps 13 x 13 and 6 x 6."""
    parent = source_145(classes, channels)
    pool = MaxPool(2, 2, ceil=True)
    changes: dict[str, Layer] = {
        **{"pool1": pool, "pool2": pool, "pool5": pool},
        "conv2": Conv(256, 5, padding=1, groups=2, bias=1.0),
        "conv5": Conv(256, 3, groups=2, std=0.03, bias=1.0),
    }
    return replace(
        parent,
        name="no-overlap",
        title="AlexNet's source without overlapping pooling",
        source=f"{REPOSITORY}, layers 147, with its paddings; accuracy from its log",
        layers=_exchanged(parent.layers, changes),
        top1=0.589420,
        top5=0.814900,
    )


def half_width(classes: int = 1000, channels: int = 3) -> Variant:
    """The paper's comparison of section 3.2: one column alone, with conv5 and the connected layers of both."""
    parent = source_145(classes, channels)
    across = ResponseNorm(5, alpha=1e-4 / 5, beta=0.75, k=2.0)
    changes: dict[str, Layer] = {
        "conv1": Conv(48, 11, stride=4, ceil=True),
        "conv2": Conv(128, 5, padding=2, bias=1.0),
        "conv3": Conv(192, 3, padding=1, std=0.03),
        "conv4": Conv(192, 3, padding=1, std=0.03, bias=1.0),
        "conv5": Conv(256, 3, padding=1, std=0.03, bias=1.0),
        **{"norm1": across, "norm2": across},
    }
    return replace(
        parent,
        name="half-width",
        title="AlexNet's source with one column",
        source=f"{REPOSITORY}, layers 145-half, the one-GPU network of section 3.2; accuracy from its log",
        layers=_exchanged(parent.layers, changes),
        top1=0.608320,
        top5=0.817713,
        measured="ILSVRC-2010 test",
    )


def one_weird_trick(classes: int = 1000, channels: int = 3) -> Variant:
    """Krizhevsky's one-column network of 2014, whose widths torchvision took."""
    across = ResponseNorm(5, alpha=1e-4 / 5, beta=0.75, k=2.0)
    dropout = Dropout(0.5, inverted=False)
    layers: Layers = (
        ("conv1", Conv(64, 11, stride=4, ceil=True)),
        ("norm1", across),
        ("pool1", MaxPool(3, 2, ceil=True)),
        ("relu1", ReLU()),
        ("conv2", Conv(192, 5, padding=2, bias=1.0)),
        ("relu2", ReLU()),
        ("norm2", across),
        ("pool2", MaxPool(3, 2, ceil=True)),
        ("conv3", Conv(384, 3, padding=1, std=0.03)),
        ("relu3", ReLU()),
        ("conv4", Conv(256, 3, padding=1, std=0.03, bias=1.0)),
        ("relu4", ReLU()),
        ("conv5", Conv(256, 3, padding=1, std=0.03, bias=1.0)),
        ("pool5", MaxPool(3, 2, ceil=True)),
        ("relu5", ReLU()),
        ("fc6", Linear(4096, bias=1.0)),
        ("relu6", ReLU()),
        ("drop6", dropout),
        ("fc7", Linear(4096, bias=1.0)),
        ("relu7", ReLU()),
        ("drop7", dropout),
        # The same for every class, so the softmax starts as it would from 0.
        ("fc8", Linear(classes, bias=-7.0)),
    )
    return Variant(
        name="one-weird-trick",
        title="AlexNet of 2014, one narrower column",
        source="akrizhevsky/cuda-convnet2, layers/layers-imagenet-1gpu.cfg, accuracy from its wiki, TrainingExample; "
        "Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv 1404.5997",
        layers=layers,
        classes=classes,
        channels=channels,
        size=224,
        top1=0.5958,
        top5=0.8185,
        measured="ILSVRC-2012, ten views",
    )


def _exchanged(layers: Layers, changes: Mapping[str, Layer]) -> Layers:
    """The layers, some of them exchanged for others under the same names."""
    return tuple((name, changes.get(name, layer)) for name, layer in layers)
