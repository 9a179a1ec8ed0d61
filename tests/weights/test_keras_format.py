"""Keras' files: made by Keras itself (on its torch backend) and read here, written here and loaded by Keras."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import BatchNorm, Input, Linear
from alexnet.network.layers import Pixels
from alexnet.network.model import build, skeleton
from alexnet.network.variants import VARIANTS, variant
from alexnet.pictures.decode import fit
from alexnet.weights.files import Description
from alexnet.weights.formats import keras as ours

h5py = pytest.importorskip("h5py")
PHOTOS = [Image.fromarray(photo) for photo in load_sample_images().images]
ORIGINAL = dict(VARIANTS)
WIDTHS = (8, 12, 16, 16, 12)
ENDINGS = ("net.keras", "net.h5", "net.weights.h5", "weights.hdf5")

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras' own, of the older format


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """The library, which writes a file of settings when it is imported."""
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ["KERAS_HOME"] = str(tmp_path_factory.mktemp("keras"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def le(keras, side=67, widths=(8, 12, 16, 16, 12), units=24, classes=2):
    """Articles 2 and 3: one column, activations in the layers."""
    L = keras.layers
    model = keras.Sequential([keras.Input((side, side, 3))])
    model.add(L.Conv2D(widths[0], (11, 11), strides=(4, 4), padding="valid", activation="relu"))
    model.add(L.MaxPooling2D(pool_size=(3, 3), strides=(2, 2)))
    model.add(L.Conv2D(widths[1], (5, 5), padding="same", activation="relu"))
    model.add(L.MaxPooling2D(pool_size=(3, 3), strides=(2, 2)))
    for width in widths[2:]:
        model.add(L.Conv2D(width, (3, 3), padding="same", activation="relu"))
    model.add(L.MaxPooling2D(pool_size=(3, 3), strides=(2, 2)))
    model.add(L.Flatten())
    for _ in range(2):
        model.add(L.Dense(units, activation="relu"))
        model.add(L.Dropout(0.5))
    model.add(L.Dense(classes, activation="softmax"))
    return model


def yenigun(keras, side=227, widths=(6, 8, 8, 8, 6), units=16):
    """Article 0: nothing padded, batch normalisation after the first two ReLUs, one sigmoid."""
    L = keras.layers
    model = keras.Sequential([keras.Input((side, side, 3))])
    for number, (width, kernel) in enumerate(zip(widths, (11, 5, 3, 3, 3), strict=True), 1):
        model.add(L.Conv2D(filters=width, kernel_size=kernel, strides=4 if number == 1 else 1, activation="relu"))
        if number < 3:
            model.add(L.BatchNormalization())
        if number in (1, 2, 5):
            model.add(L.MaxPool2D(pool_size=(3, 3), strides=(2, 2)))
    model.add(L.Flatten())
    for _ in range(2):
        model.add(L.Dense(units, activation="relu"))
        model.add(L.Dropout(0.5))
    model.add(L.Dense(1, activation="sigmoid"))
    return model


def columns(keras, side=67):
    """Two columns, separate activations, normalisation before them and without biases."""
    L = keras.layers
    block = [L.BatchNormalization(epsilon=1e-5, momentum=0.9), L.ReLU()]
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            L.ZeroPadding2D(2),
            L.Conv2D(8, 11, strides=4, use_bias=False),
            *block,
            L.MaxPooling2D(3, 2, padding="same"),
            L.Conv2D(12, 5, padding="same", groups=2),
            L.Activation("tanh"),
            L.AveragePooling2D(2),
            L.Dropout(0.2),
            L.Flatten(),
            L.Dense(10),
            L.BatchNormalization(),
            L.Activation("relu"),
            L.Dense(5),
            L.Softmax(),
        ]
    )


def settle(keras, model):
    """Biases and statistics that are not all zeros and ones."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            if weight.ndim == 1:
                low = 0.5 if "variance" in weight.path or "gamma" in weight.path else -0.2
                weight.assign(rng.uniform(low, low + 0.5, weight.shape))
    return model


