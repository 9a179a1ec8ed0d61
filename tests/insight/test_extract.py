"""Folders of features: what lies in them, what may not be overwritten, and that a kill costs nothing but time."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from networks import described, saved, small, stirred

import alexnet
from alexnet.errors import PictureError, StorageError, UsageError
from alexnet.insight.features import extract as module
from alexnet.insight.features import folder as feature_folder
from alexnet.insight.features.extract import extract
from alexnet.network.variants import variant
from alexnet.pictures.limits import Limits
from alexnet.weights import onnx_graph

KILLING = Path(__file__).with_name("killing.py")
CLASSES = ("class 0", "class 1", "class 2")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    description = small("krizhevsky-2012", 3)
    return saved(tmp_path_factory.mktemp("model") / "m.safetensors", description, stirred(description))


@pytest.fixture
def photos(tmp_path, easy_picture):
    """Twelve pictures each of two of the model's classes and of something else, one of them broken."""
    for kind, name in enumerate(("class 0", "class 2", "other")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            easy_picture(kind, number).save(tmp_path / "photos" / name / f"{number:02d}.png")
    (tmp_path / "photos" / "class 2" / "05.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def listing(folder):
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_picture_and_the_refused_are_listed(model, photos, tmp_path):
    out = tmp_path / "out"
    found = extract(model, [str(photos)], out, ["fc7", "pool5", "fc7"])
    assert found["rows"] == 35 and found["refused"] == 1 and found["code"] == PictureError.exit_code
    assert found["layers"] == {"fc7": [96], "pool5": [256, 1, 1]}
    entries = listing(out)
    assert [entry["path"] for entry in entries] == sorted(str(path) for path in photos.rglob("*.png"))
    refused = [entry for entry in entries if not entry["row"]]
    assert [entry["error"] for entry in refused] == ["not a picture of a known format"]
    rows = [entry for entry in entries if entry["row"]]
    assert [entry["row"] for entry in rows] == [str(row) for row in range(35)]
    assert {(Path(e["path"]).parent.name, e["label"]) for e in rows} == {("other", ""), *((c, c) for c in CLASSES[::2])}
    loaded = alexnet.load(model, precision="float32")
    for layer in ("fc7", "pool5"):
        expected = loaded.features([entry["path"] for entry in rows], layer)
        array = np.load(out / f"{layer}.npy")
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        squares = np.square(array.astype(np.float64)).sum(axis=tuple(range(1, array.ndim)))
        np.testing.assert_allclose(np.load(out / f"{layer}.squares.npy"), squares, rtol=1e-12)
    assert not (tmp_path / "out.unfinished").exists()


def test_pictures_of_data(model, photos, tmp_path):
    (photos / "class 2" / "05.png").unlink()
    (photos / "other").rename(photos / "class 1")
    (photos / "train").mkdir()
    for name in CLASSES:
        (photos / name).rename(photos / "train" / name)
        (photos / "test" / name).mkdir(parents=True)
        (photos / "train" / name / "11.png").rename(photos / "test" / name / "11.png")
    everything, test = tmp_path / "all", tmp_path / "test"
    assert extract(model, [], everything, ["fc7"], data=photos)["rows"] == 35
    assert extract(model, [], test, ["fc7"], data=photos, split="test")["rows"] == 3
    assert [(e["path"], e["label"]) for e in listing(test)] == [(f"test/{name}/11.png", name) for name in CLASSES]
    entries = listing(everything)
    places = [row for row, entry in enumerate(entries) if entry["path"].startswith("test")]
    np.testing.assert_allclose(np.load(everything / "fc7.npy")[places], np.load(test / "fc7.npy"), atol=1e-4)
    files = [str(photos / entry["path"]) for entry in entries]
    expected = alexnet.load(model).features(files)
    np.testing.assert_allclose(np.load(everything / "fc7.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(UsageError, match="no split 'tset'; there is train, test"):
        extract(model, [], tmp_path / "x", data=photos, split="tset")


def test_parquet_holds_the_same(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("alexnet.insight.features.parquet.VALUES", 1000)  # several groups of rows
    arrays, table = tmp_path / "arrays", tmp_path / "table"
    for out, form in ((arrays, "npy"), (table, "parquet")):
        extract(model, [str(photos)], out, ["fc7", "pool5"], form=form)
    assert sorted(os.listdir(table)) == ["features.json", "features.parquet", "index.csv"]
    assert (arrays / "index.csv").read_bytes() == (table / "index.csv").read_bytes()
    found = pyarrow.parquet.read_table(table / "features.parquet").to_pydict()
    entries = [entry for entry in listing(table) if entry["row"]]
    assert found["path"] == [entry["path"] for entry in entries]
    assert found["label"] == [entry["label"] or None for entry in entries]
    for layer in ("fc7", "pool5"):
        assert np.array_equal(np.array(found[layer], np.float32), np.load(arrays / f"{layer}.npy").reshape(35, -1))


def test_one_picture_and_none_that_can_be_read(model, photos, tmp_path):
    one, bad = str(photos / "other" / "03.png"), str(photos / "class 2" / "05.png")
    assert extract(model, [one], tmp_path / "one")["rows"] == 1
    for form in ("npy", "parquet"):
        found = extract(model, [bad, "nowhere.png"], tmp_path / form, ["pool5"], form=form)
        assert found["rows"] == 0 and found["refused"] == 2
    assert np.load(tmp_path / "npy" / "pool5.npy").shape == (0, 256, 1, 1)


def test_limits_are_the_users(model, photos, tmp_path):
    found = extract(model, [str(photos)], tmp_path / "out", limits=Limits(pixels=1599))  # they have 40 x 40
    assert found["rows"] == 0 and found["refused"] == 36
    assert "40 x 40 pixels are more than the limit" in (tmp_path / "out" / "index.csv").read_text()


# ----------------------------------------------------------------------------------------------------- stopped, gone on


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_call_it_goes_on_to_the_same_bytes(tmp_path, easy_picture, step):
    pictures, folder = tmp_path / "pictures", tmp_path / "folder"
    for path in (pictures, folder):
        path.mkdir()
    for number in range(40):  # a full batch, and another
        easy_picture(0, number).resize((8, 8)).save(pictures / f"{number:02d}.png")
    (pictures / "05.png").write_bytes(b"no picture")
    command = [sys.executable, str(KILLING), str(pictures), str(folder), str(step)]
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # no threads when it forks
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600, env=alone, check=False)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) > 80 // step


def test_interrupted_it_keeps_what_it_has(model, photos, tmp_path, monkeypatch):
    out, whole = tmp_path / "out", tmp_path / "whole"
    extract(model, [str(photos)], whole)
    batches = module.of_batch
    calls = []

    def stopped(*arguments):
        calls.append(arguments)
        if len(calls) == 3:  # the first tries the layers on a blank picture
            raise KeyboardInterrupt
        return batches(*arguments)

    monkeypatch.setattr(module, "of_batch", stopped)
    with pytest.raises(KeyboardInterrupt):
        extract(model, [str(photos)], out)
    assert not out.exists()
    assert json.loads((tmp_path / "out.unfinished" / "features.json").read_text())["state"]["done"] == 32
    with pytest.raises(UsageError, match=r"begun and not finished; go on with --resume, or begin anew with --force"):
        extract(model, [str(photos)], out)
    extract(model, [str(photos)], out, resume=True)
    assert {f.name: f.read_bytes() for f in out.iterdir()} == {f.name: f.read_bytes() for f in whole.iterdir()}
    assert extract(model, [str(photos)], out, resume=True)["rows"] == 35  # complete: says so


def test_what_may_not_change_on_resume(model, photos, tmp_path):
    out = tmp_path / "out"
    extract(model, [str(photos)], out)
    out.rename(tmp_path / "out.unfinished")
    other = saved(tmp_path / "other.safetensors", small("krizhevsky-2012", 3), stirred(small("krizhevsky-2012", 3), 1))
    for words, change in (
        ("model.sha256", {"model": other}),
        ("layers was fc7 and is relu7", {"layers": ["relu7"]}),
        ("pictures.count was 36 and is 12", {"inputs": [str(photos / "other")]}),
        ("precision was float32 and is auto", {"precision": "auto"}),
        ("form was npy and is parquet", {"form": "parquet"}),
    ):
        given = {"model": model, "inputs": [str(photos)], "out": out, "layers": ["fc7"]} | change
        with pytest.raises(UsageError, match=words):
            extract(**given, resume=True)
    assert extract(model, [str(photos)], out, resume=True)["rows"] == 35


def test_two_do_not_write_one_folder(model, photos, tmp_path):
    with feature_folder.own(tmp_path / "out.unfinished"), pytest.raises(UsageError, match="another process is writing"):
        extract(model, [str(photos)], tmp_path / "out", resume=True)


def test_a_disk_that_is_full_says_how_to_go_on(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.insight.features.growing.os.fsync", full)
        with pytest.raises(StorageError, match=r"No space left on device; once that is mended, repeat .* --resume"):
            extract(model, [str(photos)], tmp_path / "out")
    assert extract(model, [str(photos)], tmp_path / "out", resume=True)["rows"] == 35


# --------------------------------------------------------------------------------------------------- what is in the way


def test_nothing_is_overwritten_unasked(model, photos, tmp_path):
    one, out = [str(photos / "other")], tmp_path / "out"
    extract(model, [str(photos)], out)
    with pytest.raises(UsageError, match="exists; choose another --out, or overwrite it with --force"):
        extract(model, one, out)
    with pytest.raises(UsageError, match="was 36 and is 12"):
        extract(model, one, out, resume=True)
    assert extract(model, one, out, ["pool5"], force=True)["rows"] == 12
    assert sorted(os.listdir(out)) == ["features.json", "index.csv", "pool5.npy", "pool5.squares.npy"]


@pytest.mark.parametrize("name", ["out", "out.unfinished"])
def test_other_peoples_folders_stay(model, photos, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "thesis.npy").write_bytes(b"years of work")
    with pytest.raises(UsageError, match=r"holds thesis.npy, which is no part of features"):
        extract(model, [str(photos)], tmp_path / "out", force=True)
    assert (folder / "thesis.npy").exists()
    (folder / "thesis.npy").unlink()
    (folder / "inner").mkdir()
    (folder / "features.json").write_text("{}")
    with pytest.raises(UsageError, match="holds inner"):
        extract(model, [str(photos)], tmp_path / "out", force=True)


def test_a_file_is_in_the_way(model, photos, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="no part of features"):
        extract(model, [str(photos)], tmp_path / "out", force=True)


def test_pictures_or_data_one_of_the_two(model, photos, tmp_path):
    for inputs, data in (([], None), (["x.png"], photos)):
        with pytest.raises(UsageError, match=r"takes INPUT... or --data DATA"):
            extract(model, inputs, tmp_path / "out", data=data)


def test_data_is_read_where_it_lies(model, photos, tmp_path):
    """Refused before anything is written, so that the command can be mended and repeated."""
    with pytest.raises(UsageError, match="--engine ray takes INPUT"):
        extract(model, [], tmp_path / "out", data=photos, spread=lambda *_: iter(()))
    assert not list(tmp_path.glob("out*"))


# -------------------------------------------------------------------------------------------------- on the command line


def test_as_a_command(alexnet, model, photos, tmp_path):
    arguments = ("features", photos, "--model", model, "--layers", "fc7, relu7", "--out", tmp_path / "out")
    outcome = alexnet(*arguments, "--json")
    assert outcome.code == 3 and outcome.err.endswith(f"1 of 36 pictures refused, listed in {tmp_path}/out/index.csv\n")
    assert outcome.json.keys() == {
        *("path", "rows", "refused", "layers", "bytes", "seconds", "pictures_per_second"),
    }
    fc7, relu7 = (np.load(tmp_path / "out" / f"{layer}.npy") for layer in ("fc7", "relu7"))
    assert (fc7 < 0).any() and np.array_equal(np.maximum(fc7, 0), relu7)
    wrong = alexnet("features", photos, "--model", model, "--layers", "fc77", "--out", tmp_path / "wrong")
    assert wrong.code == 2 and "did you mean 'fc7'" in wrong.err and not list(tmp_path.glob("wrong*"))


def test_the_documents_python(model, photos, tmp_path, monkeypatch, easy_picture):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    shutil.copyfile(model, tmp_path / "runs" / "photos" / "best.safetensors")
    for name in ("cat.jpg", "dog.jpg"):
        easy_picture(0, 7).save(tmp_path / name)
    extract("runs/photos", ["photos"], "photos-features")
    text = (Path(__file__).parents[2] / "docs" / "features.md").read_text("utf-8")
    ours = [
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "alexnet" in block
    ]
    names = {"alexnet": alexnet}
    for block in ours:
        exec(block, names)
    assert len(ours) == 2 and names["rows"].shape == (1, 8) and names["rows"][0, 0] == 7


def test_an_onnx_file_needs_no_torch(photos, tmp_path):
    description = described(variant("lenet-5", 3), 32)
    onnx_graph.write(tmp_path / "m.onnx", description, stirred(description))
    code = "import sys; from alexnet.cli.main import main\ntry: main(sys.argv[1:])\nexcept SystemExit as end: "
    code += "sys.exit(9 if {'torch', 'onnx'} & set(sys.modules) else end.code)"
    index = str(tmp_path / "out")
    for arguments in (
        ["features", str(photos), "--model", str(tmp_path / "m.onnx"), "--out", index],
        ["neighbours", str(photos / "other"), "--index", index, "--count", "3"],
    ):
        answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert answer.returncode == (3 if arguments[0] == "features" else 0), answer.stderr
