"""A process that saves and loads checkpoints on request, so that a fault can be put into one save out of many.

Lines on its standard input: `load FOLDER` prints the step and the digest of what was found, `save FOLDER` forks a child
and prints its id; `go` lets that child save, and prints how it ended.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import torch

from alexnet.errors import AlexNetError
from alexnet.network.model import build
from alexnet.training.checkpoint import Checkpoints, State, Sums
from alexnet.training.optimizer import make_optimizer
from alexnet.training.recipes import recipe

CONFIG = {"seed": 0}


def fresh() -> State:
    """A network before its first step."""
    network = build("lenet-5", classes=3, seed=0)
    return State(network, make_optimizer(network, recipe("fast")), Sums.zero(torch.device("cpu")))


def advance(state: State) -> None:
    """A step, with gradients out of nowhere."""
    state.step += 1
    for parameter in state.network.parameters():
        parameter.grad = torch.full_like(parameter, 0.01 * state.step)
    state.optimizer.step()
    state.history.append({"epoch": state.step, "valid_loss": 1 / 3 / state.step})


def digest(state: State) -> str:
    tensors = sorted(state.tensors().items())
    content = b"".join(name.encode() + tensor.detach().numpy().tobytes() for name, tensor in tensors)
    return hashlib.sha256(content + repr(state.history).encode()).hexdigest()


def load(folder: Path) -> str:
    state = fresh()
    try:
        found = Checkpoints(folder, CONFIG).load(state)
    except AlexNetError as error:
        return f"error {error.exit_code}"
    return f"{state.step} {digest(state)}" if found else "none"


def save(folder: Path, state: State) -> None:
    """In a child: wait for `go`, save, and end with the exit code of what happened."""
    os.read(gate, 1)
    try:
        Checkpoints(folder, CONFIG).save(state)
    except AlexNetError as error:
        os._exit(error.exit_code)
    os._exit(0)


torch.set_num_threads(1)  # a pool of threads would not survive the fork
state = fresh()
for _ in range(2):
    advance(state)
    Checkpoints(Path(sys.argv[1]), CONFIG).save(state)
    print(state.step, digest(state), flush=True)
advance(state)
print(state.step, digest(state), flush=True)
gate, opener = os.pipe()
for line in sys.stdin:
    verb, _, path = line.strip().partition(" ")
    if verb == "load":
        print(load(Path(path)), flush=True)
    elif verb == "save":
        child = os.fork()
        if child == 0:
            save(Path(path), state)
        print(child, flush=True)
    else:
        os.write(opener, b"!")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
