"""ILSVRC-2012 in miniature: five classes, a colour each, in exactly the forms in which the challenge and Kaggle give
their data out. The kit's numbers run against the order of the WNIDs, as in the real one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

# WNID → the kit's number, words, colour and training pictures. In the order of the numbers the WNIDs are in disorder.
SYNSETS = {
    "n02119789": (1, "kit fox, Vulpes macrotis", (220, 30, 30), 4),
    "n02100735": (2, "English setter", (30, 220, 30), 5),
    "n02110185": (3, "Siberian husky", (30, 30, 220), 3),
    "n02012849": (4, "crane", (220, 220, 30), 4),
    "n01440764": (5, "tench, Tinca tinca", (30, 220, 220), 4),
}
NAMES = ["tench", "crane bird", "English setter", "Siberian husky", "kit fox"]  # in the order of the WNIDs
TRUTH = [3, 1, 5, 2, 4, 1, 5, 5, 3, 2]  # of the validation pictures, by the kit's numbers
TEST = [2, 2, 4, 1, 3, 5]  # what the test pictures show; nobody tells


def wnid_of(number: int) -> str:
    return next(wnid for wnid, (own, *_) in SYNSETS.items() if own == number)


def photograph(wnid: str, number: int, size: tuple[int, int] = (40, 32)) -> bytes:
    """A JPEG in the colour of its class, with noise of its own."""
    noise = np.random.default_rng([int(wnid[1:]), number]).integers(-20, 20, (size[1], size[0], 3))
    pixels = np.clip(np.array(SYNSETS[wnid][2]) + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def train_files() -> Iterator[tuple[str, str, bytes]]:
    """WNID, name and contents; numbers as they are there, with gaps and of unequal length, not in order."""
    for wnid, (_, _, _, count) in SYNSETS.items():
        for number in range(count, 0, -1):
            yield wnid, f"{wnid}_{number * 97}.JPEG", photograph(wnid, number)


def flat_files(short: str) -> Iterator[tuple[str, bytes]]:
    for number, own in enumerate(TRUTH if short == "val" else TEST, start=1):
        yield (
            f"ILSVRC2012_{short}_{number:08d}.JPEG",
            photograph(wnid_of(own), number + {"val": 100, "test": 200}[short]),
        )


def tar(file: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return file


def meta(compressed: bool = True, numbers: dict[str, int] | None = None) -> bytes:
    """`meta.mat` as MATLAB saves it: a column of structures, those of classes before one of what stands above them.
    `numbers`: WNID → the kit's number, for other classes."""
    classes = SYNSETS if numbers is None else {wnid: (own, wnid, (0, 0, 0), 0) for wnid, own in numbers.items()}
    fields = "ILSVRC2012_ID WNID words gloss num_children children wordnet_height num_train_images".split()
    synsets = np.zeros((len(classes) + 1, 1), [(field, object) for field in fields])
    for row, (wnid, (own, words, _, count)) in enumerate(classes.items()):
        synsets[row, 0] = (float(own), wnid, words, f"what {words} is", 0.0, np.zeros((0, 0)), 0.0, float(count))
    synsets[-1, 0] = (
        len(classes) + 1.0,
        "n00001740",
        "entity",
        "that which exists",
        2.0,
        np.array([[1.0, 2.0]]),
        3.0,
        0.0,
    )
    stream = io.BytesIO()
    savemat(stream, {"synsets": synsets}, do_compression=compressed)
    return stream.getvalue()


def make_kit(root: Path, truth: list[int] | None = None, numbers: dict[str, int] | None = None) -> Path:
    """`ILSVRC2012_devkit_t12.tar.gz`."""
    lines = "".join(f"{number}\n" for number in (TRUTH if truth is None else truth))
    files = {"readme.txt": b"read me", "data/meta.mat": meta(numbers=numbers), "evaluation/demo.val.pred.txt": b"1 2\n"}
    files["data/ILSVRC2012_validation_ground_truth.txt"] = lines.encode()
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/{name}")
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return root / "ILSVRC2012_devkit_t12.tar.gz"


def make_archives(root: Path) -> Path:
    """The challenge's own: a tar of a tar a class, two flat tars, the kit."""
    root.mkdir(parents=True, exist_ok=True)
    inner = {}
    for wnid in SYNSETS:
        own = {name: contents for other, name, contents in train_files() if other == wnid}
        inner[f"{wnid}.tar"] = tar(root / "inner.tar", own).read_bytes()
    (root / "inner.tar").unlink()
    tar(root / "ILSVRC2012_img_train.tar", inner)
    tar(root / "ILSVRC2012_img_val.tar", dict(flat_files("val")))
    tar(root / "ILSVRC2012_img_test_v10102019.tar", {f"test/{n}": contents for n, contents in flat_files("test")})
    make_kit(root)
    return root


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, contents in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(contents)


def make_folders(root: Path) -> Path:
    """Unpacked: class folders to train on, flat validation and test pictures, the kit's folder."""
    write(root / "train", {f"{wnid}/{name}": contents for wnid, name, contents in train_files()})
    for short in ("val", "test"):
        write(root / short, dict(flat_files(short)))
    with tarfile.open(make_kit(root)) as archive:
        archive.extractall(root)
    (root / "ILSVRC2012_devkit_t12.tar.gz").unlink()
    return root


def make_sorted(root: Path) -> Path:
    """Unpacked, with validation pictures in class folders and each class of training pictures still in its tar."""
    make_archives(root)
    with tarfile.open(root / "ILSVRC2012_img_train.tar") as archive:
        archive.extractall(root / "train")
    for (name, contents), own in zip(flat_files("val"), TRUTH, strict=True):
        write(root / "val" / wnid_of(own), {name: contents})
    for short in ("train", "val"):
        (root / f"ILSVRC2012_img_{short}.tar").unlink()
    return root


def make_kaggles(root: Path) -> Path:
    """Kaggle's copy, with its tables beside."""
    make_folders(root / "ILSVRC/Data/CLS-LOC")
    (root / "ILSVRC2012_devkit_t12").mkdir()
    (root / "ILSVRC/Data/CLS-LOC/ILSVRC2012_devkit_t12").rename(root / "ILSVRC/Annotations")
    (root / "ILSVRC2012_devkit_t12").rmdir()
    mapping = sorted(f"{wnid} {words}" for wnid, (_, words, *_) in SYNSETS.items())
    (root / "LOC_synset_mapping.txt").write_text("\n".join(mapping) + "\n")
    boxes = [
        f"ILSVRC2012_val_{number:08d},{wnid_of(own)} 85 1 499 272 {wnid_of(own)} 1 2 30 40"
        for number, own in reversed([*enumerate(TRUTH, start=1)])
    ]
    (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *boxes]) + "\n")
    (root / "LOC_sample_submission.csv").write_text("ImageId,PredictionString\n")
    return root
