"""Other programs' ONNX files: written by the onnx library and by torch, computed by ONNX Runtime."""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from caffe_nets import MEAN, alexnet
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from wire import block, number, varint

from alexnet.errors import UsageError, WeightsError
from alexnet.network.model import skeleton
from alexnet.network.variants import variant
from alexnet.weights.formats import onnx as reader
from alexnet.weights.formats import onnx_file

FULL = {"maps": (96, 256, 384, 384, 256), "units": (4096, 4096)}


def tensor(name, values, how="raw"):
    if how == "raw":
        return numpy_helper.from_array(values, name)
    return helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.flatten().tolist())


def zoo(steps, side, pads="explicit", how="raw", batch=1, flat="Reshape"):
    """A graph as the model zoo has Caffe's networks: weights are inputs too, pads say how far pooling overhangs."""
    nodes, tensors, value, shape = [], [], "data_0", side
    for step in steps:
        v, name = step.values, f"{step.name}_1"
        own = [f"{step.name}_w_0", f"{step.name}_b_0"][: len(step.blobs)]
        tensors += [tensor(n, blob, how) for n, blob in zip(own, step.blobs, strict=True)]
        inputs, attributes, kind = [value, *own], {}, {"fc": "Gemm", "relu": "Relu", "lrn": "LRN"}.get(step.kind)
        if step.kind == "conv":
            kind, shape = "Conv", (shape + 2 * v["pad"] - v["kernel"]) // v["stride"] + 1
            attributes = {"kernel_shape": [v["kernel"]] * 2, "strides": [v["stride"]] * 2, "group": v["group"]}
            attributes["pads"] = [v["pad"]] * 4
        elif step.kind == "pool":
            kind, over = "MaxPool", -(shape - 3) % 2
            shape = -(-(shape - 3) // 2) + 1
            attributes = {"kernel_shape": [3, 3], "strides": [2, 2]}
            attributes |= {"pads": [0, 0, over, over]} if pads == "explicit" else {"ceil_mode": 1}
        elif step.kind == "lrn":
            attributes = {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
        elif step.kind == "fc":
            attributes = {"transB": 1}
            if shape:
                nodes += [flattened(flat, value, "flat", step.blobs[0].shape[1])]
                tensors += [tensor("flat_shape", np.array([batch, -1 if batch == 0 else step.blobs[0].shape[1]]))]
                inputs[0], shape = "flat", 0
        elif step.kind == "dropout":
            nodes += [helper.make_node("Dropout", [value], [name, f"_{name}_mask"])]
            value = name
            continue
        nodes += [helper.make_node(kind, inputs, [name], name="", **attributes)]
        value = name
    nodes += [helper.make_node("Softmax", [value], ["prob_1"], axis=1)]
    return finished(nodes, tensors, side, "prob_1", listed=how == "raw", channels=steps[0].blobs[0].shape[1])


def flattened(kind, value, name, length):
    inputs = [value, "flat_shape"] if kind == "Reshape" else [value]
    return helper.make_node(kind, inputs, [name])


def finished(nodes, tensors, side, output, listed=False, channels=3, **more):
    picture = helper.make_tensor_value_info("data_0", TensorProto.FLOAT, ["N", channels, side, side])
    inputs = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors] if listed else []
    end = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "bvlc_alexnet", [picture, *inputs], [end], tensors, **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)


def computed(model, pictures, mean=MEAN, scale=1.0, flip=True, output=None):
    """What ONNX Runtime gives for uint8 RGB pictures, one by one; of the value `output` if it is not the last."""
    if output:
        model = onnx.ModelProto.FromString(model.SerializeToString())
        model.graph.output[0].name = output
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = (pictures[..., ::-1] if flip else pictures).astype(np.float32)
    x = ((x - np.asarray(mean, np.float32)) * np.asarray(scale, np.float32)).transpose(0, 3, 1, 2)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: np.ascontiguousarray(one[None])})[0] for one in x])


def saved(path, model):
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


