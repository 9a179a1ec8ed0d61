"""ILSVRC-2012 from the archives in which it comes, and what is refused of them."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import ilsvrc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ilsvrc import NAMES, SYNSETS, TRUTH
from scipy.io import loadmat, savemat

from alexnet.errors import UsageError
from alexnet.evaluation.evaluate import choose, default_split
from alexnet.pictures.checks.check import check
from alexnet.pictures.datasets import NAMED, source
from alexnet.pictures.decode import stored
from alexnet.pictures.imagenet import classes
from alexnet.pictures.imagenet.matlab import structures
from alexnet.pictures.prepare import open_store, prepare
from alexnet.pictures.store import Store, opened

SIDE = 16
TRAIN, VAL, KIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ilsvrc.make_archives(tmp_path_factory.mktemp("archives") / "originals")


@pytest.fixture(scope="module")
def store(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepare("imagenet", tmp_path_factory.mktemp("made") / "store", SIDE, origin=archives)


@pytest.fixture
def copy(archives: Path, tmp_path: Path) -> Path:
    """The archives, to be harmed."""
    return shutil.copytree(archives, tmp_path / "harmed")


def shown(store: Store, part: str) -> list[str]:
    """The WNIDs of the classes whose colours the pictures of a part have, by nothing but their pixels."""
    wnids = sorted(SYNSETS)
    colours = np.array([SYNSETS[wnid][2] for wnid in wnids])
    means = store[part].read(slice(None)).mean(axis=(1, 2))
    return [wnids[number] for number in np.abs(means[:, None] - colours).sum(axis=2).argmin(axis=1)]


def test_labels_are_those_of_the_pictures(store: Store) -> None:
    """The trap: the ground truth speaks in the kit's numbers, and a label is a place in the order of WNIDs. What a
    picture shows is told by its colour alone."""
    wnids = sorted(SYNSETS)
    assert [SYNSETS[wnid][0] for wnid in wnids] != sorted(own for own, *_ in SYNSETS.values()), "the trap is set"
    assert store.classes == tuple(NAMES)
    for part in ("train", "validation"):
        assert [wnids[label] for label in store[part].labels] == shown(store, part)
    by_number = [SYNSETS[wnid][0] for wnid in shown(store, "validation")]
    assert by_number == TRUTH and store["validation"].paths[0] == "val/ILSVRC2012_val_00000001.JPEG"


def test_counts_and_codes(store: Store) -> None:
    assert [store.counts["train"][name] for name in NAMES] == [SYNSETS[wnid][3] for wnid in sorted(SYNSETS)]
    assert {part: len(pictures) for part, pictures in store.all_parts.items()} == {
        "train": 20,
        "validation": 10,
        "test": 6,
    }
    assert store.codes["WNID"] == tuple(sorted(SYNSETS))
    assert store.codes["ILSVRC2012_ID"] == tuple(SYNSETS[wnid][0] for wnid in sorted(SYNSETS))
    assert opened(store.folder).codes == store.codes


FORMS: dict[str, Callable[[Path], Path]] = {
    "unpacked": ilsvrc.make_folders,
    "half unpacked": ilsvrc.make_sorted,
    "kaggle's": ilsvrc.make_kaggles,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_gives_the_same_store(tmp_path: Path, store: Store, form: Callable[[Path], Path]) -> None:
    same = prepare("imagenet", tmp_path / "store", SIDE, origin=form(tmp_path / "data"))
    assert same.digest == store.digest and same.classes == store.classes
    for part, pictures in store.all_parts.items():
        assert same[part].paths == pictures.paths
        np.testing.assert_array_equal(same[part].read(slice(None)), pictures.read(slice(None)))
    assert same.codes["WNID"] == store.codes["WNID"]


def test_the_folder_itself_is_data(archives: Path, store: Store) -> None:
    assert open_store(archives, SIDE).digest == store.digest
    found = check(archives)
    assert found["unreadable"] == [] and found["pictures"] == 36 and found["contradictions"] == []
    assert found["classes"]["tench"] == {"train": 4, "validation": TRUTH.count(5)}


def test_a_part_without_labels_is_not_scored(store: Store, tmp_path: Path) -> None:
    assert set(store.unlabelled) == {"test"} and default_split(store, {}) == "validation"
    with pytest.raises(UsageError, match=r"nothing says what its test pictures show.*--split validation"):
        choose(store, {}, "test", "store")
    smaller = open_store(store.folder, SIDE // 2)
    assert set(smaller.unlabelled) == {"test"} and smaller.codes == store.codes
    assert shown(smaller, "test") == shown(store, "test") == [ilsvrc.wnid_of(own) for own in ilsvrc.TEST]


def test_only_what_is_there(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        shutil.copy(archives / name, tmp_path)
    samples = source(tmp_path).samples()
    assert samples.classes == tuple(NAMES) and set(samples.parts) == {"validation"}
    said = capsys.readouterr().err
    assert "not there: ILSVRC2012_img_train.tar" in said and "ILSVRC2012_img_test.tar" in said
    (tmp_path / "ILSVRC2012_img_val.tar").unlink()
    with pytest.raises(UsageError, match=r"no pictures of the challenge; expected ILSVRC2012_img_train\.tar"):
        source(tmp_path).samples()


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"holds none of imagenet, .*ILSVRC2012_img_train\.tar.*download imagenet from"
    ):
        prepare("imagenet", tmp_path / "store", SIDE, origin=tmp_path)


def test_training_pictures_alone(archives: Path, tmp_path: Path) -> None:
    """Without the kit the classes are those that are there, under the same names."""
    shutil.copy(archives / "ILSVRC2012_img_train.tar", tmp_path)
    samples = source(tmp_path).samples()
    assert samples.classes == tuple(NAMES) and len(samples.parts["train"]) == 20


def test_a_selection_in_class_folders(tmp_path: Path) -> None:
    """As fast.ai's Imagenette: folders called by WNID, names that repeat; the test pictures have labels there."""
    for part in ("train", "val", "test"):
        for wnid in ("n02110185", "n01440764"):
            ilsvrc.write(tmp_path / part / wnid, {f"{n}.jpg": ilsvrc.photograph(wnid, n) for n in range(2)})
    samples = source(tmp_path).samples()
    assert samples.classes == ("tench", "Siberian husky")
    labels = {part: [label for _, label in found] for part, found in samples.parts.items()}
    assert labels == {part: [0, 0, 1, 1] for part in ("train", "validation", "test")}


