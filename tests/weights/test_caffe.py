"""Caffe's files, written here by field number, and computed here as Caffe computes them."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from caffe_nets import MEAN, Step, alexnet, computed
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import block, doubles, floats, loose_floats, number, packed, real, varint

from alexnet.errors import WeightsError
from alexnet.network.model import skeleton
from alexnet.network.variants import variant
from alexnet.weights.formats import caffe
from alexnet.weights.formats.caffe_input import imagenet_rule, with_mean

# ------------------------------------------------------------------------------------------------- written in each form


def blob(values, form):
    """Values with their shape, current or of four sides, and packed or not."""
    data = {"loose": loose_floats, "double": lambda n, v: doubles(8, v)}.get(form, floats)(5, values)
    if form in ("packed", "double"):
        return block(7, packed(1, values.shape)) + data
    sides = (1,) * (4 - values.ndim) + values.shape
    return b"".join(number(i, side) for i, side in enumerate(sides, 1)) + data


def current(step, form="packed"):
    v = step.values
    kind, parameters = {
        "conv": ("Convolution", lambda: block(106, convolution(v))),
        "relu": ("ReLU", lambda: b""),
        "lrn": ("LRN", lambda: block(118, norm(v))),
        "pool": ("Pooling", lambda: block(121, number(2, v["kernel"]) + number(3, v["stride"]))),
        "fc": ("InnerProduct", lambda: block(117, number(1, v["num_output"]))),
        "dropout": ("Dropout", lambda: block(108, real(1, v["ratio"]))),
    }[step.kind]
    head = block(1, step.name) + block(2, kind) + block(3, step.bottom) + block(4, step.top)
    return block(100, head + b"".join(block(7, blob(b, form)) for b in step.blobs) + parameters())


def v1(step, form="four"):
    v = step.values
    kind, parameters = {
        "conv": (4, lambda: block(10, convolution(v))),
        "relu": (18, lambda: b""),
        "lrn": (15, lambda: block(18, norm(v))),
        "pool": (17, lambda: block(19, number(1, 0) + number(2, v["kernel"]) + number(3, v["stride"]))),
        "fc": (14, lambda: block(17, number(1, v["num_output"]) + number(2, 1))),
        "dropout": (6, lambda: block(12, real(1, v["ratio"]))),
    }[step.kind]
    head = block(2, step.bottom) + block(3, step.top) + block(4, step.name) + number(5, kind)
    return block(2, head + b"".join(block(6, blob(b, form)) for b in step.blobs) + parameters())


def convolution(v):
    """The kernel as a list of one, as the two sides, or packed."""
    kernel = {5: number(11, 5) + number(12, 5), 3: packed(4, [3])}.get(v["kernel"], number(4, v["kernel"]))
    pad = number(3, v["pad"]) if v["pad"] else b""
    return number(1, v["num_output"]) + kernel + number(6, v["stride"]) + pad + number(5, v["group"])


def norm(v):
    return number(1, v["size"]) + real(2, v["alpha"]) + real(3, v["beta"])


def v0(step, form="loose"):
    """With a layer of its own for the padding, as the first files have."""
    v, kind = step.values, {"fc": "innerproduct"}.get(step.kind, step.kind)
    fields = {"num_output": 3, "kernel": 8, "group": 9, "stride": 10, "size": 13}
    values = b"".join(number(n, v[name]) for name, n in fields.items() if name in v)
    values += b"".join(real(n, v[name]) for name, n in {"ratio": 12, "alpha": 14, "beta": 15}.items() if name in v)
    bottom, padding = step.bottom, b""
    if v.get("pad"):
        bottom = f"pad_{step.name}"
        inner = block(1, bottom) + block(2, "padding") + number(7, v["pad"])
        padding = block(2, block(1, inner) + block(2, step.bottom) + block(3, bottom))
    inner = block(1, step.name) + block(2, kind) + values + b"".join(block(50, blob(b, form)) for b in step.blobs)
    return padding + block(2, block(1, inner) + block(2, bottom) + block(3, step.top))


def data_layer(crop, mean=b"", scale=b""):
    return block(
        100, block(1, "data") + block(2, "Data") + block(4, "data") + block(100, number(3, crop) + mean + scale)
    )


def loss_layer(bottom):
    return block(100, block(1, "loss") + block(2, "SoftmaxWithLoss") + block(3, bottom) + block(3, "label"))


def written(path, steps, write=current, before=b"", after=b"", form=None, name="AlexNet"):
    body = b"".join(write(step, form) if form else write(step) for step in steps)
    path.write_bytes(block(1, name) + before + body + after)
    return path


# ------------------------------------------------------------------------------------------------------------ as read


SIDE = number(4, 1, 3, 67, 67)  # input_dim


@pytest.mark.parametrize("order", ["norm pool", "pool norm"])
@pytest.mark.parametrize(
    ("write", "form"), [(current, "packed"), (current, "double"), (current, "loose"), (v1, "four"), (v0, "loose")]
)
def test_every_generation_of_messages(tmp_path, pictures, logits, order, write, form):
    steps, crops = alexnet(order=order), pictures(67)
    path = written(tmp_path / "m.caffemodel", steps, write, SIDE, form=form)
    assert caffe.recognises(path, path.read_bytes()[:4096])
    foreign = caffe.read(path)
    np.testing.assert_allclose(logits(foreign, crops), computed(steps, crops), rtol=1e-4, atol=1e-4)
    assert [name for name, _ in foreign.variant.layers] == [step.name for step in steps]
    assert (foreign.variant.classes, foreign.variant.size, foreign.input.size) == (5, 67, 67)
    assert foreign.input.order == "BGR" and foreign.input.mean == MEAN and foreign.input.resize == "squash"
    assert foreign.guessed == ("resize rule", "mean and scale") and foreign.classes is None


def test_pooling_rounds_up(tmp_path, pictures, logits):
    """At 67 every pooling divides; at 80 the first does not."""
    steps, crops = alexnet(side=80), pictures(80)
    foreign = caffe.read(written(tmp_path / "m", steps, before=number(4, 1, 3, 80, 80)))
    np.testing.assert_allclose(logits(foreign, crops), computed(steps, crops), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("write", "name"), [(v1, "bvlc-alexnet"), (current, "caffenet"), (v0, "bvlc-alexnet")])
def test_the_published_networks_whole(tmp_path, pictures, logits, write, name):
    steps = alexnet(
        1000, 3, (96, 256, 384, 384, 256), (4096, 4096), 227, "pool norm" if name == "caffenet" else "norm pool"
    )
    path = written(tmp_path / "m.caffemodel", steps, write)
    start = time.perf_counter()
    foreign = caffe.read(path)
    assert time.perf_counter() - start < 4  # promised are two, alone on a machine
    assert foreign.variant == variant(name) and foreign.guessed == ("resize rule", "picture size", "mean and scale")
    crops = pictures(227)
    np.testing.assert_allclose(logits(foreign, crops), computed(steps, crops), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("order", "name"), [("norm pool", "bvlc-alexnet"), ("pool norm", "caffenet")])
def test_fine_tuned_networks_are_ours_with_other_classes(tmp_path, order, name):
    steps = alexnet(7, 3, (96, 256, 384, 384, 256), (4096, 4096), 67, order, last="fc8_flickr")
    foreign = caffe.read(written(tmp_path / "m", steps, before=data_layer(67), after=loss_layer("fc8_flickr")))
    assert foreign.variant == variant(name, 7) and "fc8.weight" in foreign.tensors
    assert foreign.input.mean == (0.0, 0.0, 0.0) and foreign.guessed == ("resize rule",)


def test_names_that_we_cannot_use_are_given_anew(tmp_path):
    steps = alexnet(last="fc8/flickr")
    foreign = caffe.read(written(tmp_path / "m", steps, before=SIDE))
    expected = [step.name for step in alexnet()]
    assert [name for name, _ in foreign.variant.layers] == expected and foreign.variant.name == "alexnet"


def test_what_the_data_layer_says_of_the_pictures(tmp_path, pictures, logits):
    steps, crops = alexnet(), pictures(67)
    before = data_layer(67, real(5, 100, 110, 120), real(1, 0.0078125))
    foreign = caffe.read(written(tmp_path / "m", steps, before=before))
    assert foreign.guessed == ("resize rule",) and foreign.input.scale == (0.0078125,) * 3
    expected = computed(steps, crops, (100, 110, 120), 0.0078125)
    np.testing.assert_allclose(logits(foreign, crops), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["binaryproto", "npy", "three means"])
def test_a_mean_file(tmp_path, pictures, logits, form):
    steps, crops = alexnet(), pictures(67)
    mean = np.random.default_rng(0).uniform(80, 140, (3, 100, 100)).astype("f")
    if form == "binaryproto":
        path = tmp_path / "mean.binaryproto"
        path.write_bytes(number(1, 1) + number(2, 3) + number(3, 100) + number(4, 100) + floats(5, mean))
    else:
        path = tmp_path / "mean.npy"
        np.save(path, mean.mean((1, 2)) if form == "three means" else mean.astype("d"))
    foreign = caffe.read(written(tmp_path / "m", steps, before=SIDE))
    rule, picture = with_mean(foreign.input, path)
    foreign = replace(foreign, input=rule, tensors=foreign.tensors | picture)
    start = (100 - 67) // 2
    centre = mean[:, start : start + 67, start : start + 67].transpose(1, 2, 0)
    expected = computed(steps, crops, mean.mean((1, 2)) if form == "three means" else centre)
    np.testing.assert_allclose(logits(foreign, crops), expected, rtol=1e-4, atol=1e-4)
    assert foreign.input.mean_picture == (form != "three means")
    assert foreign.input.stored == (256 if form == "three means" else 100)


def test_splits_and_grey_pictures(tmp_path, logits):
    steps = alexnet(channels=1)
    split = block(100, block(1, "s") + block(2, "Split") + block(3, "conv1") + block(4, "one") + block(4, "other"))
    steps[2].bottom = "other"
    body = b"".join(map(current, steps[:2])) + split + b"".join(map(current, steps[2:]))
    (tmp_path / "m").write_bytes(number(4, 1, 1, 67, 67) + body)
    foreign = caffe.read(tmp_path / "m")
    assert foreign.variant.channels == 1 and foreign.input.order == "grey" and len(foreign.input.mean) == 1
    assert np.isfinite(logits(foreign, np.zeros((1, 67, 67, 3), np.uint8))).all()


# ------------------------------------------------------------------------------------------------------------ refused


def changed(index, **changes):
    steps = alexnet()
    for name, value in changes.items():
        if name in ("bottom", "name", "blobs"):
            setattr(steps[index], name, value)
        else:
            steps[index].values[name] = value
    return b"".join(map(current, steps))


def whole():
    return b"".join(map(current, alexnet()))


def poisoned(value):
    steps = alexnet()
    steps[0].blobs[0][3, 1, 4, 1] = value
    return SIDE + b"".join(map(current, steps))


def one_layer(kind, *parts):
    return whole() + block(100, block(1, "x") + block(2, kind) + block(3, "fc8") + block(4, "x") + b"".join(parts))


def with_blob(data):
    """The first layer's weights as this message."""
    head = block(1, "conv1") + block(2, "Convolution") + block(3, "data") + block(4, "conv1")
    return block(
        100, head + block(7, data) + block(7, blob(np.zeros(8), "packed")) + block(106, number(1, 8) + number(4, 11))
    )


