"""The authors' networks for CIFAR-10: those of sections 3.3 and 3.1, from the example layers of cuda-convnet.

Windows of pooling overhang; a mean is over the part of its window that lies inside the map. What alpha is divided by
is the number of values in a window; k is 1, as the files do not set it.
"""

from dataclasses import replace

from alexnet.network.architecture import (
    AveragePool,
    Conv,
    Layer,
    Layers,
    Linear,
    Local,
    MaxPool,
    Nonlinearity,
    ReLU,
    ResponseNorm,
    Sigmoid,
    Tanh,
    Variant,
)

REPOSITORY = "dnouri/cuda-convnet"


def cifar_18pct(classes: int = 10, channels: int = 3) -> Variant:
    """18 % errors in 20 minutes, without augmentation: three convolutions, normalised within each map."""
    within = ResponseNorm(3, alpha=5e-5 / 9, beta=0.75, k=1.0, over="space")
    layers: Layers = (
        ("conv1", Conv(32, 5, padding=2, std=1e-4)),
        ("pool1", MaxPool(3, 2, ceil=True)),
        ("relu1", ReLU()),
        ("norm1", within),
        ("conv2", Conv(32, 5, padding=2)),
        ("relu2", ReLU()),
        ("pool2", AveragePool(3, 2, ceil=True)),
        ("norm2", within),
        ("conv3", Conv(64, 5, padding=2)),
        ("relu3", ReLU()),
        ("pool3", AveragePool(3, 2, ceil=True)),
        ("fc4", Linear(classes)),
    )
    return Variant(
        name="cifar-18pct",
        title="The authors' CIFAR-10 network with 18 % errors",
        source=f"{REPOSITORY}, example-layers/layers-18pct.cfg; accuracy from cuda-convnet's front page",
        layers=layers,
        classes=classes,
        channels=channels,
        size=32,
        stored=32,
        top1=0.82,
        measured="CIFAR-10 test, one view",
    )


def cifar_13pct(classes: int = 10, channels: int = 3) -> Variant:
    """The "four-layer CNN" of section 3.3 without normalisation: two convolutions, two untied ones."""
    layers: Layers = (
        ("conv1", Conv(64, 5, padding=2, std=1e-4)),
        ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2, ceil=True)),
        ("conv2", Conv(64, 5, padding=2)),
        ("relu2", ReLU()),
        ("pool2", MaxPool(3, 2, ceil=True)),
        ("local3", Local(32, 3, padding=1, std=0.04)),
        ("relu3", ReLU()),
        ("local4", Local(32, 3, padding=1, std=0.04)),
        ("relu4", ReLU()),
        ("fc5", Linear(classes)),
    )
    return Variant(
        name="cifar-13pct",
        title="The authors' CIFAR-10 network with 13 % errors",
        source=f"{REPOSITORY}, example-layers/layers-conv-local-13pct.cfg; accuracy from the paper, section 3.3",
        layers=layers,
        classes=classes,
        channels=channels,
        size=24,
        stored=32,
        top1=0.87,
        measured="CIFAR-10 test, ten views",
    )


def cifar_11pct(classes: int = 10, channels: int = 3) -> Variant:
    """The same with normalisation across maps; local3 is wider too, so the two differ by more than that."""
    across = ResponseNorm(9, alpha=1e-3 / 9, beta=0.75, k=1.0)
    layers: Layers = (
        ("conv1", Conv(64, 5, padding=2, std=1e-4)),
        ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2, ceil=True)),
        # PAPER §3.3: does not say that layer 1 normalises what is pooled.
        ("norm1", across),
        ("conv2", Conv(64, 5, padding=2)),
        ("relu2", ReLU()),
        ("norm2", across),
        ("pool2", MaxPool(3, 2, ceil=True)),
        ("local3", Local(64, 3, padding=1, std=0.04)),
        ("relu3", ReLU()),
        ("local4", Local(32, 3, padding=1, std=0.04)),
        ("relu4", ReLU()),
        ("fc5", Linear(classes)),
    )
    return replace(
        cifar_13pct(classes, channels),
        name="cifar-11pct",
        title="The authors' CIFAR-10 network with 11 % errors",
        source=f"{REPOSITORY}, example-layers/layers-conv-local-11pct.cfg; accuracy from the paper, section 3.3",
        layers=layers,
        top1=0.89,
    )


def figure_1_relu(classes: int = 10, channels: int = 3) -> Variant:
    """The network of figure 1."""
    return _figure_1("ReLU", ReLU(), classes, channels)


def figure_1_tanh(classes: int = 10, channels: int = 3) -> Variant:
    """Figure 1's network with the non-linearity that it is compared with."""
    return _figure_1("tanh", Tanh(), classes, channels)


def figure_1_sigmoid(classes: int = 10, channels: int = 3) -> Variant:
    """Figure 1's network with the logistic function, which section 3.1 names beside tanh."""
    return _figure_1("sigmoid", Sigmoid(), classes, channels)


def _figure_1(name: str, nonlinearity: Nonlinearity, classes: int, channels: int) -> Variant:
    """The 13 % network on whole pictures, with a non-linearity of that name."""
    parent, key = cifar_13pct(classes, channels), name.lower()

    def exchanged(old: str, layer: Layer) -> tuple[str, Layer]:
        return (old.replace("relu", key), nonlinearity) if isinstance(layer, ReLU) else (old, layer)

    return replace(
        parent,
        name=f"figure-1-{key}",
        title=f"The network of the paper's figure 1 with {name}",
        # PAPER §3.1: "a four-layer convolutional neural network", which nothing identifies.
        source="the paper's figure 1, which names no network; chosen: cifar-13pct, since section 3.3 calls that a "
        "four-layer CNN too, on whole pictures, since the figure is without regularisation, hence without random crops",
        layers=tuple(exchanged(old, layer) for old, layer in parent.layers),
        size=32,
        top1=None,
        measured="",
    )