def saved(keras, model, path):
    """With an optimizer that has something to save."""
    if "weights" in path.name:
        if path.suffix == ".hdf5":  # what Keras 2 wrote for this name, and Keras 3 still reads
            from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

            with h5py.File(path, "w") as file:
                save_weights_to_hdf5_group(file, model)
        else:
            model.save_weights(path)
    else:
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        model.save(path)
    return path


def their_probabilities(model, rule):
    pictures = np.stack([fit(photo, rule.size, "squash") for photo in PHOTOS]).astype(np.float32) / 255
    found = model.predict(pictures, verbose=0)
    return np.concatenate([1 - found, found], 1) if found.shape[1] == 1 else found


def our_probabilities(foreign):
    network = skeleton(foreign.variant, foreign.input.size)
    network.load_state_dict(foreign.tensors, assign=True)
    return probabilities(network, foreign.input)


def probabilities(network, rule):
    pictures = np.stack([fit(photo, rule.stored, rule.resize) for photo in PHOTOS])
    with torch.inference_mode():
        return network.eval()(Pixels(rule)(torch.from_numpy(pictures))).softmax(1).numpy()


def read(path, wanted=None):
    with path.open("rb") as file:
        assert ours.recognises(path, file.read(4096))
    return ours.read(path, wanted)


def reduced(name, widths, units, size, classes=2):
    """One of our variants with other widths."""
    value, counted = ORIGINAL[name](classes, 3), iter(widths)
    layers = []
    for label, layer in value.layers:
        if label.startswith("conv"):
            layer = replace(layer, channels=next(counted))
        elif isinstance(layer, Linear) and label in ("fc6", "fc7"):
            layer = replace(layer, units=units)
        layers.append((label, layer))
    return replace(value, layers=tuple(layers), size=size)


# ------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("make", [le, yenigun, columns], ids=["le", "yenigun", "columns"])
def test_what_keras_writes_gives_its_probabilities(tmp_path, keras, make, name):
    model = settle(keras, make(keras))
    path = saved(keras, model, tmp_path / name)
    known = None
    if "weights" in name:
        known = ours.read(saved(keras, model, tmp_path / "configured.keras")).variant
    found = read(path, known)
    np.testing.assert_allclose(our_probabilities(found), their_probabilities(model, found.input), atol=1e-5)
    assert found.input == Input(*(found.input.size,) * 2, "squash", "RGB", (0.0,) * 3, (1 / 255,) * 3)
    assert ("picture size" in found.guessed) == ("weights" in name)
    assert {"resize rule", "mean and scale"} <= {*found.guessed}


def test_the_layers_are_those_of_the_article(tmp_path, keras):
    found = read(saved(keras, le(keras), tmp_path / "net.keras")).variant
    named = reduced("le-keras", (8, 12, 16, 16, 12), 24, 67)
    assert found.layers == named.layers and (found.size, found.classes, found.channels) == (67, 2, 3)
    found = read(saved(keras, yenigun(keras), tmp_path / "net.h5")).variant
    assert found.layers == reduced("yenigun-batch-norm", (6, 8, 8, 8, 6), 16, 227).layers
    found = read(saved(keras, columns(keras), tmp_path / "net.keras"))
    assert dict(found.variant.layers)["bn1"] == BatchNorm(eps=1e-5, momentum=0.1)
    assert not found.tensors["bn1.num_batches_tracked"]


def smaller(name, size):
    """How `VARIANTS` makes a variant, with less in it."""
    return lambda classes=2, channels=3: replace(
        reduced(name, (8, 12, 16, 16, 12), 24, size, classes), channels=channels, size=size
    )


