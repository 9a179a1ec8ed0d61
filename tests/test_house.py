"""Rules of the project that no linter can see: what an import loads in the end, and what an installation brings."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import alexnet

ROOT = Path(__file__).parents[1]
PACKAGE = Path(alexnet.__file__).parent

IMPORT_ONE_BY_ONE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(f"importing {name} loads torch")
"""


def modules_of(folder: str) -> list[str]:
    files = sorted(file for file in (PACKAGE / folder).rglob("*.py") if file.stem != "__init__")
    return [".".join(["alexnet", *file.relative_to(PACKAGE).with_suffix("").parts]) for file in files]


def fresh_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter, since this one may have loaded anything by now."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)


def resolution(*requirements: str) -> dict[str, dict[str, Any]]:
    """Name → metadata of all packages that pip would install into an empty environment."""
    options = ["--dry-run", "--ignore-installed", "--quiet", "--quiet", "--report", "-"]
    command = [sys.executable, "-m", "pip", "install", *options, *requirements]
    report = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert report.returncode == 0, report.stderr
    packages = [entry["metadata"] for entry in json.loads(report.stdout)["install"]]
    return {normalised(package["name"]): package for package in packages}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_only_training_needs_torch() -> None:
    """Tables, data sets, stores, metrics and the command line must not wait for it."""
    modules = ["alexnet", "alexnet.network.variants", "alexnet.network.summary", *modules_of("cli")]
    for folder in ("pictures", "evaluation", "use"):
        modules += modules_of(folder)
    loaded = fresh_python("-c", IMPORT_ONE_BY_ONE, *modules)
    assert loaded.returncode == 0, loaded.stderr


def test_help_leaves_torch_alone() -> None:
    answer = fresh_python("-X", "importtime", "-m", "alexnet", "--help")
    assert answer.returncode == 0, answer.stderr
    assert "Usage" in answer.stdout
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "alexnet.cli.main" in imported and "torch" not in imported


@pytest.mark.slow
def test_installation_brings_no_torchvision_and_no_cuda_of_its_own() -> None:
    """torchvision does not import beside torch's CPU build; CUDA packages are torch's affair alone."""
    torch_alone = resolution("torch", "-c", "constraints.txt")
    added = resolution(".[all]").keys() - torch_alone.keys()
    assert not [name for name in added if name == "torchvision" or name.startswith("nvidia-")]


@pytest.mark.slow
def test_constraints_pin_every_package() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {normalised(line.partition("==")[0]) for line in lines if line and not line.startswith("#")}
    needed = resolution(".[all,dev]", "-c", "constraints.txt").keys()
    assert needed - pinned == {"alexnet", "setuptools"}  # setuptools belongs to the environment, as pip does
