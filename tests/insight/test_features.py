"""What layers give: against hooks in torch, against ONNX Runtime, across batch sizes, in every form of a network."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import onnx
import pytest
import torch
from networks import described, saved, small, stirred
from photographs import cuts

import alexnet
from alexnet.errors import AlexNetError, PictureError, UsageError
from alexnet.insight.features.layers import features
from alexnet.network import architecture as a
from alexnet.network.inference import converted, values
from alexnet.network.layers import Pixels
from alexnet.network.model import skeleton
from alexnet.network.variants import variant
from alexnet.pictures import inputs
from alexnet.pictures.batches import AHEAD
from alexnet.weights import files, onnx_graph
from alexnet.weights.model import BATCH
from alexnet.weights.onnx_layers import more_outputs

NETWORKS = {  # normalisation of every kind, folded and not; untied; grey; one output for two classes; a thousand
    "krizhevsky-2012": lambda: small("krizhevsky-2012", 10),
    "batch-norm": lambda: small("batch-norm", 2),
    "torchvision": lambda: small("torchvision", 1000),
    "yenigun-batch-norm": lambda: small("yenigun-batch-norm"),
    "cifar-11pct": lambda: described(variant("cifar-11pct"), 24),
    "lenet-5": lambda: described(variant("lenet-5"), 32),
}


class Lab:
    """A small network as files, pictures for it, and what hooks saw of every layer when torch computed it in use."""

    def __init__(self, folder, description, count=3):
        tensors = stirred(description)
        self.description, self.names = description, [name for name, _ in description.variant.layers]
        self.file, self.onnx = saved(folder / "m.safetensors", description, tensors), folder / "m.onnx"
        onnx_graph.write(self.onnx, description, tensors)
        self.pictures = cuts(count, description.input.size)
        self.seen = {}
        network = skeleton(description.variant, description.input.size)
        network.load_state_dict({name: tensors[name] for name in network.state_dict()}, assign=True)
        for name, child in network.eval().named_children():
            child.register_forward_hook(lambda _, __, out, name=name: self.seen.__setitem__(name, out.numpy().copy()))
        with torch.inference_mode():
            network(Pixels(description.input, tensors.get(files.MEAN_PICTURE))(torch.from_numpy(self.pictures)))

    def norms(self):
        """Product → batch normalisation right behind it."""
        pairs = zip(self.description.variant.layers, self.description.variant.layers[1:], strict=False)
        weighted = a.Conv | a.Linear
        return {n: m for (n, x), (m, y) in pairs if isinstance(x, weighted) and isinstance(y, a.BatchNorm)}


@pytest.fixture(scope="module", params=NETWORKS)
def lab(request, tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"), NETWORKS[request.param]())


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("normal"), NETWORKS["batch-norm"](), 40)


def close(found, expected, share=1e-5):
    """Within a share of the largest value."""
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * np.abs(expected).max())


def test_every_layer_gives_what_torch_computes(lab):
    engine = alexnet.load(lab.file).engine
    found = engine.features(lab.pictures, lab.names)
    assert list(found) == lab.names
    for name in lab.names:
        close(found[name], lab.seen[name])
    for name in lab.names[:2]:
        close(engine.features(lab.pictures, [name])[name], lab.seen[name])  # alone, and nothing behind it computed


def test_the_onnx_file_gives_the_same(lab):
    model = alexnet.load(lab.onnx)
    folded = lab.norms()
    names = [name for name in lab.names if name not in folded]
    found = model.engine.features(lab.pictures, names)
    for name in names:
        close(found[name], lab.seen[name], 1e-4)
    for name in folded:
        with pytest.raises(UsageError, match=rf"no values of {name}, into which the batch normalisation"):
            model.engine.features(lab.pictures, [name])
    assert np.array_equal(found[lab.names[-1]], model.logits(lab.pictures))


def test_more_outputs_are_a_models_outputs(lab):
    """onnx itself reads the bytes that were put behind the file's."""
    data = lab.onnx.read_bytes()
    before, after = onnx.load_from_string(data), onnx.load_from_string(data + more_outputs(["conv1", "x" * 300]))
    assert [o.name for o in after.graph.output] == [*(o.name for o in before.graph.output), "conv1", "x" * 300]
    for document in (before, after):
        del document.graph.output[:]
    assert before == after


@pytest.mark.parametrize("int8", [False, True])
def test_a_name_means_the_same_in_the_form_that_answers_fastest(lab, int8):
    """A product into which a normalisation is folded is found under the normalisation's name; and what a layer gave is
    not written over by the ReLU behind it."""
    tensors = files.tensors(lab.file)
    network = alexnet.load(lab.file, precision="float32").engine.network
    form = converted(network, lambda name: tensors[name].split(1000), torch.float32, int8)
    x = Pixels(lab.description.input, tensors.get(files.MEAN_PICTURE))(torch.from_numpy(lab.pictures))
    names = [name for name, _ in form.named_children() if name in lab.names]
    assert set(lab.names) - set(names) == set(lab.norms())
    with torch.inference_mode():
        found = values(form, x, names)
    for name in names:
        close(found[name].numpy(), lab.seen[name], 0.1 if int8 else 1e-4)


