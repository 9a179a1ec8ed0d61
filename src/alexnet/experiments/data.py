"""What the experiments are made of here: their data sets by name, how those at hand differ, and the seeds."""

CIFAR_10, CATS_AND_DOGS, CATS_VS_DOGS = "cifar10", "cats-and-dogs", "cats-vs-dogs"

OUR_PETS = (
    "`cats-and-dogs.tar` is the article's split with 8,000 + 2,000 pictures, squashed to 200 x 200 and compressed anew"
)
OUR_CIFAR = "a CIFAR-10 of JPEG files is a lossy copy; `cifar-10-binary.tar.gz` is the original"

THREE = (0, 1, 2)
"""The seeds of every comparison."""
