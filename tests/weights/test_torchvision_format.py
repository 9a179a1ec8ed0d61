"""PyTorch's files: torchvision's alexnet in the layouts seen in the wild, and files that must be refused.

torchvision itself cannot be installed beside torch's CPU build; its network and its preprocessing are written out here,
after torchvision 0.28, `models/alexnet.py` and `transforms/_presets.py`.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torch import nn

from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import Input
from alexnet.network.layers import Pixels
from alexnet.network.model import build, skeleton
from alexnet.network.variants import VARIANTS, variant
from alexnet.pictures.decode import fit
from alexnet.pictures.views import centre
from alexnet.weights.files import Description
from alexnet.weights.formats import torchvision

pytestmark = pytest.mark.filterwarnings("ignore:torch.quantize")
PHOTOS = [Image.fromarray(photo) for photo in load_sample_images().images]


class AlexNet(nn.Module):
    """torchvision's, with `units` where it has 4096."""

    def __init__(self, classes=5, units=64):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(256 * 36, units), nn.ReLU(),
            nn.Dropout(), nn.Linear(units, units), nn.ReLU(),
            nn.Linear(units, classes),
        )  # fmt: skip

    def forward(self, pictures):
        return self.classifier(torch.flatten(self.avgpool(self.features(pictures)), 1))


def fewer(make):
    """A function for `VARIANTS` that makes a variant with 64 units where there are 4096."""

    def made(classes=1000, channels=3):
        value = make(classes, channels)
        layers = ((name, replace(x, units=64) if name in ("fc6", "fc7") else x) for name, x in value.layers)
        return replace(value, layers=tuple(layers))

    return made


@pytest.fixture(autouse=True)
def _fewer(monkeypatch, request):
    """Files of 12 MB instead of 230, but in slow tests."""
    if "slow" not in request.keywords:
        for name, make in dict(VARIANTS).items():
            monkeypatch.setitem(VARIANTS, name, fewer(make))


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return AlexNet().eval()


@pytest.fixture(scope="module")
def their_logits(theirs):
    with torch.inference_mode():
        return [theirs(their_input(photo)) for photo in PHOTOS]


def their_input(photo):
    """Resize(256), CenterCrop(224), to 0..1, Normalize."""
    width, height = photo.size
    shorter = min(width, height)
    photo = photo.resize((int(256 * width / shorter), int(256 * height / shorter)), Image.Resampling.BILINEAR)
    left, top = (round((side - 224) / 2.0) for side in photo.size)
    values = torch.from_numpy(np.array(photo.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1) / 255
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return ((values - mean) / deviation)[None]


def our_logits(foreign, photo):
    network = skeleton(foreign.variant, foreign.input.size)
    network.load_state_dict(foreign.tensors, assign=True)
    pictures = centre(fit(photo, foreign.input.stored, foreign.input.resize)[None], foreign.input.size)
    with torch.inference_mode():
        return network.eval()(Pixels(foreign.input)(torch.from_numpy(np.array(pictures))))


def read(path, wanted=None):
    with path.open("rb") as file:
        assert torchvision.recognises(path, file.read(4096))
    return torchvision.read(path, wanted)


WRAPPED = {
    "as it is": lambda state: state,
    "ImageNet example": lambda state: {
        "epoch": 90,
        "arch": "alexnet",
        "best_acc1": torch.tensor(56.5),
        "state_dict": {key.replace("features.", "features.module."): tensor for key, tensor in state.items()},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01, "params": [0]}]},
    },
    "DataParallel": lambda state: OrderedDict((f"module.{key}", tensor) for key, tensor in state.items()),
    "references": lambda state: {"model": state, "epoch": 3},
    "parameters": lambda state: {key: nn.Parameter(tensor) for key, tensor in state.items()},
    "half": lambda state: {key: tensor.half() for key, tensor in state.items()},
    "double": lambda state: {key: tensor.double() for key, tensor in state.items()},
    "channels last": lambda state: {
        key: tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        for key, tensor in state.items()
    },
}


LAYOUTS = [*((name, True) for name in WRAPPED), ("as it is", False), ("ImageNet example", False)]