@pytest.mark.parametrize("side", [67, 80])
@pytest.mark.parametrize(
    ("pads", "how", "batch", "flat"),
    [
        ("explicit", "raw", 1, "Reshape"),
        ("ceil", "list", 0, "Reshape"),
        ("explicit", "list", -1, "Reshape"),
        ("ceil", "raw", 1, "Flatten"),
    ],
)
def test_the_zoos_layout(tmp_path, pictures, logits, side, pads, how, batch, flat):
    steps, crops = alexnet(side=side), pictures(side)
    model = zoo(steps, side, pads, how, batch, flat)
    path = saved(tmp_path / "m.onnx", model)
    assert reader.recognises(path, path.read_bytes()[:4096])
    foreign = reader.read(path)
    np.testing.assert_allclose(logits(foreign, crops), computed(model, crops, output="fc8_1"), rtol=1e-4, atol=1e-4)
    assert (foreign.variant.classes, foreign.input.size, foreign.input.order) == (5, side, "BGR")
    assert [name for name, _ in foreign.variant.layers] == [step.name for step in steps]
    assert foreign.guessed == ("resize rule", "mean and scale")


@pytest.mark.parametrize(("order", "name"), [("norm pool", "bvlc-alexnet"), ("pool norm", "caffenet")])
def test_names_by_what_is_computed(tmp_path, order, name):
    steps = alexnet(5, 3, FULL["maps"], FULL["units"], 67, order)
    foreign = reader.read(saved(tmp_path / "m", zoo(steps, 67)))
    assert foreign.variant == variant(name, 5)


@pytest.mark.slow
def test_the_zoos_network_whole(tmp_path, pictures, logits):
    steps, crops = alexnet(1000, 3, FULL["maps"], FULL["units"], 224), pictures(224)
    model = zoo(steps, 224)
    path = saved(tmp_path / "m", model)
    start = time.perf_counter()
    foreign = reader.read(path)
    assert time.perf_counter() - start < 4  # promised are two, alone on a machine
    np.testing.assert_allclose(logits(foreign, crops), computed(model, crops, output="fc8_1"), rtol=1e-4, atol=1e-4)
    assert foreign.variant == variant("bvlc-alexnet")  # for 227 in Caffe
    assert (foreign.input.size, foreign.input.stored) == (224, 256)


# ------------------------------------------------------------------------------------------------------- from torch


class Torchvision(nn.Module):
    """torchvision's alexnet; with `view`, as it flattened before 2019."""

    def __init__(self, maps, units, classes=4, channels=3, view=False, adaptive=6):
        super().__init__()
        a, b, c, d, e = maps
        pool = nn.MaxPool2d(3, 2)
        first = [
            nn.Conv2d(channels, a, 11, 4, 2),
            nn.ReLU(True),
            pool,
            nn.Conv2d(a, b, 5, padding=2),
            nn.ReLU(True),
            pool,
        ]
        for wide, narrow in ((b, c), (c, d), (d, e)):
            first += [nn.Conv2d(wide, narrow, 3, padding=1), nn.ReLU(True)]
        self.features, self.view = nn.Sequential(*first, pool), view
        self.avgpool = nn.AdaptiveAvgPool2d(adaptive)
        two = [nn.Dropout(), nn.Linear(e * adaptive**2, units), nn.ReLU(True), nn.Dropout(), nn.Linear(units, units)]
        self.classifier = nn.Sequential(*two, nn.ReLU(True), nn.Linear(units, classes))

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(x.view(x.size(0), -1) if self.view else torch.flatten(x, 1))


