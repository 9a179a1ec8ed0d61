"""AlexNet as articles teach it, each exactly as its code is printed."""

from dataclasses import replace

from alexnet.network.architecture import (
    BatchNorm,
    Conv,
    Dropout,
    Layer,
    Layers,
    Linear,
    MaxPool,
    ReLU,
    ResponseNorm,
    Variant,
    ZeroLogit,
    with_classes,
)
from alexnet.network.families.paper import krizhevsky_2012


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


def le_keras(classes: int = 2, channels: int = 3) -> Variant:
    """The single column of article and notebook, with what Keras starts from."""
    parent = single_column(classes, channels)
    return replace(
        parent,
        name="le-keras",
        title="AlexNet in Keras by Khuyen Le",
        source="Khuyen Le: Alexnet and image classification, with its notebook",
        layers=tuple((name, _as_keras(layer)) for name, layer in parent.layers),
        stored=227,
        top1=0.90954,
        measured="Kaggle's 2,023 test cats and dogs",
    )


def yenigun_batch_norm(classes: int = 2, channels: int = 3) -> Variant:
    """A narrow end: nothing is padded, so the maps shrink to a single place. One sigmoid output, for two classes."""
    # Keras' momentum of 0.99 is what it keeps of the old mean; torch counts what it takes of the new one.
    norm = BatchNorm(eps=1e-3, momentum=0.01)
    layers: Layers = (
        ("conv1", Conv(96, 11, stride=4)),
        ("relu1", ReLU()),
        ("bn1", norm),
        ("pool1", MaxPool(3, 2)),
        ("conv2", Conv(256, 5)),
        ("relu2", ReLU()),
        ("bn2", norm),
        ("pool2", MaxPool(3, 2)),
        ("conv3", Conv(384, 3)),
        ("relu3", ReLU()),
        ("conv4", Conv(384, 3)),
        ("relu4", ReLU()),
        ("conv5", Conv(256, 3)),
        ("relu5", ReLU()),
        ("pool5", MaxPool(3, 2)),
        ("fc6", Linear(4096)),
        ("relu6", ReLU()),
        ("drop6", Dropout(0.5)),
        ("fc7", Linear(4096)),
        ("relu7", ReLU()),
        ("drop7", Dropout(0.5)),
        ("fc8", Linear(1)),
        ("zero8", ZeroLogit()),
    )
    value = Variant(
        name="yenigun-batch-norm",
        title="AlexNet in Keras by Okan Yenigün: batch normalisation, no padding, one output",
        source="Okan Yenigün: AlexNet Explained: A Step-by-Step Guide; its code, its text describes padded layers",
        layers=tuple((name, _as_keras(layer)) for name, layer in layers),
        classes=2,
        channels=channels,
        size=224,
        stored=224,
    )
    return with_classes(value, classes)


def arham_pytorch(classes: int = 1000, channels: int = 3) -> Variant:
    """As printed: normalisation in block 5 too, and no ReLU between the fully connected layers."""

    def block(number: int, layer: Conv, pooled: bool = True) -> Layers:
        """The article's block: convolution, ReLU and, where `pooled`, normalisation and pooling."""
        # PAPER §3.3: k as printed, alpha divided by the size, since torch does so.
        norm, pool = ResponseNorm(5, alpha=1e-4 / 5, beta=0.75, k=2.0), MaxPool(3, 2)
        start: Layers = ((f"conv{number}", layer), (f"relu{number}", ReLU()))
        return (*start, (f"norm{number}", norm), (f"pool{number}", pool)) if pooled else start

    layers: Layers = (
        *block(1, Conv(96, 11, stride=4, std="torch")),
        *block(2, Conv(256, 5, padding=2, std="torch")),
        *block(3, Conv(384, 3, padding=1, std="torch"), pooled=False),
        *block(4, Conv(384, 3, padding=1, std="torch"), pooled=False),
        # PAPER §3.5: normalises layers 1 and 2 only.
        *block(5, Conv(256, 3, padding=1, std="torch")),
        # PAPER §3.5: a ReLU after every fully connected layer but the last; without it the three are one linear map.
        ("fc6", Linear(4096, std="torch")),
        ("drop6", Dropout(0.5)),
        ("fc7", Linear(4096, std="torch")),
        ("drop7", Dropout(0.5)),
        ("fc8", Linear(classes, std="torch")),
    )
    return Variant(
        name="arham-pytorch",
        title="AlexNet in PyTorch by Muhammad Arham, without ReLUs in its head",
        source="Muhammad Arham: AlexNet: Implementation from Scratch, as printed: no ReLU after fc6 and fc7, so its "
        "head is linear, and normalisation in block 5 too",
        layers=layers,
        classes=classes,
        channels=channels,
        stored=227,
    )


def _as_keras(layer: Layer) -> Layer:
    """With Keras' initial values: Glorot's uniform weights and zero biases."""
    return replace(layer, std="glorot-uniform", bias=0.0) if isinstance(layer, Conv | Linear) else layer
