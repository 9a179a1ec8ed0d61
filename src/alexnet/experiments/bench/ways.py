"""One way of computing, measured, in a process of its own: `python -m alexnet.experiments.bench.ways WHAT …`"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alexnet.environment import keep_memory, peak_memory
from alexnet.experiments.bench.turns import Figures
from alexnet.network.architecture import Input, ResponseNorm, Variant
from alexnet.network.variants import variant as named
from alexnet.weights.files import Description


def median_seconds(action: Callable[[], object], times: int, warm: int = 2) -> float:
    """Median duration of an action, after a few that do not count."""
    for _ in range(warm):
        action()
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def stock_network(variant: str) -> Any:
    """The network as a textbook writes it: torch's own layers, torch's own response normalisation."""
    from torch import nn

    from alexnet.network.layers import ResponseNorm as Normalisation
    from alexnet.network.model import build

    network = build(variant)
    for name, child in network.named_children():
        if isinstance(child, Normalisation) and child.arguments.over == "maps":  # torch has none over space
            size, alpha, beta, k, *_ = child.arguments
            setattr(network, name, nn.LocalResponseNorm(size, alpha * size, beta, k))
        for parameter in child.parameters():
            parameter.data = parameter.data.contiguous()
    return network


def train_stock(variant: str, batch: int) -> Figures:
    import torch
    from torch.nn import functional as F

    network = stock_network(variant).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    size = named(variant).size
    pictures, labels = torch.randn(batch, 3, size, size), torch.randint(0, named(variant).classes, (batch,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(pictures), labels).backward()
        optimizer.step()

    return {"seconds": median_seconds(step, 2, warm=1)}


def train_ours(variant: str, batch: int) -> Figures:
    """The step of the training loop, on pictures that are there already, and what normalisation takes of it."""
    import torch

    from alexnet import compiled
    from alexnet.network.layers import Pixels
    from alexnet.network.layers import ResponseNorm as Normalisation
    from alexnet.network.model import build
    from alexnet.pictures.batches import Order
    from alexnet.training.checkpoint import State, Sums
    from alexnet.training.optimizer import make_optimizer
    from alexnet.training.recipes import recipe
    from alexnet.training.train import Plan, bfloat16, update

    keep_memory(all_sizes=True)
    compiled.build(compiled.RESPONSE_NORM)
    _come_with_first_use()
    before = peak_memory()
    asked, device = recipe("krizhevsky-2012"), torch.device("cpu")
    network = build(variant).train()
    state = State(network, make_optimizer(network, asked), Sums.zero(device))
    size = named(variant).size
    views = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    labels = torch.randint(0, named(variant).classes, (batch,))
    pixels = Pixels(Input(size=size, stored=256, mean=(120.0,) * 3, scale=(1.0,) * 3))
    plan = Plan(asked, Order(1000, batch, 0), pixels, size, device, bfloat16(asked, device), None)
    whole = median_seconds(lambda: update(state, plan, views, labels, batch), 6)
    memory = peak_memory() - before
    norms = {child for child in network.children() if isinstance(child, Normalisation)}
    return {"seconds": whole, "memory": memory, "normalisation": _seconds_of(norms, network, plan, views) / whole}


def _seconds_of(layers: set[Any], network: Any, plan: Any, views: Any) -> float:
    """Forward and backward of some layers alone, on inputs of their shapes."""
    import torch

    total, x = 0.0, plan.pixels(views)
    with plan.arithmetic(), torch.no_grad():
        for child in network.children():
            if child in layers:
                inner = x.detach().requires_grad_()
                gradient = torch.randn_like(inner)

                def both(child: Any = child, inner: Any = inner, gradient: Any = gradient) -> None:
                    with torch.enable_grad():
                        torch.autograd.grad(child(inner), inner, gradient)

                total += median_seconds(both, 5)
            x = child(x)
    return total


def save_model(variant: str, path: str) -> Figures:
    """A model file of the network as it is before training, and the compiled normalisation as training leaves it."""
    from alexnet import compiled
    from alexnet.network.model import build
    from alexnet.weights import files

    compiled.build(compiled.RESPONSE_NORM)
    value = named(variant)
    files.save(Path(path), build(value).state_dict(), _description(value))
    return {}


def _description(value: Variant) -> Description:
    rule = Input(size=value.size, stored=value.stored, mean=(120.0,) * 3, scale=(1 / 64,) * 3)
    return Description(value, tuple(f"class {index}" for index in range(value.classes)), rule)


def _come_with_first_use() -> None:
    """The engine's own code for products and convolutions, in the types that a network may take."""
    import torch
    from torch import nn

    from alexnet.network.inference import Int8Conv2d, Int8Linear, has_bfloat16

    x, types = torch.rand(1, 4, 8, 8), [torch.float32]
    types += [torch.bfloat16] if has_bfloat16(x.device) else []
    with torch.inference_mode():
        for dtype in types:
            nn.Conv2d(4, 4, 3, dtype=dtype)(x.to(dtype))
            nn.Linear(8, 8, dtype=dtype)(x.to(dtype))
        if torch.cpu._is_vnni_supported():
            Int8Conv2d(nn.Conv2d(4, 4, 3))(x)
            Int8Linear(torch.ones(16, 16, dtype=torch.int8), torch.ones(16), torch.zeros(16))(torch.rand(2, 16))


