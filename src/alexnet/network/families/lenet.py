"""LeNet-5, the network that AlexNet is compared with."""

from alexnet.network.architecture import AveragePool, Conv, Layers, Linear, Tanh, Variant


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
