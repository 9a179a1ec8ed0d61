"""Kernels in C, built once, whoever comes first."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from alexnet import compiled
from alexnet.pictures.decode import fit

COMPILER = shutil.which("cc", path="/usr/bin:/bin") is not None


@pytest.mark.parametrize("kernel", [compiled.RESPONSE_NORM, compiled.SCALING], ids=lambda kernel: kernel.name)
def test_many_processes_build_it_at_once(tmp_path, kernel):
    code = f"import torch; from alexnet import compiled; k = compiled.{kernel.name.upper()}; print(compiled.build(k))"
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert {process.communicate()[0].strip() for process in running} == {str(COMPILER)}
    assert len(list((tmp_path / "alexnet" / "kernels").iterdir())) == COMPILER


def test_without_a_home_there_are_no_kernels(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    compiled.loaded.cache_clear()
    assert compiled.build(compiled.SCALING) is False
    picture = Image.new("RGB", (50, 40), (1, 2, 3))
    assert (fit(picture, 16) == (1, 2, 3)).all()
    compiled.loaded.cache_clear()


def test_another_processor_has_a_kernel_of_its_own(monkeypatch):
    """Its name may be the same, in virtual machines; a cache may be shared."""
    here = compiled._library(compiled.SCALING)
    text = Path("/proc/cpuinfo").read_text()
    monkeypatch.setattr(Path, "read_text", lambda path: re.sub(r"(?m)^((flags|Features).*)$", r"\1 another", text))
    assert compiled._library(compiled.SCALING) != here
