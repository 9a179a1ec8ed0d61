"""Shares of many pictures: together they are the whole, to the byte; and no number of pictures fills the memory."""

from __future__ import annotations

import filecmp
import json
import shutil
import tracemalloc
from itertools import chain, pairwise

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import described

from alexnet.cli.main import cli
from alexnet.errors import UsageError
from alexnet.insight.features import extract as extracting
from alexnet.network.variants import variant
from alexnet.pictures.jobs import Shard
from alexnet.use.predict import predict
from alexnet.use.writing import FORMS, writing
from alexnet.weights.model import Model

COUNT = 70  # two full batches and a bit


@pytest.fixture(scope="module")
def place(tmp_path_factory, model_and_pictures):
    """A model and its pictures, one of them broken."""
    return model_and_pictures(tmp_path_factory.mktemp("shards"), COUNT)


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Runs a command on the pictures, in this process; gives its exit code and what it wrote."""
    monkeypatch.chdir(place)

    def call(command, *arguments):
        code = 0
        try:
            cli.main([command, "photos", "--model", "m.safetensors", *map(str, arguments)], standalone_mode=False)
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return call


@given(count=st.integers(0, 10_000), of=st.integers(1, 300), batch=st.integers(1, 64))
def test_shards_are_all_pictures_once_in_whole_batches(count, of, batch):
    places = [Shard(number, of).places(count, batch) for number in range(of)]
    assert [place for some in places for place in range(some.start, some.stop)] == list(range(count))
    assert all(one.stop == other.start and other.start % batch in (0, count % batch) for one, other in pairwise(places))
    sizes = [-(-(some.stop - some.start) // batch) for some in places]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["8/8", "9/8", "0/0", "-1/8", "1", "1/8/2", "a/b", ""])
def test_what_is_no_shard(run, text):
    with pytest.raises(UsageError, match=r"--shard .*(0/8|expected i/n)"):
        run("predict", "--shard", text)


@pytest.mark.parametrize("ending", FORMS)
def test_predictions_of_shards_merge_to_the_same_bytes(run, tmp_path, ending):
    whole, merged, parts = tmp_path / f"whole{ending}", tmp_path / f"merged{ending}", tmp_path / "parts"
    parts.mkdir()
    code, said = run("predict", "--out", whole, "--json")
    assert code == 3 and len(json.loads(said)) == COUNT
    answers = []
    for number in range(5):  # more than there are batches
        code, some = run("predict", "--out", parts / f"{number}{ending}", "--shard", f"{number}/5", "--json")
        answers.append(json.loads(some))
        assert code == (3 if any("error" in entry for entry in answers[-1]) else 0)
    assert list(chain(*answers)) == json.loads(said) and sum(map(bool, answers)) == 3
    code, document = run("predict", "--out", merged, "--merge", parts, "--json")
    assert code == 3 and json.loads(document) == {"path": str(merged), "pictures": COUNT, "refused": 1, "parts": 5}
    assert filecmp.cmp(whole, merged, shallow=False)
    if ending == ".json":
        assert json.loads(whole.read_text()) == json.loads(said)


def test_what_cannot_be_merged(run, tmp_path):
    parts, out = tmp_path / "parts", tmp_path / "out.csv"
    parts.mkdir()
    for number in range(3):
        run("predict", "--out", parts / f"{number}.csv", "--shard", f"{number}/3")
    shutil.copyfile(parts / "1.csv", parts / "copy.csv")
    with pytest.raises(UsageError, match=r"copy.csv: holds pictures that other parts hold too"):
        run("predict", "--out", out, "--merge", parts)
    (parts / "copy.csv").unlink()
    (parts / "1.csv").rename(tmp_path / "1.csv")
    with pytest.raises(UsageError, match=r"no part begins with photos/32.png, picture 33 of 70: a shard is missing"):
        run("predict", "--out", out, "--merge", parts)
    lines = (tmp_path / "1.csv").read_text().splitlines(keepends=True)
    (parts / "1.csv").write_text("".join(lines[:5] + lines[6:]))
    with pytest.raises(UsageError, match=r"1.csv: photos/37.png is not the picture 37 of 70"):
        run("predict", "--out", out, "--merge", parts)
    (parts / "1.csv").write_text("name,weight\nash,1\n")
    with pytest.raises(UsageError, match=r"1.csv: not answers of alexnet predict"):
        run("predict", "--out", out, "--merge", parts)
    with pytest.raises(UsageError, match="nothing there that --shard wrote"):
        run("predict", "--out", tmp_path / "out.json", "--merge", parts)
    assert not out.exists()


@pytest.mark.parametrize("form", [[], ["--parquet"]])
def test_features_of_shards_merge_to_the_same_bytes(run, tmp_path, monkeypatch, form):
    monkeypatch.setattr("alexnet.insight.features.parquet.VALUES", 20_000)  # several groups of rows
    whole, merged, parts = tmp_path / "whole", tmp_path / "merged", tmp_path / "parts"
    parts.mkdir()
    ask = ("features", "--layers", "fc4,conv1", *form)
    assert run(*ask, "--out", whole)[0] == 3
    for number in range(2):
        run(*ask, "--out", parts / f"{number}", "--shard", f"{number}/4")  # of nothing, and of a batch
    with monkeypatch.context() as patch:  # stopped after a batch, and gone on with
        compute = extracting.of_batch

        def stopped(model, chunk, *rest):
            if len(chunk) == COUNT % 32:
                raise KeyboardInterrupt
            return compute(model, chunk, *rest)

        patch.setattr(extracting, "of_batch", stopped)
        with pytest.raises(click.Abort):
            run(*ask, "--out", parts / "2", "--shard", "1/2")
    with pytest.raises(UsageError, match=r"2.unfinished: begun and not finished; .* --resume"):
        run(*ask, "--out", merged, "--merge", parts)
    assert run(*ask, "--out", parts / "2", "--shard", "1/2", "--resume")[0] == 3
    assert run(*ask, "--out", merged, "--merge", parts, "--resume")[0] == 3
    names = sorted(file.name for file in whole.iterdir())
    assert filecmp.cmpfiles(whole, merged, names, shallow=False) == (names, [], [])
    assert sorted(file.name for file in merged.iterdir()) == names


def test_features_that_cannot_be_merged(run, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for number in range(2):
        run("features", "--out", parts / f"{number}", "--shard", f"{number}/2", "--layers", "fc4")
    with pytest.raises(UsageError, match="differs from what is merged: layers was fc4 and is fc5; make it anew"):
        run("features", "--out", tmp_path / "other", "--merge", parts, "--layers", "fc5")
    (parts / "1" / "fc4.npy").write_bytes((parts / "0" / "fc4.npy").read_bytes()[:-4])
    with pytest.raises(UsageError, match="1: damaged"):
        run("features", "--out", tmp_path / "out", "--merge", parts, "--layers", "fc4")


class Zeros:
    def __call__(self, pictures):
        return np.zeros((len(pictures), 1000), np.float32)


def test_memory_does_not_grow_with_the_pictures(place, tmp_path):
    """Answers of 300 classes each, 75 kB: those of all would be 7 MB."""
    model, picture = Model(Zeros(), described(variant("lenet-5", 1000), 32)), str(place / "photos" / "00.png")
    for ending in FORMS:
        tracemalloc.start()
        with writing(tmp_path / f"answers{ending}") as put:
            for entry in predict(model, [picture] * 96, top=300):
                put(entry)
            held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held < 4e6
