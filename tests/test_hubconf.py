"""`torch.hub` finds every network in a clone of the repository, where the package is not installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL
import pytest
import safetensors
import torch

import alexnet
from alexnet.errors import UsageError, WeightsError
from alexnet.network.architecture import Input
from alexnet.network.layers import Pixels
from alexnet.network.variants import VARIANTS, variant
from alexnet.weights import files

ROOT = Path(__file__).parents[1]
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 67, 67, 3), dtype=np.uint8)

NOT_NEEDED = ("alexnet", "__editable__", "click", "rich", "matplotlib", "jinja2", "huggingface_hub")

FROM_A_CLONE = """
import json, sys
site, trained = sys.argv[1:]
sys.path.append(site)
import torch

def load(entry, *arguments, **options):
    return torch.hub.load("owner/alexnet:main", entry, *arguments, trust_repo=True, verbose=False, **options)

network = load("lenet_5", classes=2)
found = {
    "list": torch.hub.list("owner/alexnet:main", trust_repo=True, verbose=False),
    "parameters": sum(parameter.numel() for parameter in network.parameters()),
    "logits": load("model", trained).logits(torch.zeros(1, 67, 67, 3, dtype=torch.uint8).numpy()).shape,
    "training": load("batch_norm", weights=trained).training,
}
import alexnet
print(json.dumps(found | {"version": alexnet.__version__, "file": alexnet.__file__}))
"""


def load(entry, *arguments, **options):
    return torch.hub.load(str(ROOT), entry, *arguments, source="local", **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file of a batch-norm whose statistics are not those of a new network."""
    value = variant("batch-norm", 3)
    network = alexnet.build(value, size=67)
    with torch.no_grad():
        network(torch.rand(4, 3, 67, 67))
    rule = Input(size=67, stored=76, mean=(120.0, 110.0, 100.0), scale=(1 / 64,) * 3)
    path = tmp_path_factory.mktemp("hub") / "trained.safetensors"
    files.save(path, network.state_dict(), files.Description(value, ("a", "b", "c"), rule))
    return path


def test_a_clone_needs_no_installation(tmp_path, trained):
    """As torch.hub has it in its folder after download; what hubconf.py does not name as needed is not there."""
    clone, site = tmp_path / "torch" / "hub" / "owner_alexnet_main", tmp_path / "site"
    shutil.copytree(ROOT / "src", clone / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "hubconf.py", clone)
    site.mkdir()
    for place in {Path(module.__file__).parents[1] for module in (torch, np, PIL, safetensors)}:
        for entry in place.iterdir():
            if not entry.name.startswith(NOT_NEEDED):
                (site / entry.name).symlink_to(entry)
    command = [sys.executable, "-I", "-S", "-c", FROM_A_CLONE, str(site), str(trained)]
    environment = {**os.environ, "TORCH_HOME": str(tmp_path / "torch")}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert sorted(found["list"]) == sorted(["model", *(name.replace("-", "_") for name in VARIANTS)])
    assert (found["parameters"], found["logits"], found["training"]) == (61_706 - 8 * 85, [1, 3], False)
    assert found["version"] == alexnet.__version__
    assert Path(found["file"]).is_relative_to(clone)


@pytest.mark.parametrize("entry", ["lenet_5", "figure_1_relu"])
def test_an_entry_is_what_build_gives(entry):
    ours, built = load(entry, classes=4, seed=3), alexnet.build(entry.replace("_", "-"), classes=4, seed=3)
    assert str(ours) == str(built) and ours.training
    for (name, left), right in zip(ours.state_dict().items(), built.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


def test_weights_answer_as_the_model_does(trained):
    """The module behind its first stage, beside `alexnet.load`, which has both."""
    network, model = load("batch_norm", weights=trained), load("model", trained)
    assert not network.training and all(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        logits = network(Pixels(model.input)(torch.from_numpy(PICTURES)))
    expected = alexnet.load(trained, precision="float32").logits(PICTURES)
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_training_on_leaves_the_file_as_it_is(trained):
    before = trained.read_bytes()
    network = load("batch_norm", weights=trained)
    network(torch.rand(2, 3, 67, 67)).sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.sub_(parameter.grad)
    assert trained.read_bytes() == before


def test_what_cannot_be(tmp_path, trained):
    with pytest.raises(UsageError, match="batch-norm, not krizhevsky-2012"):
        load("krizhevsky_2012", weights=trained)
    with pytest.raises(UsageError, match="leave them out"):
        load("batch_norm", classes=2, weights=trained)
    with pytest.raises(UsageError, match="no such model"):
        load("batch_norm", weights=tmp_path / "nothing.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(trained.read_bytes()[:-1])
    with pytest.raises(WeightsError):
        load("model", damaged)
