"""Kills the writing of features at every call by which it touches the disk, and goes on with it each time.

    python killing.py PICTURES FOLDER STEP      STEP: 1 for every call, 3 for every third

Each attempt is a process of its own, forked before anything computes. Prints how many places it was killed at. The
network is a few lines of numpy and nothing waits for the disk, which a kill does not ask for: what is tried here is the
writing.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np

from alexnet.insight.features import extract, growing
from alexnet.insight.features import folder as feature_folder
from alexnet.network.architecture import Input
from alexnet.network.variants import variant
from alexnet.weights.files import Description
from alexnet.weights.model import Model

LAYERS = ("fc4", "conv1")
RULE = Input(size=32, stored=32, order="grey", mean=(0.0,), scale=(1.0,))


class Numpy:
    """Something of each picture for each layer."""

    def features(self, pictures, layers, precision):
        flat = pictures.reshape(len(pictures), -1).astype(np.float32)
        return {"fc4": flat[:, :84], "conv1": flat[:, : 6 * 28 * 28 // 2].repeat(2, axis=1).reshape(-1, 6, 28, 28)}


def write(pictures, out):
    value = variant("lenet-5", 3)
    model = Model(Numpy(), Description(value, ("ash", "birch", "cedar"), RULE))
    extract.load = lambda *_, **__: model
    extract.SECONDS = 0  # kept after every batch
    extract.extract(__file__, [str(pictures)], out, LAYERS, resume=True)


class Killer:
    """Ends the process, with no chance to say anything, at the call of a number."""

    def __init__(self, number):
        self.left = number
        sys.addaudithook(self.hear)
        for owner, name in ((os, "fsync"), (growing.Array, "append"), (growing.Table, "append")):
            setattr(owner, name, self.around(getattr(owner, name)))

    def hear(self, event, arguments):
        mine = event == "open" and isinstance(arguments[0], str | Path) and "out" in str(arguments[0])
        if mine or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            self.count()

    def around(self, call):
        def counted(*arguments):
            self.count()
            call(*arguments)
            self.count()

        return counted

    def count(self):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


def child(*work):
    """Exit status of a process that does some work."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        for step in work:
            step()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def digest(folder):
    files = sorted(folder.iterdir())
    return [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


def main(pictures, folder, step):
    os.fsync = lambda _: None
    whole, out = folder / "whole", folder / "out"
    assert child(lambda: write(pictures, whole)) == 0
    number, killed, status = 1, 0, None
    while status != 0:
        status = child(lambda number=number: Killer(number), lambda: write(pictures, out))
        assert status in (0, -signal.SIGKILL), status
        if out.exists():  # whole, or not there
            assert digest(out) == digest(whole), number
        assert child(lambda: write(pictures, out)) == 0, number
        assert digest(out) == digest(whole), number
        assert sorted(entry.name for entry in folder.iterdir()) == ["out", "whole"], number
        feature_folder.remove(out)
        number, killed = number + step, killed + (status != 0)
    print(killed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
