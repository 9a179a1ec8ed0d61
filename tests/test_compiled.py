"""Kernels in C, built once, whoever comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

from alexnet import compiled


@pytest.mark.parametrize("kernel", [compiled.RESPONSE_NORM, compiled.SCALING], ids=lambda kernel: kernel.name)
def test_many_processes_build_it_at_once(tmp_path, kernel):
    code = f"import torch; from alexnet import compiled; k = compiled.{kernel.name.upper()}; print(compiled.build(k))"
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate()[0].strip() for process in running}
    built = list((tmp_path / "alexnet" / "kernels").iterdir())
    assert said in ({"True"}, {"False"}) and len(built) == (said == {"True"})
