"""The articles' experiments: what their code trains, and what their prose claims.

Where a recipe may not train as it is printed, an arm with a small change stands beside it.
"""

from __future__ import annotations

from dataclasses import replace

from alexnet.experiments import compare, published
from alexnet.experiments.compare import SECONDS, SPEED, TEST_TOP1, TRAIN_LOSS, TRAIN_TOP1, confused, each
from alexnet.experiments.data import CATS_AND_DOGS, CATS_VS_DOGS, CIFAR_10, OUR_CIFAR, OUR_PETS, THREE
from alexnet.experiments.experiment import Arm, Experiment, Quick
from alexnet.experiments.figures import LOSS, TEST, TRAINING, VALIDATION, compared, confusions, curves
from alexnet.network.architecture import Conv, Initial, Layer, Linear, Variant
from alexnet.network.variants import variant
from alexnet.training.recipe import Phase
from alexnet.training.recipes import recipe

# ------------------------------------------------------------------------------------------------- what the code trains

YENIGUN = Experiment(
    name="yenigun",
    title="Yenigün's network on cats and dogs, until its training loss stops falling",
    source="Okan Yenigün, 'AlexNet Explained: A Step-by-Step Guide'",
    published="no accuracy is printed; 18,610 training and 4,652 test pictures, at most 100 epochs, patience 5",
    differences=(
        "the article's data are cats_vs_dogs; with `--data cats-and-dogs.tar` there are 8,000 + 2,000 pictures, "
        "squashed to 200 x 200 and compressed anew",
        "the test part is looked at each epoch as there, and chooses nothing",
        "Adam at 0.001 may leave so large a network where it began; a tenth of the rate is the smallest change tried",
    ),
    arms=(
        Arm("as-printed", recipe("yenigun"), variant("yenigun-batch-norm"), CATS_VS_DOGS),
        Arm(
            "rate-0.0001",
            replace(recipe("yenigun"), name="yenigun-0.0001", learning_rate=1e-4),
            variant("yenigun-batch-norm"),
            CATS_VS_DOGS,
        ),
    ),
    compare=(each(TEST_TOP1), each(TRAIN_TOP1), each(TRAIN_LOSS), each(compare.EPOCHS), each(SECONDS)),
    figures=(("curves.png", curves(LOSS, TRAINING, TEST)),),
    quick=Quick(train=16, test=8, epochs=3, size=195, batch_size=4),
)

LE_CLASSES = ("cats", "dogs")
LE_CONFUSION = ((940, 71), (112, 900))
"""Of the notebook, true class by predicted class; cats first, as the folders are sorted here."""

LE_TEST, LE_TRAINING = (result.percent or 0.0 for result in published.ARTICLES)
LE_SECONDS = {"as-printed": 116.0, "float32": 116.0}

LE = Experiment(
    name="le",
    title="Le's network on cats and dogs, 100 epochs",
    source="Khuyen Le, 'Alexnet and image classification', its notebook",
    published="90.95 % of 2,023 test pictures, 98.85 % in training, 116 s an epoch; confusion 900, 112, 71, 940",
    differences=(
        OUR_PETS,
        "the test part is looked at each epoch as there, and chooses nothing: what counts is the last epoch's network",
        "the arms compute in bfloat16 where the processor can, in float32 elsewhere; `float32` in float32 for three "
        "epochs, for their time",
        "half the printed rate is tried too, since at the printed one a run may diverge",
    ),
    arms=(
        Arm("as-printed", recipe("le"), variant("le-keras"), CATS_AND_DOGS),
        Arm(
            "float32",
            replace(recipe("le"), name="le-float32", precision="float32", epochs=3),
            variant("le-keras"),
            CATS_AND_DOGS,
        ),
        Arm(
            "half-rate",
            replace(recipe("le"), name="le-half-rate", learning_rate=0.05),
            variant("le-keras"),
            CATS_AND_DOGS,
        ),
    ),
    compare=(
        each(TEST_TOP1, {"as-printed": LE_TEST}),
        each(TRAIN_TOP1, {"as-printed": LE_TRAINING}),
        each(SECONDS, LE_SECONDS),
        each(SPEED),
        *(
            each(confused(true, predicted), {"as-printed": float(count)}, ("as-printed", "half-rate"))
            for true, row in zip(LE_CLASSES, LE_CONFUSION, strict=True)
            for predicted, count in zip(LE_CLASSES, row, strict=True)
        ),
    ),
    figures=(
        (
            "curves.png",
            curves(
                LOSS,
                (TRAINING[0], TRAINING[1], {f"published, training: {LE_TRAINING:.2f} %": LE_TRAINING}),
                (TEST[0], TEST[1], {f"published, test: {LE_TEST:.2f} %": LE_TEST}),
            ),
        ),
        ("confusion.png", confusions(LE_CLASSES, LE_CONFUSION, "published")),
        ("seconds.png", compared(each(SECONDS, LE_SECONDS), title="Le's network: time an epoch")),
    ),
    quick=Quick(size=67),
)

ARHAM = Experiment(
    name="arham",
    title="Arham's network on CIFAR-10, ten epochs",
    source="Muhammad Arham, 'AlexNet: Implementation from Scratch'",
    published="a loss curve over ten epochs; no number is printed",
    differences=(
        "the article does not say how pictures of 32 x 32 become 227 x 227, nor batch, rate and momentum: enlarged "
        "here, the rest as in the 2012 paper",
        OUR_CIFAR,
    ),
    arms=(Arm("as-printed", recipe("arham"), variant("arham-pytorch", 10), CIFAR_10),),
    compare=(each(TEST_TOP1), each(TRAIN_LOSS), each(SECONDS)),
    figures=(("curves.png", curves(LOSS, TRAINING, VALIDATION)),),
    quick=Quick(size=67, train=12, test=6),
)

