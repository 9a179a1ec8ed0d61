"""Conversion to our model file, by formats made up here; the real ones have tests of their own."""

from __future__ import annotations

import hashlib
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.datasets import load_sample_images

import alexnet as package
from alexnet.cli.main import cli
from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import Input
from alexnet.network.model import build
from alexnet.network.variants import variant
from alexnet.pictures.imagenet import classes as imagenet
from alexnet.weights import catalog, convert, files, labels
from alexnet.weights.catalog import Entry
from alexnet.weights.convert import Hints
from alexnet.weights.formats.foreign import Foreign

PHOTO = load_sample_images().images[0]
RULE = Input(size=32, stored=36, order="BGR", mean=(104.0, 117.0, 123.0), scale=(1.0,) * 3)


def network(classes, seed=0):
    return build(variant("cifar-18pct", classes), size=32, seed=seed).state_dict()


@pytest.fixture
def made_up(monkeypatch):
    """Two formats: files that begin with "none" are of no kind we know, others hold the given network."""
    holds = {"foreign": None}

    def read(path, wanted=None):
        return holds["foreign"]

    other = SimpleNamespace(recognises=lambda path, head: head.startswith(b"other"), read=None)
    right = SimpleNamespace(recognises=lambda path, head: head.startswith(b"made up"), read=read)
    for name, module in {"made_up_other": other, "made_up_right": right}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(convert, "FORMATS", ("made_up_other", "made_up_right"))

    def hold(outputs=10, tensors=None, **more):
        tensors = network(outputs) if tensors is None else tensors
        holds["foreign"] = Foreign("made up", variant("cifar-18pct", outputs), tensors, RULE, **more)

    hold()
    return hold


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"made up weights")
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "m.safetensors"


def test_what_is_written_predicts_as_the_network_it_was_read_from(made_up, file, out):
    report = convert.convert(file, out)
    assert report["format"] == "made up" and report["variant"] == "cifar-18pct" and report["path"] == str(out)
    model = package.load(out, precision="float32")
    view = model.preprocess([PHOTO])
    stock = build(variant("cifar-18pct", 10), size=32).eval()
    stock.load_state_dict(network(10))
    pixels = torch.from_numpy(view[..., ::-1].astype(np.float32) - np.float32(RULE.mean)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        np.testing.assert_allclose(model.logits(view), stock(pixels).numpy(), atol=1e-4)
    assert model.predict([PHOTO])[0]["label"] in {f"class {number}" for number in range(10)}
    trained = model.description.trained
    assert trained["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert str(file.parent) not in out.read_bytes()[:100_000].decode("latin-1")


def test_names_of_classes(made_up, file, out, tmp_path):
    assert convert.convert(file, out)["guessed"] == ["class names"]
    made_up(1000)
    report = convert.convert(file, out)
    assert report["classes"] == list(imagenet.names()) and report["guessed"] == ["class names"]
    made_up(2, classes=("cat", "dog"), guessed=("class names", "resize rule", "mean and scale"))
    report = convert.convert(file, out, Hints(resize="squash"))
    assert report["classes"] == ["cat", "dog"] and report["guessed"] == ["mean and scale"]
    assert report["input"]["resize"] == "squash"
    assert convert.convert(file, out, Hints(["hen", "fox"]))["classes"] == ["hen", "fox"]
    with pytest.raises(UsageError, match=r"3 class names for 2 outputs; .*--labels"):
        convert.convert(file, out, Hints(["hen", "fox", "owl"]))


def broken(change):
    tensors = network(10)
    change(tensors)
    return tensors


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tensors: tensors.pop("conv2.bias"), r"missing conv2.bias \(32,\) float32"),
        (lambda tensors: tensors.update({"fc9.bias": torch.zeros(3)}), "unexpected fc9.bias"),
        (lambda tensors: tensors["conv1.weight"].fill_(float("nan")), "conv1.weight holds values that are not finite"),
        (lambda tensors: tensors["conv1.weight"].fill_(3e38), "not finite numbers"),
    ],
)
def test_what_cannot_predict_is_refused_and_leaves_the_old_file(made_up, file, out, change, message):
    out.write_text("the old one")
    made_up(tensors=broken(change))
    with pytest.raises(WeightsError, match=rf"^{file}: .*{message}"):
        convert.convert(file, out)
    assert out.read_text() == "the old one"
    assert {path.name for path in out.parent.iterdir()} == {file.name, out.name}


def test_files_of_no_known_kind(made_up, tmp_path, out):
    for name, content in {"none": b"none", "empty": b"", "zip": b"PK\x03\x04"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=f"{name}: not of a known format"):
            convert.convert(tmp_path / name, out)
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="no such file"):
            convert.convert(path, out)
    assert not out.exists()