ZEROS = floats(5, np.zeros(4))
HOSTILE = {
    "empty": (b"", "an empty file"),
    "no layers": (block(1, "AlexNet"), "no convolution"),
    "cut in the weights": (whole()[:-100], "damaged at byte"),
    "cut in a tag": (whole() + b"\xa2", "damaged at byte"),
    "text": (b'name: "AlexNet"\nlayer {\n', "damaged|no convolution"),
    "a length of an exabyte": (whole() + b"\xa2\x06" + varint(2**60), "damaged at byte"),
    "a shape of billions": (
        with_blob(block(7, packed(1, [2**31, 2**31, 2**31, 2**31])) + ZEROS),
        "4 values for a shape",
    ),
    "a shape that overflows to fit": (with_blob(block(7, packed(1, [2**62, 4, 4, 1])) + ZEROS), "4 values for a shape"),
    "negative sides": (with_blob(block(7, packed(1, [-2, -2, 1, 1])) + ZEROS), "4 values for a shape"),
    "sides of zero": (with_blob(block(7, packed(1, [0, 3, 11, 11]))), "0 values for a shape"),
    "a hundred sides": (with_blob(block(7, packed(1, [1] * 100)) + floats(5, np.zeros(1))), "1 values for a shape"),
    "too few values": (with_blob(block(7, packed(1, [8, 3, 11, 11])) + ZEROS), "4 values for a shape"),
    "five and a half values": (with_blob(block(5, bytes(22))), "no whole number"),
    "values as a number": (with_blob(number(5, 1)), "wire type"),
    "no blobs": (changed(0, blobs=[]), "0 blobs of values, not 2"),
    "three blobs": (changed(0, blobs=[np.zeros(8)] * 3), "3 blobs of values, not 2"),
    "NaN": (poisoned(np.nan), "conv1.weight holds values that are not finite"),
    "infinity": (poisoned(-np.inf), "conv1.weight holds values that are not finite"),
    "another shape": (changed(0, kernel=7), r"conv1.weight is \(8, 3, 11, 11\) float32, not \(8, 3, 7, 7\)"),
    "another width": (changed(14, num_output=9), "does not divide|do not divide|is .* not"),
    "a kernel of 0": (changed(0, kernel=0), "Conv.kernel cannot be 0"),
    "a stride of 0": (changed(0, stride=0), "Conv.stride cannot be 0"),
    "a padding below 0": (changed(0, pad=-1), "Conv.padding cannot be -1"),
    "a padding of billions": (changed(0, pad=2**40), "Conv.padding cannot be"),
    "more outputs than memory": (changed(0, num_output=2**30), "Conv.channels cannot be"),
    "groups that do not divide": (changed(4, group=5), "do not divide into 5"),
    "pictures too small": (SIDE.replace(varint(67), varint(20)) + whole(), "too small"),
    "pictures too large": (number(4, 1, 3, 10**6, 10**6) + whole(), "pixels a side"),
    "pictures that are not square": (number(4, 1, 3, 67, 80) + whole(), "pixels a side"),
    "a branch": (changed(3, bottom="conv1b"), "not what the layer before gives"),
    "an unknown layer": (
        one_layer("Python", block(130, block(1, "os") + block(2, "system"))),
        "no AlexNet has: 'Python'",
    ),
    "a leaky ReLU": (one_layer("ReLU", block(123, real(1, 0.1))), "leaky"),
    "an end without classes": (one_layer("ReLU"), "ends in ReLU.., not in a fully connected layer"),
    "a window without middle": (SIDE + changed(2, size=4), "a window of 4 has no middle"),
    "two parameters": (one_layer("ReLU", block(123, b""), block(123, b"")), "there twice"),
    "a thousand layers": (whole() + current(alexnet()[1]) * 1000, "not what the layer before"),
    "many ReLUs": (
        whole() + b"".join(current(step) for step in [Step("relu", "r", "fc8", "fc8")] * 1000),
        "1 to 128",
    ),
    "a million empty layers": (b"\xa2\x06\x00" * 10**6, "more than 16384 fields"),
    "a nested group": (block(100, block(1, "x") + b"\x0b" * 1000), "wire type 3"),
    "a name of binary": (block(100, block(1, b"\xff\xfe\x00") + block(2, "ReLU")), "UTF-8"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path, refusal, name):
    data, reason = HOSTILE[name]
    (tmp_path / "m.caffemodel").write_bytes(data)
    refusal(caffe.read, tmp_path / "m.caffemodel", reason)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (
            "mean.npy",
            b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 999999, 999999)}",
        ),
        ("mean.npy", b"\x93NUMPY"),
        ("mean.npy", b"\x80\x04cos\nsystem\n"),
        ("mean.binaryproto", number(1, 1) + number(2, 3) + number(3, 10**6) + number(4, 10**6) + ZEROS),
        ("mean.binaryproto", block(7, b"") + floats(5, np.zeros(1))),
        ("mean.binaryproto", b""),
        ("mean.binaryproto", number(1, 1) + number(2, 3) + number(3, 8) + number(4, 8) + floats(5, np.zeros(192))),
        ("mean.binaryproto", block(7, packed(1, [3])) + floats(5, np.full(3, np.nan))),
    ],
)
def test_hostile_means_are_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=name):
        with_mean(imagenet_rule(67, 3), tmp_path / name)