SAMPLE = Path(__file__).parents[3] / "shared/data/imagenet-sample.tar"  # n01494475_hammerhead.JPEG and so on


@pytest.mark.skipif(not SAMPLE.exists(), reason="originals of ImageNet are not part of this project")
def test_originals_of_imagenet(tmp_path: Path) -> None:
    """Twenty of them, at their own sizes, packed as the challenge does; the kit's numbers at random."""
    with tarfile.open(SAMPLE) as archive:
        members = [member for member in archive.getmembers() if member.isfile()][::10]
        originals = {Path(m.name).name.split("_")[0]: archive.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    wnids = sorted(originals)
    numbers = dict(zip(wnids, (np.random.default_rng(0).permutation(len(wnids)) + 1).tolist(), strict=True))
    inner = {
        f"{wnid}.tar": ilsvrc.tar(tmp_path / "i", {f"{wnid}_9.JPEG": originals[wnid]}).read_bytes() for wnid in wnids
    }
    ilsvrc.tar(tmp_path / TRAIN, inner)
    shuffled = np.random.default_rng(1).permutation(wnids).tolist()
    ilsvrc.tar(tmp_path / VAL, {f"ILSVRC2012_val_{n:08d}.JPEG": originals[w] for n, w in enumerate(shuffled, start=1)})
    ilsvrc.make_kit(tmp_path, [numbers[wnid] for wnid in shuffled], numbers)
    store = prepare("imagenet", tmp_path / "store", 64, origin=tmp_path)
    assert store.classes == tuple(classes.synsets()[wnid] for wnid in wnids)
    for part, order in (("train", wnids), ("validation", shuffled)):
        assert [wnids[label] for label in store[part].labels] == order
        np.testing.assert_array_equal(store[part].read(slice(None)), [stored(originals[wnid], 64) for wnid in order])


def test_the_published_numbers() -> None:
    assert NAMED["imagenet"].parts == {"train": 1_281_167, "validation": 50_000, "test": 100_000}
    wnids = [*classes.synsets()]
    assert len(NAMED["imagenet"].classes) == 1000 and wnids == sorted(wnids)


# -------------------------------------------------------------------------------------------------------------- refused


def cut(name: str, share: float) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(share * len(data)) // 512 * 512])

    return harm


def rewritten(name: str, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Callable[[Path], None]:
    """A tar with other members."""

    def harm(root: Path) -> None:
        with tarfile.open(root / name) as archive:
            files = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]
        ilsvrc.tar(root / name, change(files))

    return harm


def without(key: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {name: contents for name, contents in files.items() if key not in name}


def twice(root: Path) -> None:
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "a") as archive:
        member = tarfile.TarInfo("again/ILSVRC2012_val_00000003.JPEG")
        archive.addfile(member, io.BytesIO(b""))


def wrongly_sorted(root: Path) -> None:
    """Validation pictures in folders by somebody who took the kit's numbers for places in the order of WNIDs."""
    for (name, contents), own in zip(ilsvrc.flat_files("val"), TRUTH, strict=True):
        ilsvrc.write(root / "val" / sorted(SYNSETS)[own - 1], {name: contents})
    (root / "ILSVRC2012_img_val.tar").unlink()


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "train cut": (cut(TRAIN, 0.7), rf"{TRAIN}: not a whole tar archive.*download it anew"),
    "train cut in its first class": (cut(TRAIN, 0.1), f"{TRAIN}: not a whole tar archive"),
    "val cut": (cut(VAL, 0.5), f"{VAL}: not a whole tar archive"),
    "kit cut": (cut(KIT, 0.6), "devkit.*not a whole"),
    "no tar": (lambda root: (root / TRAIN).write_bytes(b"<html>" * 500), "not a whole tar archive"),
    "a class gone": (rewritten(TRAIN, without("n02110185")), "3 training pictures of n02110185, and there are 0;"),
    "an unknown class": (
        rewritten(TRAIN, lambda files: files | {"n09999999.tar": files["n02012849.tar"]}),
        "n09999999/n02012849_194.JPEG lies in no class of",
    ),
    "a validation picture gone": (rewritten(VAL, without("00000004")), "val_00000004.JPEG is missing .9 of 10"),
    "one more": (lambda root: ilsvrc.make_kit(root, TRUTH[:-1]), "val_00000010.JPEG is one more than the ground truth"),
    "one twice": (twice, "ILSVRC2012_val_00000003.JPEG twice"),
    "a test picture gone": (
        rewritten("ILSVRC2012_img_test_v10102019.tar", without("00000002")),
        "test_00000002.JPEG is missing .5 of 6",
    ),
    "no kit": (
        lambda root: (root / KIT).unlink(),
        "nothing says what .*val_00000001.JPEG shows; put ILSVRC2012_devkit",
    ),
    "a truth of no class": (lambda root: ilsvrc.make_kit(root, [1, 7]), "speaks of a class 7, and there are 5"),
    "wrongly sorted": (wrongly_sorted, "took the kit's numbers for places in the order of WNIDs"),
}


