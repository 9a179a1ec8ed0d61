"""AlexNet as articles teach it."""

from dataclasses import replace

from alexnet.network.architecture import Conv, ResponseNorm, Variant
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