@pytest.mark.parametrize(("wrapping", "zipped"), LAYOUTS, ids=lambda value: {True: "zip", False: "legacy"}.get(value))
def test_every_layout_gives_the_same_logits(tmp_path, theirs, their_logits, wrapping, zipped):
    path = tmp_path / "alexnet.pth"
    torch.save(WRAPPED[wrapping](theirs.state_dict()), path, _use_new_zipfile_serialization=zipped)
    found = read(path)
    assert (found.variant, found.classes) == (variant("torchvision", 5), None)
    assert {tensor.dtype for tensor in found.tensors.values()} == {torch.float32}
    number = LAYOUTS.index((wrapping, zipped)) % len(PHOTOS)
    difference = (our_logits(found, PHOTOS[number]) - their_logits[number]).abs().max()
    assert difference < (1e-3 if wrapping == "half" else 1e-5)


@pytest.mark.slow
def test_the_whole_network(tmp_path):
    whole = AlexNet(1000, 4096).eval()
    torch.save(whole.state_dict(), tmp_path / "alexnet-owt-7be5be79.pth")
    found = read(tmp_path / "alexnet-owt-7be5be79.pth")
    assert found.variant == variant("torchvision")
    with torch.inference_mode():
        assert max((our_logits(found, p) - whole(their_input(p))).abs().max() for p in PHOTOS) < 1e-4
    torchvision.write(tmp_path / "ours.pth", described(found.variant, 1000), found.tensors)
    AlexNet(1000, 4096).load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True))


def test_safetensors_without_a_description(tmp_path, theirs):
    save_file(theirs.state_dict(), tmp_path / "alexnet.safetensors")
    found = read(tmp_path / "alexnet.safetensors")
    assert found.input == read_rule()
    assert {"resize rule", "mean and scale"} <= {*found.guessed}
    assert torch.equal(found.tensors["fc7.weight"], theirs.classifier[4].weight)


def read_rule():
    mean, scale = (255 * 0.485, 255 * 0.456, 255 * 0.406), (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225))
    return Input(224, 256, "crop", "RGB", mean, scale)


def described(value, classes=5):
    return Description(value, tuple(map(str, range(classes))), read_rule())


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_what_we_write_torchvision_loads(tmp_path, ending):
    value = variant("torchvision", 5)
    ours, path = build(value), tmp_path / f"ours{ending}"
    torchvision.write(path, described(value), ours.state_dict())
    theirs = AlexNet()
    if ending == ".pth":
        state = torch.load(path, weights_only=True)
    else:
        from safetensors.torch import load_file

        state = load_file(path)
    theirs.load_state_dict(state)
    pictures = their_input(PHOTOS[0])
    with torch.inference_mode():
        assert torch.allclose(theirs.eval()(pictures), ours.eval()(pictures), atol=1e-5)
    assert all(torch.equal(read(path).tensors[name], tensor) for name, tensor in ours.state_dict().items())


def test_writing_is_for_torchvisions_network(tmp_path):
    other = variant("single-column", 5)
    with pytest.raises(UsageError, match="single-column"):
        torchvision.write(tmp_path / "x.pth", described(other), {})
    with pytest.raises(UsageError, match=r"\.h5"):
        tensors = build(variant("torchvision", 5)).state_dict()
        torchvision.write(tmp_path / "x.h5", described(variant("torchvision", 5)), tensors)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------- our names


def test_our_names_are_recognised_by_their_shapes(tmp_path):
    network = build("lenet-5", 7, 1)
    torch.save(network.state_dict(), tmp_path / "lenet.pt")
    found = read(tmp_path / "lenet.pt")
    assert found.variant == variant("lenet-5", 7, 1)
    assert found.input.order == "grey" and len(found.input.mean) == 1
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in network.state_dict().items())


def test_networks_of_one_shape_need_a_name(tmp_path):
    value = variant("caffenet", 3)
    torch.save(build(value).state_dict(), tmp_path / "net.pth")
    with pytest.raises(UsageError, match=r"--variant.*krizhevsky-2012.*bvlc-alexnet.*caffenet"):
        read(tmp_path / "net.pth")
    assert read(tmp_path / "net.pth", variant("caffenet")).variant == value
    with pytest.raises(WeightsError, match=r"conv1.weight is \(96, 3, 11, 11\) float32, not \(64, 3, 11, 11\)"):
        read(tmp_path / "net.pth", variant("torchvision"))


# -------------------------------------------------------------------------------------------------------- hostile files


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


def state(**changes):
    """A state dict of a small network with torchvision's keys, cheap and of the wrong shapes."""
    tensors = {f"{name}.{kind}": torch.zeros(2, 2) for name in torchvision.KEYS.values() for kind in ("weight", "bias")}
    return tensors | changes


def saved(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


def with_pickle(path, pickled):
    """A zip as torch writes it, with another pickle inside."""
    saved(path, state())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)


def rezipped(path, compression, extra=()):
    saved(path, state())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in [*members.items(), *extra]:
            archive.writestr(name, content)


