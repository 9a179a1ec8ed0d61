"""Data sets of Hugging Face's hub: from its library's cache and from parquet files, offline, in the hub's own form."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ilsvrc
import numpy as np
import pytest
from noise import picture
from PIL import Image

from alexnet.errors import NetworkError, UsageError
from alexnet.pictures.datasets import located, source
from alexnet.pictures.imagenet import classes
from alexnet.pictures.prepare import open_store, prepare
from alexnet.pictures.sources import Source

pytestmark = pytest.mark.filterwarnings("ignore")  # of the library and what it brings

# Name → columns of pictures and labels, names of the classes, pictures of each split: as their cards have them.
SCHEMAS: dict[str, tuple[str, str, list[str], dict[str, int]]] = {
    "microsoft/cats_vs_dogs": ("image", "labels", ["cat", "dog"], {"train": 7}),
    "uoft-cs/cifar10": ("img", "label", ["airplane", "automobile", "bird"], {"train": 9, "test": 4}),
    "ILSVRC/imagenet-1k": ("image", "label", [*classes.names()], {"train": 6, "validation": 4, "test": 3}),
}


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """The library looks at these when it is imported, and asks nobody."""
    before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS")}
    os.environ |= dict.fromkeys(before, "1")
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def encoded(name: str) -> bytes:
    stream = io.BytesIO()
    picture(name, (14, 10)).save(stream, "PNG")
    return stream.getvalue()


def label(repository: str, split: str, row: int) -> int:
    if repository == "ILSVRC/imagenet-1k":
        return -1 if split == "test" else 37 * row % 1000
    return row % len(SCHEMAS[repository][2])


def file_name(repository: str, split: str, row: int) -> str | None:
    if repository == "ILSVRC/imagenet-1k":
        return f"ILSVRC2012_{split}_{row + 1:08d}.JPEG"
    return None


def write_parquet(repository: str, folder: Path) -> Path:
    """As the hub has it: two files a split, the larger data sets; classes' names in the schema's metadata."""
    import datasets

    image, column, names, counts = SCHEMAS[repository]
    features = datasets.Features({image: datasets.Image(), column: datasets.ClassLabel(names=names)})
    folder.mkdir(parents=True)
    for split, count in counts.items():
        for part, rows in enumerate((range(count // 2), range(count // 2, count))):
            cells: list[dict[str, Any]] = [
                {"bytes": encoded(f"{split}{row}"), "path": file_name(repository, split, row)} for row in rows
            ]
            labels = [label(repository, split, row) for row in rows]
            table = datasets.Dataset.from_dict({image: cells, column: labels}, features=features)
            table.to_parquet(folder / f"{split}-{part:05d}-of-00002.parquet", batch_size=2)
    return folder


def fill_cache(repository: str, parquet: Path, cache: Path) -> None:
    """What the library keeps of a data set that it has fetched."""
    from datasets.packaged_modules.parquet.parquet import Parquet

    files = {split: sorted(map(str, parquet.glob(f"{split}-*"))) for split in SCHEMAS[repository][3]}
    owner, name = repository.split("/")
    builder = Parquet(cache_dir=str(cache / "made"), dataset_name=name, config_name="default", data_files=files)
    builder.download_and_prepare()
    made = Path(builder.cache_dir)
    info = json.loads((made / "dataset_info.json").read_text())
    (made / "dataset_info.json").write_text(json.dumps(info | {"config_name": "default"}))
    shutil.copytree(made, cache / f"{owner}___{name}" / "default" / "0.0.0" / "0123456789abcdef")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, offline: None) -> Path:
    """Parquet files of the three data sets, and the library's cache with all of them."""
    root = tmp_path_factory.mktemp("hub")
    for repository in SCHEMAS:
        fill_cache(repository, write_parquet(repository, root / repository / "data"), root / "cache")
    return root


