"""The training recipes, each a value with the source of its numbers.

`# PAPER §x:` marks where we differ from Krizhevsky, Sutskever and Hinton (2012) or had to read it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from alexnet.errors import unknown
from alexnet.training.recipe import (
    Colour,
    ColourNoise,
    Flip,
    Phase,
    RandomAffine,
    RandomCrop,
    RandomResizedCrop,
    Recipe,
)

FAST = Recipe(
    name="fast",
    title="the practical default: strong augmentation, one cycle of orthogonalised momentum",
    source="this project; results in results/, what was tried in docs/log.md",
    views=(RandomResizedCrop(), Flip(), Colour()),
    epochs=0,
    batch_size=128,
    update="muon",
    learning_rate=0.004,
    momentum=0.95,
    # Kernels move by the whole rate. In a matrix each value moves less the more it reads, so that what comes out moves
    # as far; most of all in the last layer, whose logits no normalisation holds.
    rates=(
        ("conv*.weight", 1.0, 0.0),
        ("*.bias", 0.2, 0.0),
        ("bn*", 0.2, 0.0),
        ("fc8.weight", 0.02, 1.0),
        ("fc*.weight", 0.06, 1.0),
    ),
    # Without label smoothing, which gained nothing and holds the logits where Grad-CAM finds no evidence (docs/log.md).
)

KRIZHEVSKY_2012 = Recipe(
    name="krizhevsky-2012",
    title="the paper's rule, rates, decay, batch, crops, flips and colour noise",
    source="Krizhevsky, Sutskever, Hinton, NIPS 2012, sections 2, 4 and 5",
    variant="krizhevsky-2012",
    mean="picture",
    scale=1.0,
    views=(RandomCrop(), Flip(), ColourNoise(std=0.1)),
    epochs=90,
    batch_size=128,
    update="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    # PAPER §5: "when the validation error rate stopped improving", judged by hand; here after 5 epochs.
    schedule="stall",
)

# ------------------------------------------------------------------------------------------- other ways on ImageNet

SOURCE_145 = Recipe(
    name="source-145",
    title="as the 2012 source trained the published network",
    source="computerhistory/AlexNet-Source-Code, layers/layer-params-145.cfg and its notes, convdata_jpeg.py, "
    "src/layer.cu",
    variant="source-145",
    mean="picture",
    scale=1.0,
    views=(RandomCrop(chunk=32), Flip(chunk=32), ColourNoise(std=0.1, divisor=1.1)),
    epochs=91,
    batch_size=128,
    update="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    # PAPER §5: says "an equal learning rate for all layers"; the source gives biases twice the rate and no decay.
    rates=(("*.bias", 2.0, 0.0),),
    schedule="constant",
    # PAPER §5: is silent on the last epochs. The notes give the weights' rates; the biases' stays at 0.02, which the
    # final file still holds. A layer that is frozen stops at once here; in the source its velocity runs out first.
    phases=(
        Phase(until=25),
        Phase(until=51, factor=0.1, rates=(("*.bias", 10.0),)),
        Phase(until=67, factor=0.01, rates=(("*.bias", 100.0),)),
        Phase(72, 0.01, (("conv1.weight", 0.1), ("*.bias", 100.0)), views=(RandomCrop(32), Flip(32))),
        Phase(79, 0.01, (("conv1.*", 0.0), ("*.bias", 100.0)), views=(RandomCrop(32), Flip(32))),
        Phase(91, 0.001, (("conv1.*", 0.0), ("*.bias", 1000.0)), views=(RandomCrop(32), Flip(32))),
    ),
)

CAFFE = Recipe(
    name="caffe",
    title="as Caffe trained bvlc_alexnet",
    source="BVLC/caffe models/bvlc_alexnet: solver.prototxt and train_val.prototxt. Not as there: a picture loses the "
    "centre of the mean picture wherever its crop was cut, and channels stay red, green, blue",
    variant="bvlc-alexnet",
    resize="squash",
    mean="picture",
    scale=1.0,
    views=(RandomCrop(), Flip()),
    epochs=90,  # 450,000 steps of 256
    batch_size=256,
    update="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    rates=(("*.bias", 2.0, 0.0),),
    schedule="constant",
    phases=(  # a tenth every 100,000 steps
        Phase(until=20),
        Phase(until=40, factor=0.1),
        Phase(until=60, factor=0.01),
        Phase(until=80, factor=0.001),
        Phase(until=90, factor=0.0001),
    ),
)

ONE_WEIRD_TRICK = Recipe(
    name="one-weird-trick",
    title="as cuda-convnet2 trains its single-GPU network",
    source="akrizhevsky/cuda-convnet2 layers/layer-params-223-ce2-1gpu.cfg and wiki TrainingExample.md; "
    "Krizhevsky, One weird trick for parallelizing convolutional neural networks, arXiv 1404.5997",
    variant="one-weird-trick",
    mean="picture",
    scale=1.0,
    views=(RandomCrop(), Flip(), ColourNoise(std=0.1, divisor=1.1)),
    epochs=90,
    batch_size=128,
    update="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    rates=(("*.bias", 2.0, 0.0),),
    schedule="constant",
    phases=(  # weights: dexp[base=0.01;tgtFactor=250;numSteps=4]; biases: dexp[base=0.02;tgtFactor=10;numSteps=2]
        Phase(until=22.5),
        Phase(until=45, factor=250 ** (-1 / 3), rates=(("*.bias", 250 ** (1 / 3)),)),
        Phase(until=67.5, factor=250 ** (-2 / 3), rates=(("*.bias", 0.1 * 250 ** (2 / 3)),)),
        Phase(until=90, factor=1 / 250, rates=(("*.bias", 25.0),)),
    ),
)

TORCHVISION = Recipe(
    name="torchvision",
    title="as torchvision's reference script trains its alexnet",
    source="pytorch/vision references/classification/train.py with --lr 1e-2, on 8 devices with 32 pictures each",
    variant="torchvision",
    mean="imagenet",
    scale=1.0,
    views=(RandomResizedCrop(area=(0.08, 1.0), aspect=math.log(4 / 3)), Flip()),
    epochs=90,
    batch_size=256,
    update="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=1e-4,
    schedule="constant",
    phases=(Phase(until=30), Phase(until=60, factor=0.1), Phase(until=90, factor=0.01)),
)

LARGE_BATCH = Recipe(
    name="large-batch",
    title="batches beyond 1,024 on many processes: rates by layer, five epochs of warm-up",
    source="You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks, arXiv 1708.03888: rule, trust, "
    "momentum, decay, square decay of the rate, warm-up. The rate itself is this project's, and not tried on ImageNet",
    mean="channels",
    views=(RandomResizedCrop(area=(0.08, 1.0), aspect=math.log(4 / 3)), Flip()),
    epochs=100,
    batch_size=8192,
    update="lars",
    learning_rate=10.0,
    warm_up_epochs=5.0,
    momentum=0.9,
    trust=0.001,
    weight_decay=5e-4,
    rates=(("*.bias", 1.0, 0.0), ("bn*", 1.0, 0.0)),
    schedule="polynomial",
)

# --------------------------------------------------------------------------------------------- the authors on CIFAR-10

CIFAR_13PCT = Recipe(
    name="cifar-13pct",
    title="the authors' 13 % network on CIFAR-10",
    source="cuda-convnet example-layers/layer-params-conv-local-13pct.cfg; it prints no number of epochs, and those of "
    "layers-18pct.cfg stand here",
    variant="cifar-13pct",
    mean="picture",
    scale=1.0,
    views=(RandomCrop(), Flip()),
    epochs=140,
    batch_size=128,
    update="sgd",
    learning_rate=0.001,
    momentum=0.9,
    weight_decay=0.004,
    rates=(("*.bias", 2.0, 0.0), ("conv*.weight", 1.0, 0.0)),
    schedule="constant",
    phases=(
        Phase(until=120),
        Phase(until=130, factor=0.1, rates=(("*.bias", 10.0),)),
        Phase(until=140, factor=0.01, rates=(("*.bias", 100.0),)),
    ),
    validation=0.0,
)

CIFAR_11PCT = Recipe(
    name="cifar-11pct",
    title="the authors' 11 % network on CIFAR-10",
    source="cuda-convnet example-layers/layer-params-conv-local-11pct.cfg and the methodology in it, but on all of the "
    "training pictures from the first epoch (there: 350 epochs on four fifths, then 150 on all)",
    variant="cifar-11pct",
    mean="picture",
    scale=1.0,
    views=(RandomCrop(), Flip()),
    epochs=520,
    batch_size=128,
    update="sgd",
    learning_rate=0.001,
    momentum=0.9,
    weight_decay=0.004,
    rates=(("*.bias", 2.0, 0.0), ("conv*.weight", 1.0, 0.0), ("fc*.weight", 1.0, 2.5)),
    schedule="constant",
    phases=(  # "lower learning rates (epsW)": the biases' stay
        Phase(until=500),
        Phase(until=510, factor=0.1, rates=(("*.bias", 10.0),)),
        Phase(until=520, factor=0.01, rates=(("*.bias", 100.0),)),
    ),
    validation=0.0,
)

CIFAR_18PCT = replace(
    CIFAR_13PCT,
    name="cifar-18pct",
    title="the authors' 18 % network on CIFAR-10, whole pictures",
    source="cuda-convnet example-layers, the files of its 18 % network; without augmentation, as its front page says",
    variant="cifar-18pct",
    views=(),
    rates=(("*.bias", 2.0, 0.0), ("fc*.weight", 1.0, 250.0)),  # a decay of 1 in the last layer
)

# ------------------------------------------------------------------------------------------------------- the articles

YENIGUN = Recipe(
    name="yenigun",
    title="as the article trains on cats_vs_dogs: Adam, batches of 4, stopped by the training loss",
    source="Okan Yenigün, 'AlexNet Explained: A Step-by-Step Guide'; Keras' defaults for what its code leaves out. "
    "Keras adds epsilon before it corrects the second moment, torch after, which differs in the first steps alone",
    variant="yenigun-batch-norm",
    size=224,
    resize="squash",
    margin="none",
    mean="none",
    scale=1 / 255,
    views=(),
    epochs=100,
    batch_size=4,
    shuffle=18,  # 18,610 // 1000
    update="adam",
    learning_rate=0.001,
    momentum=0.9,
    eps=1e-7,
    weight_decay=0.0,
    schedule="constant",
    validation=0.0,
    watch="test",
    stop_on="train_loss",
    patience=5,
)

LE = Recipe(
    name="le",
    title="as the article trains on cats and dogs: plain SGD at 0.1, turned and shifted pictures",
    source="Khuyen Le, 'Alexnet and image classification', its notebook; what it reports is the last epoch's accuracy",
    variant="le-keras",
    resize="squash",
    margin="none",
    mean="none",
    scale=1 / 255,
    views=(RandomAffine(degrees=5.0, shift=0.1), Flip()),
    epochs=100,
    batch_size=128,
    update="sgd",
    learning_rate=0.1,
    momentum=0.0,
    weight_decay=0.0,
    schedule="constant",
    validation=0.0,
    watch="test",
)

ARHAM = Recipe(
    name="arham",
    title="the article's network on CIFAR-10 for ten epochs",
    source="Muhammad Arham, 'AlexNet: Implementation from Scratch', which gives the ten epochs alone; batch, rate, "
    "momentum and decay are those of the 2012 paper, preprocessing is this project's",
    variant="arham-pytorch",
    resize="squash",
    margin="none",
    views=(),
    epochs=10,
    batch_size=128,
    update="sgd",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="constant",
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        FAST,
        KRIZHEVSKY_2012,
        SOURCE_145,
        CAFFE,
        ONE_WEIRD_TRICK,
        TORCHVISION,
        LARGE_BATCH,
        CIFAR_13PCT,
        CIFAR_11PCT,
        CIFAR_18PCT,
        YENIGUN,
        LE,
        ARHAM,
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UsageError."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