# ------------------------------------------------------------------------------------------------ what the prose claims


def _initial(name: str, std: Initial, bias: float | None) -> Variant:
    """The paper's network with other initial weights, and one initial bias everywhere; None leaves the biases alone."""

    def changed(layer: Layer) -> Layer:
        if not isinstance(layer, Conv | Linear):
            return layer
        return replace(layer, std=std, bias=layer.bias if bias is None else bias)

    parent = variant("krizhevsky-2012", 10)
    return replace(parent, name=name, layers=tuple((key, changed(layer)) for key, layer in parent.layers))


# At 67 pixels a picture costs a twelfth of what it does at 227.
INITIALISED = replace(
    recipe("krizhevsky-2012"),
    name="krizhevsky-2012-67",
    size=67,
    epochs=6,
    batch_size=64,
    schedule="constant",
    phases=(Phase(5), Phase(6, factor=0.1)),
)
# Glorot's and He's rules are made for input of unit variance, the paper's values for pixels of 0..255 less the mean.
INITIAL: dict[str, tuple[Variant, float]] = {
    "normal": (_initial("normal", 0.01, None), 1.0),
    "glorot": (_initial("glorot", "glorot", 0.0), 1 / 64),
    "he": (_initial("he", "he", 0.0), 1 / 64),
}
INITIAL_RATES = (0.01, 0.001)

INITIALISATION = Experiment(
    name="initialisation",
    title="The paper's network from three kinds of initial weights, on CIFAR-10",
    source="Abhijeet Pujara, 'Concept of AlexNet: Convolutional Neural Network'; the paper, section 5; Glorot and "
    "Bengio (2010); He et al. (2015)",
    published="no number: the article says that normal values were used then and that Xavier's are better",
    differences=(
        "CIFAR-10 enlarged to 67 x 67, 6 epochs, batch 64, a tenth of the rate in the last epoch",
        "normal: N(0, 0.01²) and biases of 1 on pixels as the paper has them; glorot and he: biases of 0 on pixels of "
        "unit variance, for which those rules are made",
        "the paper's rate of 0.01 throws the network with biases of 1 off within the first steps where there are ten "
        "classes, not a thousand: a tenth of it stands beside, for all three",
        OUR_CIFAR,
    ),
    arms=tuple(
        Arm(
            f"{kind}-{rate}",
            replace(INITIALISED, name=f"krizhevsky-2012-67-{kind}-{rate}", scale=scale, learning_rate=rate),
            value,
            CIFAR_10,
            THREE,
        )
        for kind, (value, scale) in INITIAL.items()
        for rate in INITIAL_RATES
    ),
    compare=(
        each(TEST_TOP1),
        each(TRAIN_LOSS),
        *(
            compare.difference(TEST_TOP1, f"{kind}-{rate}", f"normal-{rate}")
            for rate in INITIAL_RATES
            for kind in ("glorot", "he")
        ),
    ),
    figures=(
        ("curves.png", curves(LOSS, VALIDATION, family=compare.family)),
        ("compared.png", compared(each(TEST_TOP1))),
    ),
    quick=Quick(train=12, test=6, seeds=1),
)


def _lenet_arms() -> list[Arm]:
    """LeNet-5 and AlexNet, grey and colour, on both data sets."""
    arms = []
    for data, classes, size in ((CIFAR_10, 10, 67), (CATS_AND_DOGS, 2, 127)):
        small = replace(
            recipe("fast"),
            name="fast-lenet",
            update="adamw",
            learning_rate=2e-3,
            batch_size=64,
            rates=(("*.bias", 1.0, 0.0),),
            epochs=20,
        )
        large = replace(recipe("fast"), name=f"fast-{size}", size=size, epochs=5 if data == CIFAR_10 else 10)
        for network, settings in (("lenet-5", small), ("batch-norm", large)):
            for tone, channels in (("grey", 1), ("colour", 3)):
                label = f"{data}-{'lenet' if network == 'lenet-5' else 'alexnet'}-{tone}"
                arms.append(Arm(label, settings, variant(network, classes, channels), data, THREE))
    return arms


LENET = Experiment(
    name="lenet",
    title="LeNet-5 beside AlexNet, grey and colour",
    source="'AlexNet: The Architecture that Revolutionized Computer Vision'",
    published="no number: AlexNet is said to be deeper, to use ReLU and to see colour",
    differences=(
        "AlexNet is the form with batch normalisation, at 67 x 67 for 5 epochs on CIFAR-10 and at 127 x 127 for 10 "
        "epochs on cats and dogs, by the recipe fast; LeNet-5 sees 32 x 32, by AdamW, for 20 epochs",
        OUR_PETS,
        OUR_CIFAR,
    ),
    arms=tuple(_lenet_arms()),
    compare=(
        each(TEST_TOP1),
        each(SPEED),
        *(
            compare.difference(TEST_TOP1, f"{data}-{having}", f"{data}-{without}")
            for data in (CIFAR_10, CATS_AND_DOGS)
            for having, without in (
                ("alexnet-colour", "lenet-colour"),
                ("alexnet-colour", "alexnet-grey"),
                ("lenet-colour", "lenet-grey"),
            )
        ),
    ),
    figures=(
        ("cifar10.png", curves(LOSS, VALIDATION, title="LeNet-5 and AlexNet on CIFAR-10", only=CIFAR_10)),
        (
            "cats-and-dogs.png",
            curves(LOSS, VALIDATION, title="LeNet-5 and AlexNet on cats and dogs", only=CATS_AND_DOGS),
        ),
        ("compared.png", compared(each(TEST_TOP1))),
    ),
    quick=Quick(size=64, seeds=1),
)
