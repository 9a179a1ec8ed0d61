"""The network of Krizhevsky, Sutskever and Hinton (2012), and the same with batch normalisation."""

from alexnet.network.architecture import BatchNorm, Conv, Dropout, Layers, Linear, MaxPool, ReLU, ResponseNorm, Variant


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
        # PAPER §4.1: cuts views of 224 from 256, at 33 x 33 places; of 227, the size here, there are 30 x 30.
        top1=0.593,
        top5=0.818,
        measured="ILSVRC-2012, ten views",
    )


def batch_norm(classes: int = 1000, channels: int = 3) -> Variant:
    """The paper's columns with batch normalisation after every layer but the last: the practical default."""

    def conv(number: int, layer: Conv) -> Layers:
        return ((f"conv{number}", layer), (f"bn{number}", BatchNorm()), (f"relu{number}", ReLU()))

    def fc(number: int) -> Layers:
        drop, product = (f"drop{number}", Dropout(0.5)), (f"fc{number}", Linear(4096, std="he", bias=None))
        return (drop, product, (f"bn{number}", BatchNorm()), (f"relu{number}", ReLU()))

    layers: Layers = (
        *conv(1, Conv(96, 11, stride=4, ceil=True, std="gabor", bias=None)),
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
        "initial values after He et al. (2015), arXiv 1502.01852; the first layer begins as waves like those of the "
        "paper's figure 3",
        layers=layers,
        classes=classes,
        channels=channels,
    )