def test_our_own_file_is_checked_and_renamed_classes_kept(made_up, file, out, tmp_path):
    made_up(2, classes=("cat", "dog"))
    convert.convert(file, out)
    again = tmp_path / "again.safetensors"
    report = convert.convert(out, again)
    assert again.read_bytes() == out.read_bytes() and report["classes"] == ["cat", "dog"]
    assert convert.convert(out, again, Hints(["hen", "fox"], resize="pad"))["input"]["resize"] == "pad"
    assert files.describe(again).classes == ("hen", "fox")
    out.write_bytes(out.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        convert.convert(out, tmp_path / "third.safetensors")


LABELS = {
    "one a line": ("labels.txt", "cat\r\n\nguinea pig, cavy\n dog \n", ("cat", "guinea pig, cavy", "dog")),
    "as in synset_words.txt": (
        "s.txt",
        "n02012849 crane\nn03126707 crane\nn99999999 a, b\n",
        ("crane bird", "crane", "a, b"),
    ),
    "as in synsets.txt": ("s.txt", "n02123045\nn02123159\n", ("tabby", "tiger cat")),
    "rows of numbers": ("l.csv", '0,"cat, tame"\n1,dog\n', ("cat, tame", "dog")),
    "rows of synsets": ("l.csv", "n02123045,tabby\nn00000001,b\n", ("tabby", "b")),
    "rows of names": ("l.csv", "cat\ndog\n", ("cat", "dog")),
    "names that repeat": (
        "l.txt",
        "crane\nowl\ncrane\ncrane (0)\n",
        ("crane (0) (0)", "owl", "crane (2)", "crane (0) (3)"),
    ),
}


@pytest.mark.parametrize("name, text, names", LABELS.values(), ids=LABELS.keys())
def test_files_of_names(tmp_path, name, text, names):
    (tmp_path / name).write_text(text)
    assert labels.read(tmp_path / name) == names


def test_files_that_hold_no_names(tmp_path):
    (tmp_path / "labels.bin").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "labels.csv").write_text("a,b,c\n")
    for name in ("labels.bin", "labels.csv", "nowhere.txt", ""):
        with pytest.raises(UsageError):
            labels.read(tmp_path / name)


def test_the_package_names_are_read_back_from_its_own_table(tmp_path):
    (tmp_path / "i.csv").write_text("".join(f"{wnid},{name}\n" for wnid, name in imagenet.synsets().items()))
    assert labels.read(tmp_path / "i.csv") == imagenet.names() == labels.default(1000)


@pytest.fixture
def served(made_up, file, monkeypatch, tmp_path):
    """A catalog of one entry, whose file a server here has."""

    class Handler(BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self):
            type(self).asked += 1
            self.send_response(200)
            self.send_header("Content-Length", str(file.stat().st_size))
            self.end_headers()
            self.wfile.write(file.read_bytes())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    digest = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    facts = ("made up", "cifar-18pct", "", "squash", None, None, "", "", "", 10)
    entry = Entry("toy", "", f"http://127.0.0.1:{server.server_port}/a/w.bin", 15, (digest,), *facts)
    monkeypatch.setattr(catalog, "CATALOG", {"toy": entry})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield Handler
    server.shutdown()
    server.server_close()


def test_fetched_by_name_and_used_by_name(served, tmp_path):
    made_up_report = convert.fetch("toy")
    assert made_up_report["name"] == "toy" and made_up_report["input"]["resize"] == "squash"
    assert package.load("toy").predict([PHOTO])[0]["label"].startswith("class ")
    convert.fetch("toy", tmp_path / "toy.safetensors")
    assert files.describe(tmp_path / "toy.safetensors") == files.describe(catalog.path("toy"))
    assert served.asked == 1
    kept = {path.name for path in catalog.path("toy").parent.iterdir() if not path.name.endswith(".lock")}
    assert kept == {"toy.safetensors"}  # the file that came is as large, and not needed any more


def test_a_file_brought_by_hand_needs_no_network(served, file):
    brought = catalog.path("toy").with_name("w.bin")
    brought.parent.mkdir(parents=True)
    brought.write_bytes(file.read_bytes())
    convert.fetch("toy")
    assert served.asked == 0


def test_the_command(alexnet, made_up, file, out, tmp_path):
    made_up(2)
    convert.convert(file, out)
    (tmp_path / "names.txt").write_text("hen\nfox\n")
    arguments = ("weights", "convert", out, "--out", tmp_path / "n.safetensors", "--labels", tmp_path / "names.txt")
    outcome = alexnet(*arguments, "--resize", "squash", "--json")
    assert outcome.code == 0, outcome.err
    assert {"path", "format", "variant", "classes", "input", "guessed"} <= outcome.json.keys()
    assert outcome.json["classes"] == ["hen", "fox"] and outcome.json["input"]["resize"] == "squash"
    assert "class names (--labels)" in outcome.err and len(outcome.err.splitlines()) == 1
    with pytest.raises(UsageError, match="--force"):
        CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
