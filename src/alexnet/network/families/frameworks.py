"""AlexNet as the frameworks ship it with weights: Caffe's two and torchvision's."""

from alexnet.network.architecture import (
    AdaptivePool,
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


def bvlc_alexnet(classes: int = 1000, channels: int = 3) -> Variant:
    """Caffe's replication of the paper."""
    return Variant(
        name="bvlc-alexnet",
        title="Caffe's AlexNet",
        source="BVLC/caffe, models/bvlc_alexnet: train_val.prototxt and readme.md",
        # PAPER §5: biases of 1; Caffe's readme says that they gave a loss that stayed flat, and 0.1 did not.
        layers=_caffe(classes, bias=0.1, after=("norm", "pool")),
        classes=classes,
        channels=channels,
        top1=0.571,
        top5=0.802,
        measured="ILSVRC-2012, centre view",
    )


def caffenet(classes: int = 1000, channels: int = 3) -> Variant:
    """Caffe's reference network, which pools before it normalises."""
    return Variant(
        name="caffenet",
        title="CaffeNet",
        source="BVLC/caffe, models/bvlc_reference_caffenet: train_val.prototxt and readme.md",
        # PAPER §3.5: pools what is normalised; CaffeNet normalises what is pooled, which is less work.
        layers=_caffe(classes, bias=1.0, after=("pool", "norm")),
        classes=classes,
        channels=channels,
        top1=0.574,
        top5=0.804,
        measured="ILSVRC-2012, centre view",
    )


def _caffe(classes: int, bias: float, after: tuple[str, str]) -> Layers:
    """Caffe's layers: `bias` where the paper has 1, and what comes `after` the first two ReLUs, in order."""
    kinds: dict[str, Layer] = {
        # PAPER §3.3: k = 2 and alpha for the plain sum; Caffe's k is 1, it divides alpha by the size, and its windows
        # cross from one column to the other.
        "norm": ResponseNorm(5, alpha=1e-4 / 5, beta=0.75, k=1.0),
        "pool": MaxPool(3, 2, ceil=True),
    }
    return (
        ("conv1", Conv(96, 11, stride=4)),
        ("relu1", ReLU()),
        *((f"{kind}1", kinds[kind]) for kind in after),
        ("conv2", Conv(256, 5, padding=2, groups=2, bias=bias)),
        ("relu2", ReLU()),
        *((f"{kind}2", kinds[kind]) for kind in after),
        ("conv3", Conv(384, 3, padding=1)),
        ("relu3", ReLU()),
        ("conv4", Conv(384, 3, padding=1, groups=2, bias=bias)),
        ("relu4", ReLU()),
        ("conv5", Conv(256, 3, padding=1, groups=2, bias=bias)),
        ("relu5", ReLU()),
        ("pool5", kinds["pool"]),
        # PAPER §5: a deviation of 0.01 in every layer.
        ("fc6", Linear(4096, std=0.005, bias=bias)),
        ("relu6", ReLU()),
        ("drop6", Dropout(0.5)),
        ("fc7", Linear(4096, std=0.005, bias=bias)),
        ("relu7", ReLU()),
        ("drop7", Dropout(0.5)),
        ("fc8", Linear(classes)),
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
        measured="ILSVRC-2012, centre view",
    )