@pytest.fixture(autouse=True)
def library(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", shelf / "cache")


def agree(data: Source, repository: str) -> None:
    """Classes, labels and pixels of every row are those that were written."""
    _, _, names, counts = SCHEMAS[repository]
    samples = data.samples()
    assert samples.classes == tuple(names) and {part: len(found) for part, found in samples.parts.items()} == counts
    for split, entries in samples.parts.items():
        expected = [label(repository, split, row) for row in range(len(entries))]
        assert [max(-1, found) for _, found in entries] == expected
        paths = [path for path, _ in entries]
        for index, read in data.pictures(paths[::-1]):
            row = len(paths) - 1 - index
            assert read().tobytes() == picture(f"{split}{row}", (14, 10)).tobytes()
            assert paths[row].endswith(file_name(repository, split, row) or f"{split}/{row:07d}")


@pytest.mark.parametrize("repository", SCHEMAS)
def test_by_name(repository: str) -> None:
    name = f"hf:{repository}"
    assert located(name) == name
    data = source(name)
    agree(data, repository)
    assert data.fingerprint() == source(name).fingerprint() and data.name == repository.split("/")[1]


@pytest.mark.parametrize("repository", SCHEMAS)
def test_parquet_files(shelf: Path, repository: str) -> None:
    agree(source(shelf / repository), repository)
    agree(source(shelf / repository / "data"), repository)


def test_our_decoder_decodes(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that Pillow would show grey in its lower half is refused, by name and by parquet."""
    import datasets

    monkeypatch.setattr(datasets.Image, "decode_example", None)  # whoever lets the library decode fails
    store = open_store("hf:microsoft/cats_vs_dogs", 10)
    assert store["train"].read(slice(None)).shape == (7, 10, 10, 3) and store.classes == ("cat", "dog")
    same = prepare(shelf / "microsoft/cats_vs_dogs", tmp_path / "store", 10)
    assert same.digest == store.digest and same["train"].paths == store["train"].paths


def test_imagenets_numbers_from_the_kit_beside(shelf: Path, tmp_path: Path) -> None:
    """Test pictures have no labels; the kit's numbers of the classes are there once the kit is."""
    wnids = [*classes.synsets()]
    store = prepare("imagenet", tmp_path / "store", 10, origin=shelf / "ILSVRC/imagenet-1k")
    assert set(store.unlabelled) == {"test"} and store.codes == {"WNID": tuple(wnids)}
    numbers = {wnid: 1 + 7 * place % 1000 for place, wnid in enumerate(wnids)}
    ilsvrc.make_kit(tmp_path, [], numbers)
    for file in (shelf / "ILSVRC/imagenet-1k/data").iterdir():
        os.link(file, tmp_path / file.name)
    assert source(tmp_path).samples().codes["ILSVRC2012_ID"] == tuple(numbers.values())


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"hf:nobody/nothing: .*get online once") as caught:
        source("hf:nobody/nothing").samples()
    assert caught.value.exit_code == 5 and "\n" not in str(caught.value)
    for name in ("hf:cifar10", "hf:../../etc", "hf:a/b/c", "hf:"):
        with pytest.raises(UsageError, match="expected hf:owner/name"):
            source(name).samples()


def test_a_closed_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def refuse(name: str) -> None:
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UsageError, match=r"gated dataset on the Hub.*hf auth login"):
        source("hf:ILSVRC/imagenet-1k").samples()


@pytest.mark.parametrize("harm", ["cut", "text"])
def test_damaged_parquet(shelf: Path, tmp_path: Path, harm: str) -> None:
    data = (shelf / "uoft-cs/cifar10/data/train-00000-of-00002.parquet").read_bytes()
    (tmp_path / "train-0.parquet").write_bytes(data[: len(data) // 2] if harm == "cut" else b"no table")
    with pytest.raises(UsageError, match=r"train-0\.parquet: cannot be read: .*download it anew"):
        source(tmp_path).samples()


def test_a_damaged_page(shelf: Path, tmp_path: Path) -> None:
    """What lists well and cannot be read is found when its turn comes."""
    import pyarrow.parquet

    file = shelf / "uoft-cs/cifar10/data/train-00000-of-00002.parquet"
    data = bytearray(file.read_bytes())
    place = pyarrow.parquet.read_metadata(file).row_group(0).column(0).data_page_offset
    data[place : place + 8] = b"\xff" * 8
    (tmp_path / "train-0.parquet").write_bytes(data)
    found = source(tmp_path)
    paths = [path for path, _ in found.samples().parts["train"]]
    with pytest.raises(UsageError, match=r"train-0\.parquet: cannot be read: .*download it anew"):
        list(found.pictures(paths))


def test_tables_of_something_else(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "label": [0]}), tmp_path / "train.parquet")
    with pytest.raises(UsageError, match="no column of pictures and of classes among text, label"):
        source(tmp_path).samples()


def test_without_names_of_classes(tmp_path: Path) -> None:
    """Parquet that others than the library have written: numbers are the names."""
    import pyarrow
    import pyarrow.parquet

    rows = [{"bytes": encoded(str(row)), "path": None} for row in range(3)]
    table = pyarrow.table({"image": rows, "label": [2, 0, 1]})
    pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
    samples = source(tmp_path).samples()
    assert samples.classes == ("0", "1", "2") and [found for _, found in samples.parts["train"]] == [2, 0, 1]
    np.testing.assert_array_equal(
        [np.asarray(read()) for _, read in source(tmp_path).pictures(["train/0000001"])],
        [np.asarray(Image.open(io.BytesIO(encoded("1"))))],
    )


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = "import sys, alexnet.pictures.datasets as d; d.source; print({'datasets', 'pyarrow'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout == "set()\n"