def test_an_npy_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "mean.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(WeightsError, match=r"mean\.npy"):
        with_mean(imagenet_rule(67, 3), tmp_path / "mean.npy")


def test_another_variant_than_the_one_asked_for(tmp_path):
    path = written(tmp_path / "m", alexnet(), before=SIDE)
    with pytest.raises(WeightsError, match="its layers are not those of caffenet"):
        caffe.read(path, variant("caffenet", 5))


@pytest.mark.parametrize(
    "head", [b"PK\x03\x04" + bytes(60), b"\x89HDF\r\n\x1a\n" + bytes(60), b"\x08\x08\x12\x07pytorch", b"{}"]
)
def test_other_formats_are_not_taken_for_caffes(tmp_path, head):
    assert not caffe.recognises(tmp_path / "m", head)


SMALL = whole()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_mutated_files_are_read_or_refused(tmp_path_factory, changes, at_heads):
    """Most bytes are weights; half of the examples change those around them, at the beginning of each layer."""
    data = bytearray(SIDE + SMALL)
    heads = [i + j for i in range(len(data)) if data.startswith(b"\xa2\x06", i) for j in range(60)]
    for place, value in changes:
        data[heads[place % len(heads)] % len(data) if at_heads else place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(data)
    try:
        foreign = caffe.read(path)
    except WeightsError as error:
        assert "\n" not in str(error)
        return
    assert all(torch.isfinite(tensor).all() for tensor in foreign.tensors.values())
    skeleton(foreign.variant, foreign.input.size).load_state_dict(foreign.tensors, assign=True)
