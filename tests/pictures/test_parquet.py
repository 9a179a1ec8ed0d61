"""Pictures in tables and in places named by a URI, read as files are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet.errors import NetworkError, PictureError, UsageError
from alexnet.network.architecture import Input
from alexnet.pictures.inputs import contents, listed, opened
from alexnet.pictures.limits import Limits
from alexnet.pictures.parquet import ParquetRows, taken

RULE = Input(size=32, stored=40, order="RGB", mean=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def files(tmp_path_factory, easy_picture):
    """Name → bytes of some pictures, and a folder of them."""
    root = tmp_path_factory.mktemp("files")
    (root / "photos" / "ash").mkdir(parents=True)
    for number in range(7):
        easy_picture(0, number).save(root / "photos" / "ash" / f"{number}.png")
    (root / "photos" / "notes.txt").write_text("no picture")
    return root, {path.name: path.read_bytes() for path in (root / "photos" / "ash").iterdir()}


COLUMNS = {
    "bytes": lambda pairs: {"jpeg": [data for _, data in pairs], "label": [0] * len(pairs)},
    "struct": lambda pairs: {"image": [{"bytes": data, "path": name} for name, data in pairs]},
    "struct without paths": lambda pairs: {"image": [{"bytes": data, "path": None} for _, data in pairs]},
    "image of several": lambda pairs: {"thumbnail": [b""] * len(pairs), "image": [data for _, data in pairs]},
}


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS.keys())
@pytest.mark.parametrize("uri", [False, True])
def test_rows_are_pictures(files, tmp_path, make, uri):
    pairs = sorted(files[1].items())
    for name, some in (("a", pairs[:5]), ("b", pairs[5:])):
        pyarrow.parquet.write_table(pyarrow.table(make(some)), tmp_path / f"{name}.parquet", row_group_size=2)
    place = f"file://{tmp_path}" if uri else str(tmp_path)
    found = listed([place])
    own = [f"{place}/a.parquet#{row}" for row in range(5)] + [f"{place}/b.parquet#{row}" for row in range(2)]
    assert list(found.names) == ([name for name, _ in pairs] if make is COLUMNS["struct"] else own)
    assert list(found.contents()) == [data for _, data in pairs]
    some = found.part(slice(1, 6)).part(slice(2, 4))
    assert list(some.contents()) == [data for _, data in pairs[3:5]] and some.names == found.names[3:5]


class Counted(NamedTuple):
    """A group of rows, none of which lies in a file: each has its numbers for a picture."""

    number: int
    size: int

    def contents(self, rows: Iterable[int]) -> Iterator[bytes]:
        assert rows, "a group is read of which no row is wanted"
        return (f"{self.number}.{row}".encode() for row in rows)


@given(sizes=st.lists(st.integers(0, 9), max_size=9), data=st.data())
def test_parts_of_parts(sizes, data):
    groups = [Counted(number, size) for number, size in enumerate(sizes)]
    rows = ParquetRows([f"{group.number}.{row}" for group in groups for row in range(group.size)], groups)
    for _ in range(2):
        first = data.draw(st.integers(0, len(rows.names)))
        last = data.draw(st.integers(first, len(rows.names)))
        expected = rows.names[first:last]
        rows = rows.part(slice(first, last))
        assert rows.names == expected
        assert [picture.decode() for picture in rows.contents()] == expected
        assert len(rows.groups) <= 1 + len(expected) + sizes.count(0)  # no more than it reads


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=9), data=st.data())
def test_some_rows_of_all(sizes, data):
    every = [f"{number}.{row}" for number, size in enumerate(sizes) for row in range(size)]
    wanted = sorted(data.draw(st.sets(st.integers(0, len(every) - 1)))) if every else []
    found = taken([Counted(number, size) for number, size in enumerate(sizes)], np.array(wanted, np.int64))
    assert [picture.decode() for picture in found] == [every[row] for row in wanted]


def test_rows_are_refused_as_files_are(files, tmp_path):
    column = pyarrow.array([b"no picture", None, next(iter(files[1].values()))])
    pyarrow.parquet.write_table(pyarrow.table({"image": column}), tmp_path / "t.parquet")
    bad, none, good = opened(listed([str(tmp_path / "t.parquet")]).contents(), RULE)
    assert isinstance(bad, PictureError) and isinstance(none, PictureError) and good.shape == (40, 40, 3)
    small = opened(listed([str(tmp_path / "t.parquet")]).contents(), RULE, Limits(bytes=5))
    assert "more than the limit" in str(next(small))


def test_tables_that_hold_no_pictures(tmp_path):
    for name, columns in {"none": {"label": [1]}, "two": {"a": [b"x"], "b": [b"x"]}}.items():
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
    with pytest.raises(UsageError, match=r"none.parquet: expected one column of pictures.*; none of label"):
        listed([str(tmp_path / "none.parquet")])
    names = pyarrow.array([{"bytes": "x.png", "path": None}])  # which shall not be opened
    pyarrow.parquet.write_table(pyarrow.table({"image": names}), tmp_path / "text.parquet")
    with pytest.raises(UsageError, match=r"text.parquet: .*; none of image"):
        listed([str(tmp_path / "text.parquet")])
    with pytest.raises(UsageError, match=r"two.parquet: .*; 2 of them: a, b"):
        listed([str(tmp_path / "two.parquet")])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"bad.parquet: cannot be read"):
        listed([str(tmp_path / "bad.parquet")])
    with pytest.raises(UsageError, match="take them one after the other"):
        listed([str(tmp_path / "two.parquet"), "x.png"])


def test_a_place_by_its_uri(files):
    """pyarrow's file://, and fsspec's memory:// for the others."""
    root, pictures = files
    memory = fsspec.filesystem("memory")
    memory.put(str(root / "photos"), "/photos", recursive=True)
    for place in (f"file://{root}/photos", "memory://photos"):
        found = listed([place])
        assert list(found.names) == [f"{place}/ash/{name}" for name in sorted(pictures)]
        assert [contents(name) for name in found.names] == [pictures[name] for name in sorted(pictures)]
        with pytest.raises(PictureError, match="No such file"):
            contents(f"{place}/ash/gone.png")
        with pytest.raises(PictureError, match="more than the limit"):
            contents(found.names[0], Limits(bytes=5))
    with pytest.raises(UsageError, match="nosuch"):
        listed(["nosuch://bucket/x.png"])


@pytest.mark.slow
def test_a_store_that_does_not_answer(monkeypatch):
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(NetworkError, match=r"s3://bucket/photos: cannot be listed"):
        listed(["s3://bucket/photos"])
