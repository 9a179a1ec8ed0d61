"""`alexnet compress`: a model many times smaller that is a MODEL everywhere."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import alexnet
from alexnet.errors import WeightsError
from alexnet.use.compress import compress
from alexnet.use.export import export
from alexnet.weights import files


@pytest.fixture(scope="module")
def work(tmp_path_factory, easy_picture):
    """A folder with data, a trained model and the same one compressed."""
    root = tmp_path_factory.mktemp("compress")
    for part, count in (("train", 24), ("test", 8)):
        for kind, name in enumerate(("ash", "birch", "cedar")):
            (root / "photos" / part / name).mkdir(parents=True)
            for number in range(count):
                easy_picture(kind, number + 100 * (part == "test")).save(
                    root / "photos" / part / name / f"{number}.png"
                )
    settings = ["learning_rate=0.01", "batch_size=16"]
    alexnet.train(root / "photos", out=root / "run", variant="lenet-5", epochs=40, settings=settings)
    document = compress(root / "run", root / "photos", root / "small.safetensors", ratio=6, epochs=20)
    (root / "answer.json").write_text(json.dumps(document))
    return root


def test_much_smaller_and_nearly_as_good(work):
    found = json.loads((work / "answer.json").read_text())
    run = json.loads((work / "run" / "evaluation.json").read_text())
    size = (work / "small.safetensors").stat().st_size
    assert found["bytes"] == size and found["ratio"] > 4
    assert found["ratio"] == pytest.approx(
        sum(t.nbytes for t in load_file(work / "run/best.safetensors").values()) / size
    )
    assert (found["split"], found["images"]) == ("test", 24)
    assert found["top1_before"] == pytest.approx(run["top1"], abs=1 / 24)
    assert found["top1_after"] >= found["top1_before"] - 0.1
    scores = files.describe(work / "small.safetensors").scores
    assert scores["test"]["top1"] == found["top1_after"]


def test_one_in_ten_weights_of_32_values(work):
    """Read with nothing but numpy and zlib."""
    import zlib

    tensors = load_file(work / "small.safetensors")
    gaps = np.frombuffer(zlib.decompress(tensors["fc4.weight.gaps"].tobytes(), -15), np.uint8)
    codes = np.frombuffer(zlib.decompress(tensors["fc4.weight.codes"].tobytes(), -15), np.uint8)
    assert len(tensors["fc4.weight.codebook"]) <= 32
    weight, place = np.zeros(84 * 120, np.float32), -1
    values = iter(tensors["fc4.weight.codebook"][codes])
    for gap in gaps:
        place += 255 if gap == 255 else int(gap) + 1
        if gap != 255:
            weight[place] = next(values)
    assert next(values, None) is None
    network = alexnet.load(work / "small.safetensors").engine.plain
    np.testing.assert_array_equal(weight.reshape(84, 120), network.fc4.weight.numpy())


def test_fast_and_plain_answers_agree(work):
    pictures = sorted((work / "photos" / "test").rglob("*.png"))
    fast, plain = (alexnet.load(work / "small.safetensors", precision=p) for p in ("auto", "float32"))
    stored = fast.preprocess(pictures)
    difference = np.abs(fast.logits(stored) - plain.logits(stored)).max()
    assert difference < 0.05 * np.abs(plain.logits(stored)).max()


@pytest.mark.usefixtures("undrawn")
def test_a_model_everywhere(work, tmp_path):
    small, photos = work / "small.safetensors", work / "photos"
    scores = json.loads((work / "answer.json").read_text())
    assert alexnet.evaluate(small, photos).scores["top1"] == pytest.approx(scores["top1_after"])
    assert export(small, "onnx", tmp_path / "small.onnx")["top1_agreement"] == 1
    assert export(small, "safetensors", tmp_path / "wide.safetensors")["max_abs_difference"] == 0
    assert load_file(tmp_path / "wide.safetensors")["fc4.weight"].shape == (84, 120)
    found = alexnet.train(photos, weights=small, epochs=1, out=tmp_path / "on", settings=["batch_size=16"])
    assert found["last"]["train_loss"] < 1.5


@pytest.mark.parametrize("part", ["gaps", "codes", "codebook"])
@pytest.mark.parametrize("change", ["missing", "cut", "zero"])
def test_a_damaged_part_is_named(work, tmp_path, part, change):
    small = work / "small.safetensors"
    tensors = load_file(small)
    values = tensors.pop(f"fc4.weight.{part}")
    if change != "missing":
        tensors[f"fc4.weight.{part}"] = values[:-1] if change == "cut" else values[:0]
    metadata = {files.KEY: json.dumps(files.describe(small).to_json())}
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"fc4\.weight"):
        alexnet.load(tmp_path / "bad.safetensors")


def test_compressed_once_more(work, tmp_path):
    found = compress(work / "small.safetensors", work / "photos", tmp_path / "again.safetensors", ratio=6, epochs=1)
    assert found["ratio"] > 4


def test_what_cannot_be_compressed(work, tmp_path, alexnet):
    other = shutil.copytree(work / "photos", tmp_path / "other")
    for part in ("train", "test"):
        (other / part / "ash").rename(other / part / "elm")
    outcome = alexnet("compress", work / "run", "--data", other, "--out", tmp_path / "x.safetensors")
    assert outcome.code == 2 and "its classes are not the model's" in outcome.err and "Traceback" not in outcome.err
    assert not list(tmp_path.glob("*x.safetensors*"))
    outcome = alexnet("compress", work / "run", "--data", work / "photos", "--out", work / "small.safetensors")
    assert outcome.code == 2 and "--force" in outcome.err
    outcome = alexnet("compress", work / "run", "--data", work / "photos", "--out", tmp_path / "x.onnx")
    assert outcome.code == 2 and ".safetensors" in outcome.err
