"""Nearest pictures: against computing every distance in float64, with ties, twins, vectors of zeros and huge ones."""

from __future__ import annotations

import json
import math
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from networks import saved, small, stirred
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from alexnet.errors import PictureError, UsageError
from alexnet.insight.features import neighbours as module
from alexnet.insight.features.extract import extract
from alexnet.insight.features.neighbours import Index, products
from alexnet.use import neighbours as use

METRICS = ("euclidean", "cosine")


def index_of(vectors, folder="somewhere"):
    squares = np.square(vectors.astype(np.float64)).sum(axis=1)
    names = [f"{row}.png" for row in range(len(vectors))]
    return Index(folder, {}, "fc7", vectors, squares, names, [None] * len(vectors))


def distance(x, y, metric):
    """In float64, by the formula."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if metric == "euclidean":
        return math.sqrt(((x - y) ** 2).sum())
    both = math.sqrt((x**2).sum() * (y**2).sum())
    return 1 - min(1.0, max(-1.0, (x * y).sum() / both)) if both else 1.0


def brute_force(vectors, queries, count, metric):
    every = [[distance(x, query, metric) for x in vectors] for query in queries]
    rows = [sorted(range(len(vectors)), key=lambda row, one=one: (one[row], row))[:count] for one in every]
    return [[one[row] for row in best] for one, best in zip(every, rows, strict=True)], rows


def check(vectors, queries, count, metric):
    distances, rows = index_of(vectors).search(queries, count, metric)
    expected, expected_rows = brute_force(vectors, queries, count, metric)
    assert rows.tolist() == expected_rows
    np.testing.assert_allclose(distances, expected, rtol=1e-12, atol=1e-12)


# Whole numbers, whose sums of squares are exact in any order: ties are ties for everybody.
small_numbers = st.integers(-3, 3).map(np.float32)


@given(
    st.integers(1, 6).flatmap(
        lambda size: st.tuples(
            arrays.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(size)), elements=small_numbers),
            arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(size)), elements=small_numbers),
        )
    ),
    st.integers(1, 50),
)
@settings(max_examples=60, deadline=None)
def test_ties_twins_zeros_and_more_asked_than_there_are(pair, count):
    vectors, queries = pair
    check(vectors, queries, count, "euclidean")


@pytest.mark.parametrize("metric", METRICS)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), scale=st.sampled_from([1e-25, 1e-3, 1.0, 1e18, 1e25]))
@settings(max_examples=25, deadline=None)
def test_as_float64_says(metric, seed, count, scale):
    """Of any size, also where products leave float32; each row twice, so that there are ties."""
    rng = np.random.default_rng(seed)
    vectors = np.maximum(0, rng.standard_normal((30, 50)).astype(np.float32)) * np.float32(scale)
    vectors = np.concatenate([vectors, vectors[::-1], np.zeros((2, 50), np.float32)])
    queries = np.concatenate([vectors[:2], rng.standard_normal((2, 50)).astype(np.float32), vectors[-1:]])
    check(vectors, queries, count, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_closer_than_float32_can_tell(metric):
    """All of them nearly alike: the order is float64's."""
    rng = np.random.default_rng(0)
    vectors = (100 + 1e-4 * rng.standard_normal((300, 64))).astype(np.float32)
    check(vectors, vectors[7:9], 20, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_as_scikit_learn_says(metric):
    rng = np.random.default_rng(1)
    vectors, queries = (rng.standard_normal((n, 256)).astype(np.float32) for n in (2000, 9))
    found = index_of(vectors).search(queries, 10, metric)
    oracle = NearestNeighbors(metric=metric, algorithm="brute").fit(vectors.astype(np.float64))
    expected, rows = oracle.kneighbors(queries.astype(np.float64), 10)
    assert np.array_equal(found[1], rows)
    np.testing.assert_allclose(found[0], expected, rtol=1e-9)


@pytest.mark.parametrize("queries", [1, 3, 4, 11])
def test_products_by_either_way(queries, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 100)  # many blocks, the last one short
    rng = np.random.default_rng(queries)
    x, y = (rng.standard_normal((n, 17)).astype(np.float32) for n in (103, queries))
    np.testing.assert_allclose(products(x, y), y.astype(np.float64) @ x.T, atol=1e-5)


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, queries = (rng.integers(0, 3, (n, 12)).astype(np.float32) for n in (200, 7))
    whole = index_of(vectors).search(queries, 5)
    monkeypatch.setattr(module, "BLOCK", 50)
    monkeypatch.setattr(module, "KEPT", 400)
    for one, other in zip(whole, index_of(vectors).search(queries, 5), strict=True):
        assert np.array_equal(one, other)


def test_none_of_none():
    vectors = np.ones((3, 4), np.float32)
    assert index_of(vectors).search(np.empty((0, 4), np.float32), 2)[1].shape == (0, 2)
    assert index_of(vectors[:0]).search(vectors, 2)[0].shape == (3, 0)


def test_queries_that_do_not_fit():
    index = index_of(np.ones((3, 4), np.float32))
    with pytest.raises(UsageError, match="queries of 5 values"):
        index.search(np.ones((1, 5), np.float32), 2)
    with pytest.raises(UsageError, match="not finite"):
        index.search(np.full((1, 4), np.nan, np.float32), 2)


# ------------------------------------------------------------------------------------------------------------- folders


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    description = small("krizhevsky-2012", 3)
    return saved(tmp_path_factory.mktemp("model") / "m.safetensors", description, stirred(description))


@pytest.fixture
def photos(tmp_path, easy_picture):
    for kind, name in enumerate(("class 0", "class 2")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            easy_picture(kind, number).save(tmp_path / "photos" / name / f"{number:02d}.png")
    return tmp_path / "photos"


@pytest.fixture
def folder(model, photos, tmp_path):
    extract(model, [str(photos)], tmp_path / "index", ["fc7", "pool5"])
    return tmp_path / "index"


def test_open(folder, photos):
    index = Index.open(folder)
    assert index.layer == "fc7" and len(index) == 8 and index.vectors.shape == (8, 96)
    assert index.labels == ["class 0"] * 4 + ["class 2"] * 4
    maps = Index.open(folder, "pool5")
    distances, rows = maps.search(np.load(folder / "pool5.npy")[2:4], 1)
    assert rows.tolist() == [[2], [3]] and not distances.any()
    assert np.array_equal(np.asarray(index.picture(5)), np.asarray(index.picture(5).copy()))
    (photos / "class 2" / "01.png").unlink()
    with pytest.raises(PictureError, match="No such file"):
        index.picture(5)


def test_pictures_of_a_data_set_and_of_the_network(folder, photos, model, tmp_path):
    extract(model, [], tmp_path / "data", data=photos)
    index = Index.open(tmp_path / "data")
    assert index.paths[0] == "class 0/00.png" and index.picture(0).size == (40, 40)
    photos.rename(tmp_path / "away")
    with pytest.raises(PictureError, match="its data set has gone"):
        Index.open(tmp_path / "data").picture(0)
    packed = tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted((tmp_path / "away").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "away"))
    extract(model, [], tmp_path / "packed", data=packed)
    assert Index.open(tmp_path / "packed").picture(0).size == (40, 40)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("class 0/other.png", b"")
    with pytest.raises(PictureError, match="does not hold it any more"):
        Index.open(tmp_path / "packed").picture(0)
    text = (folder / "index.csv").read_text().replace(str(photos), "https://example.org")
    (folder / "index.csv").write_text(text)
    with pytest.raises(PictureError, match="not fetched again"):
        Index.open(folder).picture(0)


def shorten(path):
    path.write_bytes(path.read_bytes()[:-8])


def other_rows(path):
    np.save(path, np.load(path)[1:])


def other_kind(path):
    np.save(path, np.load(path).astype(np.float16))


def pickled(path):
    np.save(path, np.array([{}] * 8), allow_pickle=True)


@pytest.mark.parametrize("name", ["fc7.npy", "fc7.squares.npy"])
@pytest.mark.parametrize("damage", [shorten, other_rows, other_kind, pickled, lambda path: path.unlink()])
def test_damaged_arrays(folder, name, damage):
    damage(folder / name)
    with pytest.raises(UsageError, match=r"index: damaged: .*make it anew"):
        Index.open(folder)


def test_damaged_folders(folder, tmp_path):
    text = (folder / "index.csv").read_text()
    for wrong in (text.replace("\n3,", "\n4,"), "\n".join(text.splitlines()[:-2]), "", "a,b\n1,2\n"):
        (folder / "index.csv").write_text(wrong)
        with pytest.raises(UsageError, match="damaged"):
            Index.open(folder)
    (folder / "index.csv").write_text(text)
    document = json.loads((folder / "features.json").read_text())
    for wrong, words in (
        ("{", "features.json is damaged"),
        ("[]", "features.json is damaged"),
        (json.dumps(document | {"format": 2}), "of format 2; this version reads 1"),
        (json.dumps(document | {"state": {}}), "begun and not finished"),
        (json.dumps(document | {"form": "parquet"}), "made with --parquet"),
        (json.dumps(document | {"layers": {"fc7": [95]}}), "damaged"),
    ):
        (folder / "features.json").write_text(wrong)
        with pytest.raises(UsageError, match=words):
            Index.open(folder)
    with pytest.raises(UsageError, match="not a folder of features"):
        Index.open(tmp_path)
    (folder / "features.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="did you mean 'fc7'"):
        Index.open(folder, "fc8")


# -------------------------------------------------------------------------------------------------- on the command line


def test_as_a_command(alexnet, folder, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    query = photos / "class 2" / "02.png"
    arguments = ("neighbours", query, bad, "--index", folder, "--count", "3", "--out", tmp_path / "n.png")
    outcome = alexnet(*arguments, "--json")
    assert outcome.code == 3 and "1 of 2 pictures refused" in outcome.err
    first, second = outcome.json
    assert second == {"path": str(bad), "error": "not a picture of a known format"}
    assert len(first["neighbours"]) == 3
    assert first["neighbours"][0] == {
        "row": 6,
        "path": str(query),
        "label": "class 2",
        "distance": pytest.approx(0, abs=1e-3),
    }
    expected = Index.open(folder).search(np.load(folder / "fc7.npy")[6:7], 3)
    assert [n["distance"] for n in first["neighbours"]] == pytest.approx(expected[0][0].tolist(), abs=1e-3)
    with Image.open(tmp_path / "n.png") as sheet:
        assert sheet.width > 500


def test_the_query_is_computed_by_the_same_model(folder, model, tmp_path):
    index = Index.open(folder)
    assert use.model_of(index, None).description == use.model_of(index, model).description
    other = saved(tmp_path / "other.safetensors", small("krizhevsky-2012", 3), stirred(small("krizhevsky-2012", 3), 1))
    with pytest.raises(UsageError, match=r"not the model that .* was made with \(krizhevsky-2012"):
        use.model_of(index, other)
    index.document["places"]["model"] = str(tmp_path / "moved.safetensors")
    with pytest.raises(UsageError, match=r"no longer at .*moved.safetensors; say with --model where it is"):
        use.model_of(index, None)
    assert use.model_of(index, model)