@pytest.mark.parametrize(("harm", "message"), HARMS.values(), ids=HARMS.keys())
def test_what_differs_is_named(copy: Path, harm: Callable[[Path], object], message: str) -> None:
    harm(copy)
    with pytest.raises(UsageError, match=message) as caught:
        source(copy).samples()
    assert "\n" not in str(caught.value)


@given(st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_no_cut_goes_unseen(archives: Path, blocks: int) -> None:
    """Wherever the archive of training pictures is cut off, it is noticed before a picture is decoded."""
    whole = (archives / TRAIN).read_bytes()
    end = len(whole.rstrip(b"\0"))
    folder = archives.parent / "cut"
    folder.mkdir(exist_ok=True)
    (folder / TRAIN).write_bytes(whole[: end * blocks // 60 // 512 * 512])
    with pytest.raises(UsageError, match=r"not a whole tar|holds no pictures"):
        source(folder).samples()


# ------------------------------------------------------------------------------------------------------------- meta.mat


@pytest.mark.parametrize("compressed", [True, False])
def test_structures_as_scipy_reads_them(compressed: bool) -> None:
    data = ilsvrc.meta(compressed)
    theirs = loadmat(io.BytesIO(data), squeeze_me=True)["synsets"]
    mine = structures(data, "synsets")
    assert len(mine) == len(theirs) == 6
    for one, other in zip(mine, theirs, strict=True):
        assert [*one] == [*other.dtype.names]
        for field in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "num_train_images"):
            assert one[field] == other[field]
    assert mine[-1]["children"] == [1.0, 2.0] and mine[0]["children"] == []


@given(st.lists(st.tuples(st.text("aäπ猫 ,", max_size=9), st.integers(0, 2**31)), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_text_and_numbers_of_any_kind(rows: list[tuple[str, int]]) -> None:
    array = np.zeros((len(rows), 1), [("text", object), ("number", object)])
    for place, (text, number) in enumerate(rows):
        array[place, 0] = text, np.int32(number % 2**31)
    stream = io.BytesIO()
    savemat(stream, {"other": np.eye(2), "found": array})
    read = structures(stream.getvalue(), "found")
    assert [entry["number"] for entry in read] == [number % 2**31 for _, number in rows]
    assert [entry["text"] or "" for entry in read] == [text for text, _ in rows]


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_damaged_file_is_a_value_error(draw: st.DataObject) -> None:
    data = bytearray(ilsvrc.meta(compressed=draw.draw(st.booleans())))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(128, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with suppress(ValueError):
        structures(bytes(data[: draw.draw(st.integers(0, len(data)))]), "synsets")


def test_a_bomb_is_refused() -> None:
    packed = zlib.compress(bytes(2**26 + 1), 1)
    data = ilsvrc.meta()[:128] + struct.pack("<II", 15, len(packed)) + packed
    with pytest.raises(ValueError, match="larger than such a file is"):
        structures(data, "synsets")
