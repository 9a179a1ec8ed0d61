"""The networks themselves, each a list of layers with the source of its numbers.

A variant is made by a function of the number of classes and of input channels; an ablation edits its parent.
`# PAPER §x:` marks every place where we differ from Krizhevsky, Sutskever and Hinton (2012) or had to read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from alexnet.errors import UsageError, unknown
from alexnet.network.architecture import (
    AdaptivePool,
    AveragePool,
    BatchNorm,
    Conv,
    Dropout,
    Layer,
    Linear,
    MaxPool,
    ReLU,
    ResponseNorm,
    Tanh,
    Variant,
)

Layers = tuple[tuple[str, Layer], ...]


def krizhevsky_2012(classes: int = 1000, channels: int = 3) -> Variant:
    """The network of the paper: two columns that meet at layer 3 and in the fully connected layers."""
    layers: Layers = (
        # PAPER §3.5: prints 224, from which its 55 x 55 maps cannot follow; the source's overhanging last window makes
        # 224 act as 227, so both sizes give 55 here.
        ("conv1", Conv(96, 11, stride=4, ceil=True, bias=0.0)),
        ("relu1", ReLU()),
        # PAPER §3.3: says "adjacent kernel maps"; the two GPUs first exchange maps at layer 3 (§3.2), so a window ends
        # at the edge of its column.
        ("norm1", ResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0, columns=2)),
        ("pool1", MaxPool(3, 2)),
        # PAPER §3.5: does not print the padding of layers 2 to 5; Figure 2's map sizes fix it.
        ("conv2", Conv(256, 5, padding=2, groups=2, bias=1.0)),
        ("relu2", ReLU()),
        ("norm2", ResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0, columns=2)),
        ("pool2", MaxPool(3, 2)),
        ("conv3", Conv(384, 3, padding=1, bias=0.0)),
        ("relu3", ReLU()),
        ("conv4", Conv(384, 3, padding=1, groups=2, bias=1.0)),
        ("relu4", ReLU()),
        ("conv5", Conv(256, 3, padding=1, groups=2, bias=1.0)),
        ("relu5", ReLU()),
        ("pool5", MaxPool(3, 2)),
        ("fc6", Linear(4096, bias=1.0)),
        ("relu6", ReLU()),
        # PAPER §4.2: multiplies outputs by 0.5 at test time; scaling by 2 in training gives the same network in use.
        ("drop6", Dropout(0.5)),
        ("fc7", Linear(4096, bias=1.0)),
        ("relu7", ReLU()),
        ("drop7", Dropout(0.5)),
        ("fc8", Linear(classes, bias=0.0)),
    )
    return Variant(
        name="krizhevsky-2012",
        title="AlexNet, two columns",
        source="Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep CNNs, NIPS 2012, sections 3 and 5",
        layers=layers,
        classes=classes,
        channels=channels,
        top1=0.593,
        top5=0.818,
    )


def single_column(classes: int = 1000, channels: int = 3) -> Variant:
    """The network as articles teach it: one column, no normalisation."""
    parent = krizhevsky_2012(classes, channels)
    layers = tuple(
        (name, replace(layer, groups=1, ceil=False) if isinstance(layer, Conv) else layer)
        for name, layer in parent.layers
        if not isinstance(layer, ResponseNorm)
    )
    return Variant(
        name="single-column",
        title="AlexNet, one column without normalisation",
        source="the form of most tutorials, e.g. 'AlexNet: The Architecture that Revolutionized Computer Vision' and "
        "Khuyen Le, 'Alexnet and image classification'; initial values as in the paper",
        layers=layers,
        classes=classes,
        channels=channels,
    )


def torchvision(classes: int = 1000, channels: int = 3) -> Variant:
    """torchvision's `alexnet`: the narrower network of 'One weird trick', without normalisation."""
    layers: Layers = (
        ("conv1", Conv(64, 11, stride=4, padding=2, std="torch")),
        ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2)),
        ("conv2", Conv(192, 5, padding=2, std="torch")),
        ("relu2", ReLU()),
        ("pool2", MaxPool(3, 2)),
        ("conv3", Conv(384, 3, padding=1, std="torch")),
        ("relu3", ReLU()),
        ("conv4", Conv(256, 3, padding=1, std="torch")),
        ("relu4", ReLU()),
        ("conv5", Conv(256, 3, padding=1, std="torch")),
        ("relu5", ReLU()),
        ("pool5", MaxPool(3, 2)),
        ("avgpool", AdaptivePool(6)),
        ("drop6", Dropout(0.5)),
        ("fc6", Linear(4096, std="torch")),
        ("relu6", ReLU()),
        ("drop7", Dropout(0.5)),
        ("fc7", Linear(4096, std="torch")),
        ("relu7", ReLU()),
        ("fc8", Linear(classes, std="torch")),
    )
    return Variant(
        name="torchvision",
        title="torchvision's alexnet",
        source="torchvision 0.28 models/alexnet.py, after Krizhevsky: One weird trick, arXiv 1404.5997",
        layers=layers,
        classes=classes,
        channels=channels,
        size=224,
        top1=0.56522,
        top5=0.79066,
    )