def legacy(path, pickled):
    """The older serialisation with another pickle for its object."""
    parts = [pickle.dumps(part, 2) for part in (torch.serialization.MAGIC_NUMBER, 1001, {"little_endian": True})]
    path.write_bytes(b"".join(parts) + pickled + pickle.dumps([], 2))


def rebuilt(offset=0, shape=(2, 2), stride=(2, 1), numel=4, key="0", kind="FloatStorage"):
    """A pickle of {"features.0.weight": tensor} whose tensor claims what it likes of the first storage."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):
        def persistent_id(self, thing):
            return ("storage", getattr(torch, kind), key, "cpu", numel) if isinstance(thing, Storage) else None

    stream = io.BytesIO()
    tensor = Call(torch._utils._rebuild_tensor_v2, Storage(), offset, shape, stride, False, OrderedDict())
    Pickler(stream, 2).dump({"features.0.weight": tensor})
    return stream.getvalue()


def system(marker):
    return Call(os.system, f"touch {marker}")


def damaged(path):
    saved(path, state(**{"features.0.weight": torch.arange(4096.0)}))
    content = bytearray(path.read_bytes())
    place = content.find(struct.pack("<2f", 1000.0, 1001.0))
    content[place] ^= 0xFF
    path.write_bytes(content)


def cut(path, zipped):
    saved(path, state(**{"features.0.weight": torch.zeros(4096)}), zipped)
    path.write_bytes(path.read_bytes()[:-9000])


def tar(path):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))


def many_members(path):
    """A table of contents of 3 MB."""
    rezipped(path, zipfile.ZIP_STORED, [(f"archive/data/{'x' * 200}{n}", b"") for n in range(10_000)])


def overlapping(path):
    """A hundred members that are all the same 4 MB."""
    saved(path, {"a": torch.zeros(2**20)})
    with zipfile.ZipFile(path, "a") as archive:
        big = next(member for member in archive.infolist() if member.filename.endswith("data/0"))
        for number in range(100):
            copy = zipfile.ZipInfo(f"archive/data/{number + 1}")
            copy.header_offset, copy.CRC, copy.file_size = big.header_offset, big.CRC, big.file_size
            copy.compress_size = big.compress_size
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
        archive._didModify = True


HUGE = pickle.dumps(Call(bytearray, 20 * 2**30), 2)  # as much memory as it likes, of torch's restricted reader too
BUILD = b"\x80\x02ccollections\nOrderedDict\n)R}X\x08\x00\x00\x00__dict__cposix\nsystem\nsb."
NESTED = b"\x80\x02" + b"(" * 30_000 + b"l" * 30_000 + b"."

HOSTILE = {
    "zip that calls the system": lambda p, m: with_pickle(p, pickle.dumps(system(m), 2)),
    "zip with a call beside the weights": lambda p, m: saved(p, state() | {"x": system(m)}),
    "legacy that calls the system": lambda p, m: legacy(p, pickle.dumps(system(m), 2)),
    "legacy with a call beside the weights": lambda p, m: saved(p, state() | {"x": system(m)}, False),
    "first pickle of a legacy file": lambda p, m: p.write_bytes(pickle.dumps(system(m), 2)),
    "newer protocol": lambda p, m: p.write_bytes(pickle.dumps(system(m), 5)),
    "eval": lambda p, m: with_pickle(p, pickle.dumps(Call(eval, f"open({str(m)!r}, 'w')"), 2)),
    "import": lambda p, m: with_pickle(p, b"\x80\x02cos\nsystem\n(S'true'\ntR."),
    "instance": lambda p, m: with_pickle(p, b"\x80\x02(S'touch %s'\nios\nsystem\n." % bytes(m)),
    "build": lambda p, m: with_pickle(p, BUILD),
    "a whole model": lambda p, m: saved(p, nn.ReLU()),
    "memory": lambda p, m: with_pickle(p, HUGE),
    "memory, legacy": lambda p, m: legacy(p, HUGE),
    "nested": lambda p, m: with_pickle(p, NESTED),
    "long pickle": lambda p, m: with_pickle(p, b"\x80\x02" + b"N0" * 2**20 + b"."),
    "sparse": lambda p, m: saved(p, state(**{"features.0.weight": torch.eye(2).to_sparse()})),
    "quantised": lambda p, m: saved(
        p, state(**{"features.0.weight": torch.quantize_per_tensor(torch.zeros(2, 2), 0.1, 0, torch.qint8)})
    ),
    "meta": lambda p, m: saved(p, state(**{"features.0.weight": torch.zeros(2, 2, device="meta")})),
    "expanded": lambda p, m: saved(p, state(**{"features.0.weight": torch.zeros(1).expand(2**20, 2**14)})),
    "shared": lambda p, m: saved(p, dict.fromkeys(state(), torch.zeros(2, 2))),
    "beyond its storage": lambda p, m: with_pickle(p, rebuilt(shape=(8, 8), stride=(8, 1))),
    "beyond its storage, legacy": lambda p, m: legacy(p, rebuilt(shape=(8, 8), stride=(8, 1))),
    "huge strides": lambda p, m: with_pickle(p, rebuilt(stride=(2**60, 2**60))),
    "huge offset": lambda p, m: with_pickle(p, rebuilt(offset=2**62)),
    "negative": lambda p, m: with_pickle(p, rebuilt(shape=(-2, 2))),
    "huge storage": lambda p, m: with_pickle(p, rebuilt(numel=2**50)),
    "huge storage, legacy": lambda p, m: legacy(p, rebuilt(numel=2**40)),
    "no such storage": lambda p, m: with_pickle(p, rebuilt(key="../../etc/passwd")),
    "not finite": lambda p, m: saved(p, state(**{"features.0.weight": torch.tensor([[1.0, float("nan")]])})),
    "infinite": lambda p, m: saved(p, state(**{"features.0.weight": torch.tensor([[1.0, float("inf")]])})),
    "infinite in float32": lambda p, m: saved(p, state(**{"features.0.weight": torch.tensor([1e300]).double()})),
    "integers": lambda p, m: saved(p, state(**{"features.0.weight": torch.zeros(2, 2, dtype=torch.int32)})),
    "complex": lambda p, m: saved(p, state(**{"features.0.weight": torch.zeros(2, 2, dtype=torch.complex64)})),
    "strings": lambda p, m: saved(p, {"features.0.weight": "abc"}),
    "numbers for names": lambda p, m: saved(p, {0: torch.zeros(2)}),
    "a list": lambda p, m: saved(p, [torch.zeros(2)]),
    "nothing": lambda p, m: saved(p, {}),
    "wrong shapes": lambda p, m: saved(p, state()),
    "unexpected": lambda p, m: saved(p, state(**{"features.1.running_mean": torch.zeros(64)})),
    "missing": lambda p, m: saved(p, {"features.0.weight": torch.zeros(64, 3, 11, 11)}),
    "twice the same": lambda p, m: saved(p, state() | {"module.features.0.weight": torch.zeros(2)}),
    "other names": lambda p, m: saved(p, {"layer1.0.conv1.weight": torch.zeros(2)}),
    "compressed": lambda p, m: rezipped(p, zipfile.ZIP_DEFLATED),
    "bomb": lambda p, m: rezipped(p, zipfile.ZIP_DEFLATED, [("archive/data/99", bytes(2**26))]),
    "outside": lambda p, m: rezipped(p, zipfile.ZIP_STORED, [("../../marker", b"")]),
    "two pickles": lambda p, m: rezipped(p, zipfile.ZIP_STORED, [("other/data.pkl", pickle.dumps({}))]),
    "many members": lambda p, m: many_members(p),
    "overlapping members": lambda p, m: overlapping(p),
    "a bit flipped": lambda p, m: damaged(p),
    "cut": lambda p, m: cut(p, True),
    "cut, legacy": lambda p, m: cut(p, False),
    "no end": lambda p, m: p.write_bytes(b"PK\x03\x04" + b"data.pkl" * 100),
    "tar": lambda p, m: tar(p),
    "safetensors of nothing": lambda p, m: p.write_bytes((2**30).to_bytes(8, "little") + b"{}"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, marker, refusal, name):
    path = tmp_path / "hostile.pth"
    HOSTILE[name](path, marker)
    refusal(read, path)


def test_a_refusal_says_what_to_do(tmp_path):
    tar(tmp_path / "alexnet-owt-4df8aa71.pth")
    with pytest.raises(WeightsError, match=r"alexnet-owt-7be5be79\.pth"):
        read(tmp_path / "alexnet-owt-4df8aa71.pth")
    saved(tmp_path / "wrong.pth", state(**{"classifier.6.bias": torch.zeros(2)}))
    with pytest.raises(
        WeightsError, match=r"conv1.weight is \(2, 2\) float32, not \(64, 3, 11, 11\) float32"
    ) as refused:
        read(tmp_path / "wrong.pth")
    assert "fc8.bias" not in str(refused.value)
