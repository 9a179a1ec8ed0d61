"""Caffe's AlexNet, as narrow as one likes, as a list of steps; and what Caffe computes with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

MEAN = (104.00699, 116.66877, 122.67891)


@dataclass
class Step:
    """A layer of a net: Caffe's kind, its name, parameters and values."""

    kind: str
    name: str
    bottom: str
    top: str
    values: dict = field(default_factory=dict)
    blobs: list = field(default_factory=list)


def alexnet(classes=5, channels=3, maps=(8, 12, 8, 8, 12), units=(16, 16), side=67, order="norm pool", last="fc8"):
    """Caffe's AlexNet or, with another `order`, CaffeNet; as narrow as one likes."""
    rng = np.random.default_rng(classes)
    steps, top, shape = [], "data", (channels, side)

    def add(kind, name, values=None, blobs=(), inplace=False):
        nonlocal top
        steps.append(Step(kind, name, top, top if inplace else name, values or {}, list(blobs)))
        top = top if inplace else name

    def weights(*sides):
        fan_in = math.prod(sides[1:])
        return [rng.normal(0, (2 / fan_in) ** 0.5, sides).astype("f"), rng.normal(0, 0.3, sides[0]).astype("f")]

    def pool(index):
        nonlocal shape
        add("pool", f"pool{index}", {"kernel": 3, "stride": 2})
        shape = (shape[0], -(-(shape[1] - 3) // 2) + 1)

    kernels, strides, pads, groups = (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), (0, 2, 1, 1, 1), (1, 2, 1, 2, 2)
    for i, (count, kernel, stride, pad, group) in enumerate(zip(maps, kernels, strides, pads, groups, strict=True), 1):
        values = {"num_output": count, "kernel": kernel, "stride": stride, "pad": pad, "group": group}
        add("conv", f"conv{i}", values, weights(count, shape[0] // group, kernel, kernel))
        shape = (count, (shape[1] + 2 * pad - kernel) // stride + 1)
        add("relu", f"relu{i}", inplace=True)
        for kind in order.split() if i < 3 else ["pool"] if i == 5 else []:
            pool(i) if kind == "pool" else add("lrn", f"norm{i}", {"size": 5, "alpha": 1e-4, "beta": 0.75})
    width = shape[0] * shape[1] ** 2
    for i, count in enumerate((*units, classes), 6):
        name = last if i == 8 else f"fc{i}"
        add("fc", name, {"num_output": count}, weights(count, width))
        if i == 8:
            steps[-1].blobs[0] *= 0.1  # logits of the order of 10, as a classifier's are
        width = count
        if i < 8:
            add("relu", f"relu{i}", inplace=True)
            add("dropout", f"drop{i}", {"ratio": 0.5}, inplace=True)
    return steps


def computed(steps, pictures, mean=MEAN, scale=1.0):
    """Logits for uint8 RGB pictures [N, H, W, 3], as Caffe's layers are described."""
    x = torch.from_numpy(pictures[..., ::-1].astype(np.float32) - np.asarray(mean, np.float32)) * scale
    x = x.permute(0, 3, 1, 2)
    for step in steps:
        v, blobs = step.values, [torch.from_numpy(blob) for blob in step.blobs]
        match step.kind:
            case "conv":
                x = F.conv2d(x, *blobs, stride=v["stride"], padding=v["pad"], groups=v["group"])
            case "relu":
                x = x.relu()
            case "lrn":
                x = F.local_response_norm(x, v["size"], v["alpha"], v["beta"], k=1.0)
            case "pool":
                x = F.max_pool2d(x, v["kernel"], v["stride"], ceil_mode=True)
            case "fc":
                x = F.linear(x.flatten(1), *blobs)
    return x.numpy()
