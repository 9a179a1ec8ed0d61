"""AlexNet as torchvision ships it."""

from alexnet.network.architecture import AdaptivePool, Conv, Dropout, Layers, Linear, MaxPool, ReLU, Variant


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