def test_the_articles_networks_are_recognised(tmp_path, keras, monkeypatch):
    """At other widths here, for speed; at their own below."""
    single, article, torchvision = (smaller(name, 227) for name in ("single-column", "le-keras", "torchvision"))
    for name, make in (("single-column", single), ("le-keras", article), ("torchvision", torchvision)):
        monkeypatch.setitem(VARIANTS, name, make)
    for classes in (2, 3):
        saved(keras, le(keras, classes=classes), tmp_path / "le.keras")
        found = read(tmp_path / "le.keras")
        assert found.variant == article(classes) and found.input.size == 67
        assert read(tmp_path / "le.keras", single()).variant == single(classes)
        with pytest.raises(UsageError, match="torchvision"):
            read(tmp_path / "le.keras", torchvision())
    for name in ("net.weights.h5", "weights.hdf5"):
        found = read(saved(keras, le(keras, 227, classes=5), tmp_path / name))
        assert found.variant == article(5) and found.input.size == 227


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDINGS)
def test_the_articles_networks_whole(tmp_path, keras, name):
    for make, known, options in (
        (le, "le-keras", {"side": 227, "widths": (96, 256, 384, 384, 256), "units": 4096}),
        (yenigun, "yenigun-batch-norm", {"side": 224, "widths": (96, 256, 384, 384, 256), "units": 4096}),
    ):
        model = settle(keras, make(keras, **options))
        found = read(saved(keras, model, tmp_path / name))
        assert found.variant == variant(known)
        expected = their_probabilities(model, found.input)
        np.testing.assert_allclose(our_probabilities(found), expected, atol=1e-5)
        ours.write(tmp_path / f"ours-{name}", described(found.variant, found.input), found.tensors)
        other = make(keras, **options)
        other.load_weights(tmp_path / f"ours-{name}")
        np.testing.assert_allclose(their_probabilities(other, found.input), expected, atol=1e-6)


def test_kernels_come_in_our_order(tmp_path, keras):
    """Against Keras' own functions of one layer each."""
    model = settle(keras, le(keras))
    tensors = read(saved(keras, model, tmp_path / "net.keras")).tensors
    kernel = model.layers[1 - 1].get_weights()[0]
    assert tensors["conv1.weight"][5, 2, 3, 7] == kernel[3, 7, 2, 5]
    dense = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense)).get_weights()[0]
    assert dense.shape[0] == 12  # one place of twelve maps: nothing to order
    wide = settle(keras, le(keras, side=131))
    tensors = read(saved(keras, wide, tmp_path / "wide.keras")).tensors
    dense = next(layer for layer in wide.layers if isinstance(layer, keras.layers.Dense)).get_weights()[0]
    side = round((dense.shape[0] / 12) ** 0.5)
    assert side > 1
    row, column, map_ = side - 1, 0, 7
    assert tensors["fc6.weight"][4, map_ * side**2 + row * side + column] == dense[(row * side + column) * 12 + map_, 4]


# ------------------------------------------------------------------------------------------------------------- writing


def described(value, rule):
    return Description(value, tuple(map(str, range(value.classes))), rule)


@pytest.mark.parametrize("name", ENDINGS)
def test_what_we_write_the_articles_models_load(tmp_path, keras, name):
    for make, value in (
        (le, reduced("le-keras", (8, 12, 16, 16, 12), 24, 67)),
        (yenigun, reduced("yenigun-batch-norm", (6, 8, 8, 8, 6), 16, 227)),
    ):
        network = build(value)
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.dim() == 1:
                torch.nn.init.uniform_(tensor, 0.1, 0.9)
        rule = Input(value.size, value.size, "squash", "RGB", (0.0,) * 3, (1 / 255,) * 3)
        expected = probabilities(network, rule)
        path = tmp_path / name
        ours.write(path, described(value, rule), network.state_dict())
        model = make(keras)
        model.load_weights(path)
        np.testing.assert_allclose(their_probabilities(model, rule), expected, atol=1e-5)
        if "weights" not in name:
            model = keras.models.load_model(path, compile=False)
            np.testing.assert_allclose(their_probabilities(model, rule), expected, atol=1e-5)
        back = read(path, value)
        assert back.tensors.keys() == network.state_dict().keys()
        assert all(torch.equal(back.tensors[each], tensor) for each, tensor in network.state_dict().items())
        before = path.read_bytes()
        ours.write(path, described(value, rule), network.state_dict())
        assert path.read_bytes() == before


