"""`alexnet explain`: what it writes for each method, and what it answers where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smallnets
from click.testing import CliRunner
from PIL import Image

from alexnet.cli.main import cli
from alexnet.insight.explanations import explain
from alexnet.use.explain import file_names
from alexnet.use.export import export
from alexnet.weights.model import load

HEAT = [
    ["grad-cam"],
    ["grad-cam", "--layer", "conv2", "--kind", "local"],
    ["saliency"],
    ["saliency", "--kind", "guided"],
]
HEAT += [["saliency", "--kind", "smoothed"], ["occlusion", "--window", "30", "--stride", "30"]]


class Said:
    """How a command ended."""

    def __init__(self, arguments: list[str]) -> None:
        result = CliRunner().invoke(cli, arguments)
        self.out, self.err = result.stdout, result.stderr
        self.code = getattr(result.exception, "exit_code", result.exit_code)
        self.error = str(result.exception) if result.exception else ""
        if self.code == 1:
            raise result.exception or AssertionError(self.err)

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smallnets.saved(tmp_path_factory.mktemp("explain") / "m.safetensors", "krizhevsky-2012")


@pytest.fixture
def explained(model: Path, tmp_path: Path) -> Callable[..., Said]:
    """Runs the command with that model and a folder of its own."""

    def run(*arguments: str | Path, model: Path = model, out: str = "out") -> Said:
        return Said(["explain", *map(str, arguments), "--model", str(model), "--out", str(tmp_path / out)])

    return run


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("method", HEAT, ids=" ".join)
def test_each_method_draws_the_exact_input_beside_its_heat(explained, model, cat, tmp_path, method) -> None:
    said = explained(cat, "--method", *method, "--target", "class 3", "--arrays", "--json")
    (entry,) = said.json["pictures"]
    assert said.code == 0 and entry["target"] == "class 3" and said.json["files"] == entry["files"]
    assert [Path(file).name for file in entry["files"]] == [f"cat.{method[0]}.png", f"cat.{method[0]}.npy"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(Path(f).name for f in entry["files"])
    drawn, seen = np.asarray(Image.open(entry["files"][0])), load(model).preprocess(cat)[0]
    magnified = seen.repeat(4, 0).repeat(4, 1)  # 67 pixels to at least 224
    np.testing.assert_array_equal(drawn[-10 - 268 : -10, 10 : 10 + 268], magnified)
    assert drawn.shape[1] == 2 * 10 + 3 * 268 + 2 * 8
    evidence = np.load(entry["files"][1])
    assert evidence.shape == (67, 67) and evidence.dtype == np.float32


def test_grad_cam_as_an_array_is_that_of_python(explained, model, cat) -> None:
    explained(cat, "--method", "grad-cam", "--layer", "conv4", "--target", "2", "--arrays")
    loaded = load(model)
    expected = explain.evidence(loaded, loaded.preprocess(cat), "conv4", 2)[0]
    np.testing.assert_array_equal(np.load(cat.parent / "out" / "cat.grad-cam.npy"), expected)


def test_activations_of_one_layer_or_of_every_convolution(explained, cat) -> None:
    said = explained(cat, "--method", "activations", "--json")
    names = [f"cat.relu{number}.png" for number in range(1, 6)]
    assert [Path(file).name for file in said.json["files"]] == names
    said = explained(cat, "--method", "activations", "--layer", "fc8", "--arrays", "--json", out="fc8")
    assert np.load(said.json["files"][1]).shape == (7,)


def test_a_picture_that_is_refused_never_loses_the_others(explained, cat, tmp_path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    said = explained(broken, cat, tmp_path / "missing.png", "--method", "saliency", "--json")
    assert said.code == 3 and "2 of 3 pictures refused" in said.err
    first, second, third = said.json["pictures"]
    assert "error" in first and "error" in third and "exit_code" not in first
    assert Path(second["files"][0]).is_file()
    said = explained(broken, "--method", "saliency", "--json", out="none")
    assert said.code == 3 and said.json["files"] == [] and not (tmp_path / "none").exists()


def test_patches_of_named_pictures_and_of_data(explained, photos, tmp_path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    named = explained(photos, "--method", "patches", "--layer", "conv2", "--units", "3,0-1", "--count", "2", "--json")
    assert named.code == 3 and [entry["unit"] for entry in named.json["units"]] == [3, 0, 1]
    assert [Path(file).name for file in named.json["files"]] == ["patches.png", "patches.csv"]
    (photos / "broken.png").unlink()
    options = ("--method", "patches", "--layer", "conv2", "--units", "3,0-1", "--count", "2", "--json")
    given = explained("--data", photos, "--split", "train", *options, out="data")
    assert given.code == 0 and len((tmp_path / "data" / "patches.csv").read_text().splitlines()) == 7
    best = {entry["unit"]: entry["patches"][0]["value"] for entry in named.json["units"]}
    assert all(entry["patches"][0]["value"] <= best[entry["unit"]] + 1e-4 for entry in given.json["units"])
    left, top, right, bottom = given.json["units"][0]["patches"][0]["box"]
    assert 0 <= left < right <= 67 and 0 <= top < bottom <= 67


def test_units_of_the_last_layer_are_called_by_their_classes(explained, cat) -> None:
    said = explained(cat, "--method", "patches", "--layer", "fc8", "--json")
    assert [entry["name"] for entry in said.json["units"]] == [f"class {number}" for number in range(7)]


def test_kernels_of_a_model_and_over_the_epochs_of_a_run(explained, model, tmp_path) -> None:
    said = explained("--method", "kernels", "--arrays", "--json")
    assert [Path(file).name for file in said.json["files"]] == ["kernels.png", "kernels.npy"]
    run = tmp_path / "run"
    (run / "kernels").mkdir(parents=True)
    (run / "best.safetensors").write_bytes(model.read_bytes())
    for epoch in range(1, 13):
        np.save(run / "kernels" / f"{epoch:04d}.npy", np.full((96, 3, 11, 11), epoch, np.float32))
    said = explained("--method", "kernels", "--json", model=run, out="run-kernels")
    assert [Path(file).name for file in said.json["files"]] == ["kernels.png", "kernels.gif", "kernels-epochs.png"]
    with Image.open(said.json["files"][1]) as animation:
        assert animation.n_frames == 12


def test_an_onnx_file_is_explained_as_far_as_it_goes(explained, model, cat, tmp_path) -> None:
    export(model, "onnx", tmp_path / "m.onnx")
    onnx = tmp_path / "m.onnx"
    one = explained(cat, "--method", "occlusion", "--window", "30", "--arrays", model=onnx)
    two = explained(cat, "--method", "occlusion", "--window", "30", "--arrays", out="torch")
    assert one.code == two.code == 0
    left, right = (np.load(tmp_path / out / "cat.occlusion.npy") for out in ("out", "torch"))
    assert abs(left - right).max() < 0.3 * abs(right).max()  # int8 in torch's fast form
    assert explained("--method", "kernels", model=onnx, out="kernels").code == 0
    for method in ("grad-cam", "saliency", "activations"):
        said = explained(cat, "--method", method, model=onnx, out="no")
        assert said.code == 2 and "take the model that it was exported from" in said.error
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "grad-cam"], "--method grad-cam explains pictures: give at least one INPUT"),
        (["CAT", "--method", "grad-cam", "--layer", "conv6"], "did you mean 'conv5'"),
        (["CAT", "--method", "grad-cam", "--kind", "guided"], "unknown kind of Grad-CAM 'guided'"),
        (["CAT", "--method", "grad-cam", "--target", "cat"], "unknown class 'cat'"),
        (["CAT", "--method", "grad-cam", "--target", "7"], "no class 7"),
        (["CAT", "--method", "grad-cam", "--window", "9"], "--window belongs to --method occlusion, not to grad-cam"),
        (["CAT", "--method", "saliency", "--data", "patterns"], "--data belongs to --method patches"),
        (["CAT", "--method", "kernels"], "takes no pictures"),
        (["--method", "patches"], "give either --data DATA or INPUT"),
        (["CAT", "--method", "patches", "--data", "patterns"], "give either --data DATA or INPUT"),
        (["CAT", "--method", "patches", "--split", "test"], "--split chooses a part of --data"),
        (["CAT", "--method", "patches", "--units", "2-1"], "the layer has 256 units"),
        (["CAT", "--method", "patches", "--units", "256"], "the layer has 256 units, 0 to 255"),
        (["CAT", "--method", "patches", "--units", "a"], "expected numbers and ranges such as 0-15,40"),
        (["CAT", "--method", "patches", "--layer", "relu9"], "unknown layer 'relu9'"),
        (["CAT", "--method", "occlusion", "--window", "99"], "a window of 99 does not fit"),
        (["CAT", "--method", "deep-dream"], "is not one of"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(explained, cat, tmp_path, arguments, message) -> None:
    said = explained(*[str(cat) if word == "CAT" else word for word in arguments])
    assert said.code == 2 and message in said.error + said.err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_overwritten_by_force_alone(explained, cat) -> None:
    assert explained(cat, "--method", "saliency").code == 0
    again = explained(cat, "--method", "saliency")
    assert again.code == 2 and "overwrite what is in it with --force" in again.error
    assert explained(cat, "--method", "saliency", "--force").code == 0


def test_files_of_one_name_get_numbers() -> None:
    paths = ["a/cat.jpg", "b/cat.png", "b/Cat-2.jpg", "https://x.org/cat.jpg?size=3", "https://x.org/"]
    assert file_names(paths) == ["cat", "cat-2", "Cat-2-2", "cat-3", "picture"]


@pytest.mark.parametrize(("name", "classes"), [("lenet-5", 10), ("batch-norm", 2), ("torchvision", 1000)])
def test_other_networks_with_few_and_many_classes(explained, cat, tmp_path, name, classes) -> None:
    other = smallnets.saved(tmp_path / "other.safetensors", name, classes)
    for method in (["grad-cam"], ["saliency"], ["occlusion", "--window", "16"], ["activations"], ["kernels"]):
        inputs = [] if method == ["kernels"] else [cat]
        assert explained(*inputs, "--method", *method, model=other, out=method[0]).code == 0
    drawn = np.asarray(Image.open(tmp_path / "grad-cam" / "cat.grad-cam.png")).astype(int)
    colours = np.ptp(drawn[-200:-20, 20:200], axis=2).max()  # of the input: a network of grey pictures is shown grey
    assert (colours == 0) == (name == "lenet-5")
    layer = explain.last_convolution(load(other).variant)
    assert explained(cat, "--method", "patches", "--layer", layer, model=other, out="patches").code == 0