def exported(path, module, side, channels=3, dynamo=True):
    example = torch.zeros(2, channels, side, side)
    if dynamo:
        sides = {"dynamic_shapes": ({0: "N"},), "external_data": False, "verbose": False}
    else:
        sides = {"dynamic_axes": {"input": {0: "N"}}, "input_names": ["input"]}
    torch.onnx.export(module.eval(), (example,), path, dynamo=dynamo, **sides)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dynamo", "view", "adaptive", "channels"),
    [pytest.param(True, False, 1, 3, marks=pytest.mark.slow), (False, True, 1, 3), (False, False, 1, 1)],
)
def test_what_torch_exports(tmp_path, pictures, logits, dynamo, view, adaptive, channels):
    torch.manual_seed(0)
    module = Torchvision((8, 12, 8, 8, 12), 16, view=view, adaptive=adaptive, channels=channels)
    path = exported(tmp_path / "m.onnx", module, 67, channels, dynamo)
    foreign, crops = reader.read(path), pictures(67)
    assert foreign.input.resize == "crop" and foreign.variant.channels == channels
    x = (crops if channels == 3 else crops @ np.array([[0.299], [0.587], [0.114]])).astype(np.float32)
    expected = computed(onnx.load(path), x, foreign.input.mean, foreign.input.scale, flip=False)
    np.testing.assert_allclose(logits(foreign, crops), expected, rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        picture = (torch.from_numpy(x) - torch.tensor(foreign.input.mean)) * torch.tensor(foreign.input.scale)
        np.testing.assert_allclose(expected, module(picture.permute(0, 3, 1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [True, False])
def test_torchvisions_own_at_its_size(tmp_path, dynamo):
    """Its adaptive pooling has nothing to do at 224, and its dropout nothing in use."""
    module = Torchvision((64, 192, 384, 256, 256), 4096)
    foreign = reader.read(exported(tmp_path / "m.onnx", module, 224, dynamo=dynamo))
    assert foreign.variant == variant("torchvision", 4) and foreign.guessed == ("resize rule", "mean and scale")
    assert foreign.input.resize == "squash" and foreign.input.order == "RGB"
    np.testing.assert_array_equal(foreign.tensors["fc7.weight"], module.classifier[4].weight.detach())


def test_a_product_and_a_sum_are_a_layer(tmp_path, pictures, logits):
    """Also with float64 and float16 values, an overhanging convolution, and padding that keeps the size."""
    rng = np.random.default_rng(0)
    values = {
        "w1": rng.normal(0, 0.1, (4, 3, 5, 5)).astype("f"),
        "b1": rng.normal(size=4).astype("f"),
        "w2": rng.normal(0, 0.2, (6, 4, 3, 3)).astype("e"),
        "w3": rng.normal(0, 0.2, (6, 3)),
        "b3": rng.normal(size=3),
    }
    nodes = [
        helper.make_node("Conv", ["data_0", "w1", "b1"], ["c1"], strides=[4, 4], pads=[0, 0, 3, 3]),
        helper.make_node("Tanh", ["c1"], ["t1"]),
        helper.make_node("Conv", ["t1", "w2"], ["c2"], auto_pad="SAME_UPPER"),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("AveragePool", ["r2"], ["a2"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        helper.make_node("GlobalAveragePool", ["a2"], ["g2"]),
        helper.make_node("Shape", ["g2"], ["s"]),
        helper.make_node("Constant", [], ["first"], value=tensor("", np.array(0))),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Constant", [], ["axes"], value=tensor("", np.array([0]))),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Constant", [], ["rest"], value=tensor("", np.array([-1]))),
        helper.make_node("Concat", ["n1", "rest"], ["sides"], axis=0),
        helper.make_node("Reshape", ["g2", "sides"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["m3"]),
        helper.make_node("Add", ["b3", "m3"], ["out"]),
    ]
    model = finished(nodes, [tensor(name, array) for name, array in values.items()], 50, "out")
    model.opset_import[0].version = 13
    foreign, crops = reader.read(saved(tmp_path / "m", model)), pictures(50)
    same = finished(nodes, [tensor(name, array.astype("f")) for name, array in values.items()], 50, "out")
    same.opset_import[0].version = 13
    expected = computed(same, crops, foreign.input.mean, foreign.input.scale, flip=False)
    np.testing.assert_allclose(logits(foreign, crops), expected, rtol=1e-4, atol=1e-4)
    assert [name for name, _ in foreign.variant.layers][:3] == ["conv1", "tanh1", "conv2"]


# ------------------------------------------------------------------------------------------------------------- heads


def test_metadata_of_a_file_that_needs_nothing_else(tmp_path):
    steps = alexnet(5, 3, (96, 256, 384, 384, 256), (1024, 1024), 67)
    model = zoo(steps, 67)
    helper.set_model_props(model, {"alexnet": '{"name": "Krähe"}', "other": ""})
    path = saved(tmp_path / "m.onnx", model)
    start = time.perf_counter()
    assert onnx_file.inspect(path) == {"alexnet": '{"name": "Krähe"}', "other": ""}
    assert time.perf_counter() - start < 0.5  # it takes a few milliseconds
    with pytest.raises(UsageError, match="can be used as it is"):
        reader.read(path)


# ------------------------------------------------------------------------------------------------------------ refused


def altered(change):
    """A small graph with something changed."""
    model = zoo(alexnet(), 67)
    change(model)
    return model.SerializeToString()


def external(model):
    values = model.graph.initializer[0]
    values.ClearField("raw_data")
    values.data_location = TensorProto.EXTERNAL
    values.external_data.add(key="location", value="/etc/passwd")


def subgraph(model):
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["prob_1"], ["x"], then_branch=inner, else_branch=inner))


def hidden_tensor(model):
    value = TensorProto(name="c", dims=[1], data_type=1, data_location=TensorProto.EXTERNAL)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=value))


def node(**changes):
    """The node of an index with fields changed."""
    index = changes.pop("index", 0)

    def change(model):
        for name, value in changes.items():
            setattr(model.graph.node[index], name, value)

    return change


def attribute(index, name, value):
    def change(model):
        kept = [a for a in model.graph.node[index].attribute if a.name != name]
        del model.graph.node[index].attribute[:]
        model.graph.node[index].attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def weights(**changes):
    def change(model):
        for name, value in changes.items():
            field = getattr(model.graph.initializer[0], name)
            if isinstance(value, list):
                del field[:]
                field.extend(value)
            else:
                setattr(model.graph.initializer[0], name, value)

    return change


def poisoned(value):
    steps = alexnet()
    steps[0].blobs[0][3, 1, 4, 1] = value
    return zoo(steps, 67).SerializeToString()


def strings(model):
    model.graph.initializer[0].CopyFrom(TensorProto(name="conv1_w_0", dims=[1], data_type=8, string_data=[b"x"]))


def pictures_of(*sides):
    def change(model):
        dims = model.graph.input[0].type.tensor_type.shape.dim
        for dim, side in zip(dims[1:], sides, strict=True):
            dim.dim_value = side

    return change


CAFFE = block(1, "AlexNet") + block(2, "x")
WHOLE = zoo(alexnet(), 67).SerializeToString()
HOSTILE = {
    "empty": (b"", "an empty file"),
    "no graph": (number(1, 8), "without a graph"),
    "two graphs": (number(1, 8) + block(7, b"") * 2, "there twice"),
    "cut": (WHOLE[:-50], "damaged at byte"),
    "a length of an exabyte": (number(1, 8) + b"\x3a" + varint(2**60), "damaged at byte"),
    "a group": (WHOLE + b"\x0b", "wire type 3"),
    "a number of eleven bytes": (b"\x08" + b"\x80" * 10 + b"\x01", "more than ten bytes"),
    "the graph a number": (number(1, 8) + number(7, 1), "wire type"),
    "values in /etc/passwd": (altered(external), "has its values in another file"),
    "a constant's values elsewhere": (altered(hidden_tensor), "has its values in another file"),
    "an operator of another domain": (altered(node(domain="com.evil")), "of the domain 'com.evil'"),
    "a subgraph": (altered(subgraph), "holds a subgraph"),
    "functions": (WHOLE + block(25, block(1, "f")), "holds functions"),
    "training": (WHOLE + block(20, b""), "holds training"),
    "sparse tensors": (number(1, 8) + block(7, block(15, b"")), "sparse"),
    "strings": (altered(strings), "type 8"),
    "complex numbers": (altered(weights(data_type=14)), "type 14"),
    "int8 weights": (altered(weights(data_type=3)), "type 3"),
    "a segment": (altered(lambda model: model.graph.initializer[0].segment.SetInParent()), "segment"),
    "a shape of billions": (altered(weights(dims=[2**31] * 4)), "values for a shape"),
    "a shape that overflows to fit": (altered(weights(dims=[2**62, 4, 2, 363])), "values for a shape"),
    "negative sides": (altered(weights(dims=[-8, -3, 11, 11])), "values for a shape"),
    "another shape": (altered(weights(dims=[8, 11, 3, 11])), "not square"),
    "too few values": (altered(weights(raw_data=bytes(400))), "100 values for a shape"),
    "half a value": (altered(weights(raw_data=bytes(402))), "0 values for a shape"),
    "NaN": (poisoned(np.nan), "conv1.weight holds values that are not finite"),
    "infinity": (poisoned(np.inf), "conv1.weight holds values that are not finite"),
    "weights that are not there": (altered(lambda model: model.graph.initializer.pop(0)), "2 inputs"),
    "an unknown operator": (altered(node(op_type="Erf", index=1)), "'Erf' .* is none that an AlexNet has"),
    "a branch": (altered(lambda model: model.graph.node[2].input.__setitem__(0, "conv1_1")), "operator before gives"),
    "a stride of 0": (altered(attribute(0, "strides", [0, 0])), "not placed alike"),
    "a negative padding": (altered(attribute(0, "pads", [-1] * 4)), "is padded otherwise"),
    "unequal padding": (altered(attribute(0, "pads", [1, 0, 1, 0])), "is padded otherwise"),
    "holes": (altered(attribute(0, "dilations", [2, 2])), "dilated"),
    "groups of 0": (altered(attribute(0, "group", 0)), "Conv.groups cannot be 0"),
    "groups that do not divide": (altered(attribute(4, "group", 5)), "do not divide"),
    "padded pooling": (altered(attribute(3, "pads", [1] * 4)), "pools padded maps"),
    "a window larger than the maps": (altered(attribute(3, "kernel_shape", [99, 99])), "no output|none of our layers"),
    "a window of 0": (altered(attribute(3, "kernel_shape", [0, 0])), "not placed alike"),
    "a scaled product": (altered(attribute(-2, "alpha", 0.5)), "scales"),
    "a softmax over another axis": (altered(attribute(-1, "axis", 0)), "not over the classes"),
    "pictures too small": (altered(pictures_of(3, 20, 20)), "no output"),
    "pictures too large": (altered(pictures_of(3, 10**6, 10**6)), "takes pictures of"),
    "pictures that are not square": (altered(pictures_of(3, 67, 80)), "takes pictures of"),
    "pictures of five channels": (altered(pictures_of(5, 67, 67)), "its input is not float"),
    "another output": (altered(lambda model: setattr(model.graph.output[0], "name", "fc8_1")), "its output is not"),
    "a million nodes": (number(1, 8) + block(7, block(1, b"") * 10**6), "more than 16384 fields"),
    "text": (b"<html>" * 100, "damaged|without a graph"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path, refusal, name):
    data, reason = HOSTILE[name]
    assert "root:" not in refusal(reader.read, saved(tmp_path / "m.onnx", data), reason)


@pytest.mark.parametrize(
    "head", [b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(60), block(1, "AlexNet") + block(2, b"x"), b"{}"]
)
def test_other_formats_are_not_taken_for_onnx(tmp_path, head):
    assert not reader.recognises(tmp_path / "m", head)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_mutated_files_are_read_or_refused(tmp_path_factory, changes, at_nodes):
    """Most bytes are weights; half of the examples change the nodes, which come first."""
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place % (2500 if at_nodes else len(data))] = value
    path = saved(tmp_path_factory.getbasetemp() / "mutated.onnx", bytes(data))
    try:
        foreign = reader.read(path)
    except WeightsError as error:
        assert "\n" not in str(error)
        return
    assert all(torch.isfinite(tensor).all() for tensor in foreign.tensors.values())
    skeleton(foreign.variant, foreign.input.size).load_state_dict(foreign.tensors, assign=True)