def batch_norm(classes: int = 1000, channels: int = 3) -> Variant:
    """The paper's columns with batch normalisation after every layer but the last: the practical default."""

    def conv(number: int, layer: Conv) -> Layers:
        return ((f"conv{number}", layer), (f"bn{number}", BatchNorm()), (f"relu{number}", ReLU()))

    def fc(number: int) -> Layers:
        drop, product = (f"drop{number}", Dropout(0.5)), (f"fc{number}", Linear(4096, std="he", bias=None))
        return (drop, product, (f"bn{number}", BatchNorm()), (f"relu{number}", ReLU()))

    layers: Layers = (
        *conv(1, Conv(96, 11, stride=4, ceil=True, std="he", bias=None)),
        ("pool1", MaxPool(3, 2)),
        *conv(2, Conv(256, 5, padding=2, groups=2, std="he", bias=None)),
        ("pool2", MaxPool(3, 2)),
        *conv(3, Conv(384, 3, padding=1, std="he", bias=None)),
        *conv(4, Conv(384, 3, padding=1, groups=2, std="he", bias=None)),
        *conv(5, Conv(256, 3, padding=1, groups=2, std="he", bias=None)),
        ("pool5", MaxPool(3, 2)),
        *fc(6),
        *fc(7),
        ("fc8", Linear(classes, std=0.01)),
    )
    return Variant(
        name="batch-norm",
        title="AlexNet, two columns, batch normalisation",
        source="krizhevsky-2012 with response normalisation replaced after Ioffe and Szegedy (2015), arXiv 1502.03167; "
        "initial values after He et al. (2015), arXiv 1502.01852",
        layers=layers,
        classes=classes,
        channels=channels,
    )


def lenet_5(classes: int = 10, channels: int = 1) -> Variant:
    """LeNet-5 in the form now usual: full connections to layer 3, plain mean pooling, a linear last layer."""
    layers: Layers = (
        ("conv1", Conv(6, 5, std="lecun")),
        ("tanh1", Tanh()),
        ("pool1", AveragePool(2, 2)),
        ("conv2", Conv(16, 5, std="lecun")),
        ("tanh2", Tanh()),
        ("pool2", AveragePool(2, 2)),
        ("conv3", Conv(120, 5, std="lecun")),
        ("tanh3", Tanh()),
        ("fc4", Linear(84, std="lecun")),
        ("tanh4", Tanh()),
        ("fc5", Linear(classes, std="lecun")),
    )
    return Variant(
        name="lenet-5",
        title="LeNet-5",
        source="LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998, II.B; "
        "its sparse layer 3, trained pooling and radial last layer replaced by the now usual plain ones",
        layers=layers,
        classes=classes,
        channels=channels,
        size=32,
        stored=32,
    )


VARIANTS: dict[str, Callable[..., Variant]] = {
    "krizhevsky-2012": krizhevsky_2012,
    "single-column": single_column,
    "torchvision": torchvision,
    "batch-norm": batch_norm,
    "lenet-5": lenet_5,
}


def variant(name: str, classes: int | None = None, channels: int | None = None) -> Variant:
    """The variant called `name`, at its published number of classes and channels unless told otherwise.

    Raises UsageError for an unknown name or for numbers below 1.
    """
    if name not in VARIANTS:
        raise unknown("variant", name, VARIANTS)
    given = {key: value for key, value in {"classes": classes, "channels": channels}.items() if value is not None}
    for key, value in given.items():
        if value < 1:
            raise UsageError(f"{name}: {key} must be at least 1, not {value}")
    return VARIANTS[name](**given)
