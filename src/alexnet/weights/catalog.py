"""Weights of AlexNet that others have published: where they are, how to know them again, what they are.

Nothing here was made by us and nothing is fetched by looking at it. What could not be found published is None. Each
`source` says where the facts of an entry are from; `docs/weights.md` says which of them were tried.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from alexnet.environment import cache_folder
from alexnet.errors import UsageError, unknown


@dataclass(frozen=True)
class Entry:
    """One published file. `size` is in bytes; `digests` are "sha256:<hexadecimal>" and so on, all of them must fit, and
    one that is shorter than its kind is a beginning; accuracies are in 0..1."""

    name: str
    title: str
    address: str
    size: int | None
    digests: tuple[str, ...]
    format: str
    variant: str
    input: str
    resize: Literal["crop", "squash", "pad"] | None
    top1: float | None
    top5: float | None
    measured: str
    license: str
    source: str
    classes: int = 1000  # ImageNet's, sorted by WNID: `pictures.imagenet`

    @property
    def file(self) -> str:
        """The file's own name."""
        return PurePosixPath(urlsplit(self.address).path).name


TORCHVISION_INPUT = "RGB / 255, minus .485 .456 .406, by .229 .224 .225; shorter side to 256, centre 224"
TORCHVISION_LICENSE = "none of its own; torchvision (BSD-3-Clause) says that terms may follow from the training data"
CAFFE_INPUT = "BGR, 0 to 255, minus ImageNet's mean picture; squashed to 256 x 256, centre 227"
CAFFE_LICENSE = "unrestricted use (readme.md; its first versions said non-commercial)"

ENTRIES = (
    Entry(
        name="torchvision",
        title="torchvision's alexnet, AlexNet_Weights.IMAGENET1K_V1",
        address="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        size=244_408_911,
        digests=("sha256:7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",),
        format="torchvision",
        variant="torchvision",
        input=TORCHVISION_INPUT,
        resize="crop",
        top1=0.56522,
        top5=0.79066,
        measured="ILSVRC-2012 validation, centre view",
        license=TORCHVISION_LICENSE,
        source="torchvision 0.28 models/alexnet.py, whose file name holds the beginning of the digest; the whole "
        "digest and the size agree in several public repositories that downloaded it",
    ),
    Entry(
        name="bvlc-alexnet",
        title="Caffe's AlexNet, iteration 360,000",
        # No https is published for this server; the digests are whole, so that nothing else can come in its place.
        address="http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
        size=243_862_414,
        digests=(
            "sha256:4bff209a9837298157915ef50a4831a59636a6ca1a6b8ebacd990c3a5f3053e0",
            "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
        ),
        format="caffe",
        variant="bvlc-alexnet",
        input=CAFFE_INPUT,
        resize="squash",
        top1=0.571,
        top5=0.802,
        measured="ILSVRC-2012 validation, centre view",
        license=CAFFE_LICENSE,
        source="BVLC/caffe models/bvlc_alexnet/readme.md (address, SHA-1, accuracy, licence); size and SHA-256 from "
        "openvinotoolkit/open_model_zoo models/public/alexnet/model.yml",
    ),
    Entry(
        name="caffenet",
        title="Caffe's reference network, iteration 310,000",
        address="http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",  # as above
        size=243_862_418,
        digests=(
            "sha256:472d4a06035497b180636d8a82667129960371375bd10fcb6df5c6c7631f25e0",
            "sha384:6677844301d6c7f68f5b6a299cf41c4f0955bab7d1fb8719375fae6d05b6173db9deccf3ac4aaa4225bf6c6e99d81a68",
            "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        ),
        format="caffe",
        variant="caffenet",
        input=CAFFE_INPUT,
        resize="squash",
        top1=0.574,
        top5=0.804,
        measured="ILSVRC-2012 validation, centre view",
        license=CAFFE_LICENSE,
        source="BVLC/caffe models/bvlc_reference_caffenet/readme.md (address, SHA-1, accuracy, licence); SHA-256 from "
        "the recipes of Homebrew and nixpkgs; size and SHA-384 from openvinotoolkit/open_model_zoo "
        "models/public/caffenet/model.yml",
    ),
    Entry(
        name="bvlc-alexnet-onnx",
        title="Caffe's AlexNet in the ONNX model zoo, opset 12",
        address="https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/"
        "validated/vision/classification/alexnet/model/bvlcalexnet-12.onnx",
        size=243_863_787,
        digests=("sha256:6b0da9510f27f234ee96a85dc3809dd210150fdefad87f6850f9788513216945",),
        format="onnx",
        variant="bvlc-alexnet",
        input="none published; made from Caffe's AlexNet, which takes BGR minus the mean, at 224",
        resize=None,
        top1=0.5480,
        top5=0.7823,
        measured="ILSVRC-2012 validation, by the preprocessing of Intel Neural Compressor's example",
        license="BSD-3-Clause (the zoo's README)",
        source="onnx/models vision/classification/alexnet: README.md, and the Git LFS pointer of the file (size, "
        "SHA-256); the zoo's files moved to this address (iree-org/iree-test-suites, issue 101)",
    ),
)
CATALOG = {entry.name: entry for entry in ENTRIES}


def entry(name: str) -> Entry:
    """The entry called `name`. Raises UsageError."""
    if name not in CATALOG:
        raise unknown("name", name, CATALOG)
    return CATALOG[name]


def path(name: str) -> Path:
    """Where the model file of an entry is, once it was fetched."""
    return cache_folder() / "weights" / f"{name}.safetensors"


def locate(model: str) -> Path:
    """The fetched model file of the entry that MODEL names. Raises UsageError, which says how to get it."""
    if model in CATALOG:
        if not path(model).is_file():
            raise UsageError(f"{model}: published weights that are not here yet: alexnet weights fetch {model}")
        return path(model)
    close = difflib.get_close_matches(model, CATALOG, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    kinds = "a run folder, a .safetensors file or a name (alexnet weights list)"
    raise UsageError(f"{model}: no such model; {hint}expected {kinds}")