def test_a_layer_that_the_fast_form_lacks_comes_from_the_plain_network(normal, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    engine = alexnet.load(normal.file).engine
    close(engine.features(normal.pictures, ["fc7"], "auto")["fc7"], normal.seen["fc7"])
    rough = engine.features(normal.pictures, ["bn7"], "auto")["bn7"]
    assert 0 < np.abs(rough - normal.seen["bn7"]).max() < 0.1 * np.abs(normal.seen["bn7"]).max()
    close(engine.features(normal.pictures, ["bn7"], "float32")["bn7"], normal.seen["bn7"])


@pytest.mark.parametrize("kind", ["file", "onnx"])
def test_a_feature_is_the_same_at_every_batch_size(normal, kind):
    engine = alexnet.load(getattr(normal, kind)).engine
    for name in ("pool5", "relu7"):
        for size in (1, 7, 32, 40):
            batches = [normal.pictures[start : start + size] for start in range(0, 40, size)]
            found = np.concatenate([engine.features(batch, [name])[name] for batch in batches])
            close(found, normal.seen[name], 1e-5 if kind == "file" else 1e-4)


def test_before_and_behind_a_non_linearity(lab):
    engine = alexnet.load(lab.file).engine
    kinds = dict(lab.description.variant.layers)
    functions = {a.ReLU: lambda x: np.maximum(x, 0), a.Tanh: np.tanh, a.Sigmoid: lambda x: 1 / (1 + np.exp(-x))}
    for before, behind in zip(lab.names, lab.names[1:], strict=False):
        if type(kinds[behind]) in functions:
            found = engine.features(lab.pictures[:1], [before, behind])
            close(found[behind], functions[type(kinds[behind])](found[before]), 1e-6)
            assert (found[before] < 0).any()


# ------------------------------------------------------------------------------------------------------------ in Python


def test_a_model_gives_features(lab):
    model = alexnet.load(lab.file)
    size = lab.description.input.size
    wide = [np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="edge") for picture in lab.pictures]  # `stored`: size + 8
    first = lab.names[0]
    close(model.features(wide, first), lab.seen[first])
    assert model.features(wide[0], first).shape == (1, *lab.seen[first].shape[1:])
    assert model.features([], first).shape == (0, *lab.seen[first].shape[1:])
    last = {"lenet-5": "fc4", "cifar-11pct": "local4"}.get(lab.description.variant.name, "fc7")
    close(model.features(wide), lab.seen[last])
    assert wide[0].shape == (size + 8, size + 8, 3)


def test_any_number_of_pictures_in_a_loop(normal, tmp_path, easy_picture):
    for number in range(3):
        easy_picture(0, number).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    model = alexnet.load(normal.file)
    found = list(features(model, [str(tmp_path), str(tmp_path / "none.png")], ["relu7", "conv1", "relu7"]))
    assert [os.path.basename(path) for path, _ in found] == ["0.png", "1.png", "2.png", "none.png"]
    assert [str(value) for _, value in found if isinstance(value, AlexNetError)] == [
        "not a picture of a known format",
        "No such file or directory",
    ]
    for path, value in (found[0], found[2]):
        assert list(value) == ["relu7", "conv1"]
        np.testing.assert_allclose(value["relu7"], model.features(path, "relu7")[0], atol=1e-4)
    assert list(features(model, [], ["relu7"])) == []


def test_pictures_are_read_as_they_are_needed(normal, tmp_path, monkeypatch):
    """A few ahead, and no more: memory does not grow with their number."""
    read = []
    monkeypatch.setattr(inputs, "contents", lambda path, *_: read.append(path) or b"")
    names = [str(tmp_path / f"{number}.png") for number in range(1000)]
    monkeypatch.setattr(inputs, "expand", lambda _: names)
    path, refused = next(features(alexnet.load(normal.file), names, ["conv1"]))
    assert path == names[0] and isinstance(refused, PictureError)
    assert len(read) <= BATCH + AHEAD * (os.cpu_count() or 1) + 1


def test_wrong_names_get_a_suggestion(normal):
    for file in (normal.file, normal.onnx):
        model = alexnet.load(file)
        with pytest.raises(UsageError, match=r"unknown layer of batch-norm 'fc77': did you mean 'fc7'\?"):
            model.features([], "fc77")
        with pytest.raises(UsageError, match="did you mean 'relu7'"):
            next(features(model, ["x.png"], ["fc7", "rely7"]))
        with pytest.raises(UsageError, match="unknown layer"):
            model.features([], "flatten")  # torch's, none of the network's


def test_a_mean_picture_is_subtracted(tmp_path):
    rule = dataclasses.replace(NETWORKS["lenet-5"]().input, order="RGB", mean=(1.0,) * 3, scale=(0.01,) * 3)
    value = dataclasses.replace(variant("cifar-18pct"), size=32)
    description = dataclasses.replace(described(value, 32), input=dataclasses.replace(rule, mean_picture=True))
    lab = Lab(tmp_path, description)
    for file in (lab.file, lab.onnx):
        close(alexnet.load(file).engine.features(lab.pictures, ["conv1"])["conv1"], lab.seen["conv1"], 1e-4)