def predict_ours(variant: str, batch: int, model: str) -> Figures:
    """A loaded model on uint8 pictures; bytes of its weights in the form it takes, `products` those of its products."""
    import torch
    from torch import nn

    from alexnet.network.inference import Int8Linear
    from alexnet.weights.model import load
    from alexnet.weights.torch_engine import TorchEngine

    _come_with_first_use()
    before = peak_memory()
    size, loaded = named(variant).size, load(model)
    pictures = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8).numpy()
    seconds = median_seconds(lambda: loaded.logits(pictures), 20)
    memory = peak_memory() - before
    engine = loaded.engine
    assert isinstance(engine, TorchEngine)
    children = dict(engine.network.named_children())
    weights: dict[str, Any] = {name: child.weight for name, child in children.items() if hasattr(child, "weight")}
    sizes: dict[str, int] = {name: weight.numel() * weight.dtype.itemsize for name, weight in weights.items()}
    connected = (nn.Linear, Int8Linear)
    products = sum(size for name, size in sizes.items() if isinstance(children[name], connected))
    return {"seconds": seconds, "memory": memory, "weights": sum(sizes.values()), "products": products}


def bare_network(variant: str) -> Any:
    """The stock network without normalisation over maps, and pictures as it takes them."""
    from torch import nn

    network = stock_network(variant).eval().requires_grad_(False)
    kept = [child for child in network if not isinstance(child, nn.LocalResponseNorm)]
    return nn.Sequential(*kept)


def predict_stock(variant: str, batch: int) -> Figures:
    """float32, torch's own memory layout."""
    import torch

    network, size = bare_network(variant), named(variant).size
    pictures = torch.randn(batch, 3, size, size)
    with torch.inference_mode():
        return {"seconds": median_seconds(lambda: network(pictures), 20)}


def predict_onnxruntime(variant: str, batch: int) -> Figures:
    """The same network, in float32, from an ONNX file as `alexnet export` writes it; takes uint8 pictures, as ours."""
    import tempfile

    import numpy as np

    from alexnet.network.model import build
    from alexnet.weights import onnx_engine, onnx_graph

    value = named(variant)
    kept = [(n, x) for n, x in value.layers if not (isinstance(x, ResponseNorm) and x.over == "maps")]
    value = dataclasses.replace(value, layers=tuple(kept))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx_graph.write(path, _description(value), build(value).state_dict())
        engine, _ = onnx_engine.load(path)
    pictures = np.random.default_rng(0).integers(0, 256, (batch, value.size, value.size, 3), dtype=np.uint8)
    return {"seconds": median_seconds(lambda: engine(pictures), 20)}


def limits() -> Figures:
    """Operations a second of large matrix products, and bytes a second read from memory.

    `flops`: in bfloat16, or float32 where the processor has no such instructions. `int8`: likewise, or as `flops`.
    """
    import torch

    from alexnet.network.inference import Int8Linear, has_bfloat16

    n = 4096
    dtype = torch.bfloat16 if has_bfloat16(torch.device("cpu")) else torch.float32
    left, right = (torch.rand(n, n).to(dtype) for _ in range(2))
    flops = 2.0 * n**3 / median_seconds(lambda: left @ right, 7)
    values = torch.ones(2**26)
    found = {"flops": flops, "int8": flops, "bytes": values.nbytes / median_seconds(values.sum, 7)}
    if torch.cpu._is_vnni_supported():
        layer = Int8Linear(torch.ones(n, n, dtype=torch.int8), torch.ones(n), torch.zeros(n))
        levels = torch.ones(n, n, dtype=torch.uint8)
        found["int8"] = 2.0 * n**3 / median_seconds(lambda: layer.product(levels), 7)
    return found


def data_way(what: str, arguments: list[str]) -> Figures:
    """One of the ways of `feeding`."""
    from alexnet.experiments.bench import feeding

    ways: dict[str, Callable[..., Figures]] = {
        "prepare-ours": feeding.prepare_ours,
        "prepare-limit": feeding.prepare_bare,
        "prepare-stock": feeding.prepare_stock,
        "open": feeding.open_folder,
        "store": feeding.open_store,
        "feed-ours": lambda store, steps: feeding.feed_ours(store, int(steps)),
        "feed-limit": lambda store, steps: feeding.feed_limit(store, int(steps)),
        "feed-stock": lambda folder, steps: feeding.feed_stock(folder, int(steps)),
        "view": feeding.view,
        "loop": lambda store, folder, way, turns: feeding.loop(store, folder, way, int(turns)),
    }
    return ways[what](*arguments)


def main() -> None:
    match sys.argv[1:]:
        case ["limits"]:
            answer = limits()
        case ["model", variant, path]:
            answer = save_model(variant, path)
        case ["train", "ours", variant, batch]:
            answer = train_ours(variant, int(batch))
        case ["train", "stock", variant, batch]:
            answer = train_stock(variant, int(batch))
        case ["predict", "ours", variant, batch, model]:
            answer = predict_ours(variant, int(batch), model)
        case ["predict", "stock", variant, batch, _]:
            answer = predict_stock(variant, int(batch))
        case ["predict", "onnxruntime", variant, batch, _]:
            answer = predict_onnxruntime(variant, int(batch))
        case ["data", what, *arguments]:
            answer = data_way(what, arguments)
        case _:
            raise SystemExit(f"no such measurement: {sys.argv[1:]}")
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