def test_networks_with_other_layers_go_there_and_back(tmp_path, keras, monkeypatch):
    """Padding, groups, normalisation without biases, overhanging windows; ours come back under their names."""
    for name, size, widths in (("batch-norm", 67, WIDTHS), ("torchvision", 224, WIDTHS), ("lenet-5", 32, (6, 16, 120))):
        value = reduced(name, widths, 32, size, 3)
        monkeypatch.setitem(VARIANTS, name, lambda classes=3, channels=3, value=value: value)
        network = build(value, size=size)
        rule = Input(size, size, "squash", "RGB", (0.0,) * 3, (1 / 255,) * 3)
        path = tmp_path / f"{name}.keras"
        ours.write(path, described(value, rule), network.state_dict())
        model = keras.models.load_model(path)
        np.testing.assert_allclose(their_probabilities(model, rule), probabilities(network, rule), atol=1e-5)
        back = read(path)
        assert back.variant == value
        np.testing.assert_allclose(our_probabilities(back), probabilities(network, rule), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("krizhevsky-2012", 227, "norm1"),
        ("cifar-13pct", 24, "Local"),
        ("batch-norm", 224, "conv1"),
        ("arham-pytorch", 227, "norm1"),
    ],
)
def test_what_keras_lacks_is_refused(tmp_path, name, size, reason):
    rule = Input(size, size, "squash", "RGB", (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(UsageError, match=reason):
        ours.write(tmp_path / "net.keras", described(variant(name, 2), rule), {})
    with pytest.raises(UsageError, match=r"\.onnx"):
        ours.write(tmp_path / "net.onnx", described(variant("le-keras"), rule), {})
    assert not list(tmp_path.iterdir())


def test_a_missing_library_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UsageError, match=r"pip install 'alexnet\[keras\]'"):
        read(tmp_path / "net.h5")


# ------------------------------------------------------------------------------------------------------- hostile files


def layer(kind, name, **settings):
    return {"class_name": kind, "config": {"name": name, **settings}}


def model(*layers, side=9, kind="Sequential"):
    """Configuration of a small network of one convolution and one Dense, with `layers` between."""
    start = layer("InputLayer", "in", batch_shape=[None, side, side, 3])
    conv = layer("Conv2D", "conv", filters=2, kernel_size=[3, 3], strides=[2, 2], activation="relu")
    dense = layer("Dense", "dense", units=2, activation="softmax")
    entries = [start, conv, *layers, layer("Flatten", "flat"), dense]
    return {"class_name": kind, "config": {"name": "net", "layers": entries}}


VALUES = {
    "conv": {"kernel": np.ones((3, 3, 3, 2), np.float32), "bias": np.ones(2, np.float32)},
    "dense": {"kernel": np.ones((32, 2), np.float32), "bias": np.ones(2, np.float32)},
}


def legacy(path, config=None, change=None, values=VALUES):
    """An `.h5` file as Keras writes it, changed."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model()) if config is None else config
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["conv", "dense"]
        for name, variables in values.items():
            group.create_group(name).attrs["weight_names"] = list(variables)
            for label, array in variables.items():
                group[name].create_dataset(label, data=array)
        if change:
            change(file, group["conv"])


def configured(*layers, **options):
    return lambda p, m: legacy(p, json.dumps(model(*layers, **options)))


def changed(change):
    return lambda p, m: legacy(p, change=change)


def replaced(name, make):
    """A variable of the convolution that is something else."""

    def change(file, group):
        del group[name]
        make(file, group)

    return changed(change)


def external(file, group):
    """Values of another file."""
    group["kernel"] = h5py.ExternalLink("/etc/passwd", "/kernel")


def sources(file, group):
    layout = h5py.VirtualLayout((3, 3, 3, 2), np.float32)
    layout[:] = h5py.VirtualSource("/tmp/elsewhere.h5", "kernel", (3, 3, 3, 2))
    group.create_virtual_dataset("kernel", layout)


def loop(file, group):
    group["kernel"] = h5py.SoftLink("/model_weights/conv/kernel")


def unstored(file, group):
    """A petabyte that was never written."""
    group.create_dataset("kernel", (2**20, 2**20, 2**8), np.float32)


def heap(file, group):
    """A list of two hundred texts that are all the same 16 MB."""
    file["model_weights"].attrs["layer_names"] = ["conv", "x" * 2**24]


def archive(path, config=None, weights=None, extra=(), compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, variables in (("conv2d", VALUES["conv"]), ("dense", VALUES["dense"])):
            for number, array in enumerate(variables.values()):
                file.create_dataset(f"layers/{name}/vars/{number}", data=array)
    with zipfile.ZipFile(path, "w", compression) as zipped:
        zipped.writestr("metadata.json", "{}")
        zipped.writestr("config.json", json.dumps(model()) if config is None else config)
        zipped.writestr("model.weights.h5", content.getvalue() if weights is None else weights)
        for name, more in extra:
            zipped.writestr(name, more)


def marshalled(marker):
    """A Lambda as Keras saves one: code, in base 64, that it would run."""
    import base64
    import marshal

    code = compile(f"open({str(marker)!r}, 'w')", "x", "eval")
    text = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    return layer("Lambda", "l", function=function)


def from_module(marker):
    call = {"module": "os", "class_name": "function", "registered_name": "system", "config": f"touch {marker}"}
    return layer("Activation", "a", activation=call)


def os_layer(marker):
    return {"module": "os", "class_name": "Dense", "config": {"name": "x", "units": 2}, "registered_name": "system"}


def hard_links(path):
    """A hundred layers that are one and the same array."""
    wide = np.ones((512, 512), np.float32)
    start = [layer("InputLayer", "in", batch_shape=[None, 9, 9, 3]), layer("Conv2D", "conv", filters=32, kernel_size=6)]
    dense = [layer("Dense", f"d{n}", units=512, use_bias=False) for n in range(150)]
    config = {"class_name": "Sequential", "config": {"layers": [*start, layer("Flatten", "f"), *dense]}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["conv", *(f"d{n}" for n in range(150))]
        group.create_dataset("conv/kernel", data=np.ones((6, 6, 3, 32), np.float32))
        group.create_dataset("conv/bias", data=np.ones(32, np.float32))
        group["conv"].attrs["weight_names"] = ["kernel", "bias"]
        for n in range(150):
            group.create_group(f"d{n}").attrs["weight_names"] = ["kernel"]
            group[f"d{n}/kernel"] = group["d0/kernel"] if n else file.create_dataset("wide", data=wide)


def bad(**changes):
    return lambda p, m: legacy(p, values={**VALUES, "conv": {**VALUES["conv"], **changes}})


NAN, NEGATIVE = np.full((3, 3, 3, 2), np.nan, np.float32), np.array([-1.0, 1.0], np.float32)
NORM = {name: np.ones(2, np.float32) for name in ("gamma", "beta", "moving_mean")} | {"moving_variance": NEGATIVE}


def negative_variance(path):
    legacy(path, json.dumps(model(layer("BatchNormalization", "conv2"))), values=VALUES | {"norm": NORM})
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = ["conv", "norm", "dense"]


HOSTILE = {
    "external link": replaced("kernel", external),
    "external link at the root": changed(lambda f, g: f.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/"))),
    "soft link": replaced("kernel", lambda f, g: g.__setitem__("kernel", h5py.SoftLink("/model_weights/conv/bias"))),
    "soft link to itself": replaced("kernel", loop),
    "external storage": replaced(
        "kernel", lambda f, g: g.create_dataset("kernel", (3, 3, 3, 2), "f4", external=[("/etc/passwd", 0, 216)])
    ),
    "virtual": replaced("kernel", sources),
    "objects": replaced("kernel", lambda f, g: g.create_dataset("kernel", (3,), h5py.string_dtype())),
    "references": replaced("kernel", lambda f, g: g.create_dataset("kernel", (3,), h5py.ref_dtype)),
    "arrays of any length": replaced("kernel", lambda f, g: g.create_dataset("kernel", (3,), h5py.vlen_dtype("f4"))),
    "compound": replaced("kernel", lambda f, g: g.create_dataset("kernel", (3,), [("a", "f4")])),
    "integers": bad(kernel=np.ones((3, 3, 3, 2), np.int64)),
    "a group": replaced("kernel", lambda f, g: g.create_group("kernel")),
    "a type": replaced("kernel", lambda f, g: g.__setitem__("kernel", np.dtype("f4"))),
    "compressed": replaced("kernel", lambda f, g: g.create_dataset("kernel", data=NAN, compression="gzip")),
    "gigantic, compressed": replaced(
        "kernel", lambda f, g: g.create_dataset("kernel", (2**20, 2**20), "f4", compression="gzip", chunks=(2**10,) * 2)
    ),
    "gigantic, never written": replaced("kernel", unstored),
    "no values": replaced("kernel", lambda f, g: g.create_dataset("kernel", dtype="f4", shape=None)),
    "not finite": bad(kernel=NAN),
    "infinite in float32": bad(kernel=np.full((3, 3, 3, 2), 1e300)),
    "negative variance": lambda p, m: negative_variance(p),
    "wrong shape": bad(kernel=np.ones((3, 3, 3, 4), np.float32)),
    "unexpected": bad(gamma=np.ones(2, np.float32)),
    "missing": lambda p, m: legacy(p, values={**VALUES, "conv": {"kernel": VALUES["conv"]["kernel"]}}),
    "one layer for all": lambda p, m: hard_links(p),
    "many groups": changed(lambda f, g: [f.create_group(f"{n}") for n in range(3000)] and None),
    "long texts": changed(heap),
    "texts that are numbers": changed(lambda f, g: f["model_weights"].attrs.__setitem__("layer_names", [1, 2])),
    "a path out of its group": changed(lambda f, g: g.attrs.__setitem__("weight_names", ["/model_weights/x", "bias"])),
    "no layers": lambda p, m: h5py.File(p, "w").close(),
    "Lambda": lambda p, m: legacy(p, json.dumps(model(marshalled(m)))),
    "a function of os": lambda p, m: legacy(p, json.dumps(model(from_module(m)))),
    "a layer of os": lambda p, m: legacy(p, json.dumps(model(os_layer(m)))),
    "a layer of its own": configured(layer("LocalResponseNormalization", "x")),
    "a model of its own": configured(kind="AlexNet"),
    "Functional": configured(kind="Functional"),
    "another activation": configured(layer("Activation", "x", activation="gelu")),
    "softmax within": configured(layer("Softmax", "x")),
    "unequal padding": configured(layer("Conv2D", "x", filters=2, kernel_size=[2, 2], padding="same")),
    "channels first": configured(layer("MaxPooling2D", "x", pool_size=[2, 2], data_format="channels_first")),
    "texts for numbers": configured(layer("Dropout", "x", rate="os.system('true')")),
    "numbers beyond all measure": configured(layer("Dense", "x", units=2**62)),
    "pictures beyond all measure": configured(side=2**19),
    "too small": configured(side=2),
    "not JSON": lambda p, m: legacy(p, "import os"),
    "not an object": lambda p, m: legacy(p, "[]"),
    "half an object": lambda p, m: legacy(p, '{"class_name": "Sequential"}'),
    "nested": lambda p, m: legacy(p, '{"a":' * 50_000 + "1" + "}" * 50_000),
    "a long number": lambda p, m: legacy(p, '{"a": ' + "9" * 10_000 + "}"),
    "cut": lambda p, m: (legacy(p), p.write_bytes(p.read_bytes()[:-4000])),
    "zeros": lambda p, m: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(5000)),
    "archive: Lambda": lambda p, m: archive(p, json.dumps(model(marshalled(m)))),
    "archive: nested": lambda p, m: archive(p, "[" * 100_000),
    "archive: names outside": lambda p, m: archive(p, extra=[("../../marker", b"x")]),
    "archive: a name from the root": lambda p, m: archive(p, extra=[("/tmp/marker", b"x")]),
    "archive: compressed": lambda p, m: archive(p, compression=zipfile.ZIP_DEFLATED),
    "archive: bomb": lambda p, m: archive(p, extra=[("assets/x", bytes(2**27))], compression=zipfile.ZIP_DEFLATED),
    "archive: a long configuration": lambda p, m: archive(p, " " * 2**21 + "{}"),
    "archive: no weights": lambda p, m: archive(p, weights=b""),
    "archive: weights that are not HDF5": lambda p, m: archive(p, weights=b"cos\nsystem\n(S'true'\ntR."),
    "archive: cut": lambda p, m: (archive(p), p.write_bytes(p.read_bytes()[:-300])),
    "archive: a bit flipped": lambda p, m: (
        archive(p),
        p.write_bytes(p.read_bytes().replace(np.ones(8, np.float32).tobytes(), bytes(32))),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, refusal, name):
    path = tmp_path / "hostile.h5"
    HOSTILE[name](path, tmp_path / "marker")
    assert len(refusal(read, path)) < 2000


def test_the_same_files_unharmed_are_read(tmp_path):
    """So that the others are refused for what is wrong with them."""
    legacy(tmp_path / "net.h5")
    archive(tmp_path / "net.keras")
    for name in ("net.h5", "net.keras"):
        assert read(tmp_path / name).tensors["fc2.weight"].shape == (2, 32)


def test_files_of_older_versions_are_read(tmp_path):
    """Configurations and places as Keras 1, TensorFlow's Keras 2 and its 2.13 wrote them."""
    norm = layer("BatchNormalization", "n", axis=[3], momentum=0.99, epsilon=0.001)
    modern = model(norm)
    modern["config"]["layers"][0]["config"] = {"name": "in", "batch_input_shape": [None, 9, 9, 3]}
    ancient = model(norm)
    entries = ancient["config"]["layers"][1:]
    entries[0]["config"]["batch_input_shape"] = [None, 9, 9, 3]
    ancient["config"] = entries
    good = {**NORM, "moving_variance": np.ones(2, np.float32)}
    for number, config in enumerate((modern, ancient)):
        path = tmp_path / f"{number}.h5"
        legacy(path, json.dumps(config), values={"conv": VALUES["conv"], "n": good, "dense": VALUES["dense"]})
        with h5py.File(path, "a") as file:
            file["model_weights"].attrs["layer_names"] = ["conv", "n", "dense"]
            group = file["model_weights/conv"]
            for name in ("kernel", "bias"):
                group.move(name, f"conv_1/{name}:0")
            group.attrs["weight_names"] = np.array([b"conv_1/kernel:0", b"conv_1/bias:0"])
        found = read(path)
        assert dict(found.variant.layers)["bn1"] == BatchNorm(eps=0.001, momentum=0.01)
        assert found.tensors["conv1.weight"].shape == (2, 3, 3, 3)
    archive(tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras") as zipped:
        content = io.BytesIO(zipped.read("model.weights.h5"))
    with h5py.File(content, "a") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    archive(tmp_path / "net.keras", weights=content.getvalue())
    assert read(tmp_path / "net.keras").variant.layers[0][0] == "conv1"


def test_refusals_say_why(tmp_path):
    legacy(tmp_path / "net.h5", json.dumps(model(marshalled(tmp_path))))
    with pytest.raises(WeightsError, match="Lambda"):
        read(tmp_path / "net.h5")
    bad(kernel=np.ones((3, 3, 3, 4), np.float32))(tmp_path / "net.h5", None)
    with pytest.raises(WeightsError, match=r"conv1.weight is \(3, 3, 3, 4\) float32, not \(3, 3, 3, 2\) float32"):
        read(tmp_path / "net.h5")
