"""How fast pictures reach a network, measured: what `bench data` runs in processes of its own, through `ways`.

Stock is what a textbook writes: a Dataset that opens, scales and changes one picture at a time with Pillow and torch,
anew in each epoch, and a DataLoader with one process a core. Limits are the bare work, without anything around it.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from alexnet.environment import keep_memory
from alexnet.experiments.bench.turns import Figures
from alexnet.pictures import prepare as stores
from alexnet.pictures.batches import Order, batches
from alexnet.pictures.forms import Kept
from alexnet.pictures.layout import TRAIN
from alexnet.pictures.sources import Folder
from alexnet.pictures.store import Part
from alexnet.training import recipes
from alexnet.training.recipe import Recipe, purposes, with_components

SIDE, STORED = 227, 256
BATCH = 64
COLOURS = ((70.0, 70.0, 70.0), (10.0, 0.0, -10.0), (3.0, -6.0, 3.0))  # of photographs, about


def files(folder: str) -> list[str]:
    """Every file in the class folders of a folder."""
    return sorted(str(path) for path in Path(folder).glob("*/*"))


def rate(count: int, action: Callable[[], object]) -> Figures:
    """Items a second of an action on `count` of them, and milliseconds of all processors for each."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": wall, "rate": count / wall, "cpu_ms": 1000 * cpu / count}


# ----------------------------------------------------------------------------------------------------------- preparing


def prepare_ours(folder: str, scratch: str, kept: Kept = "raw") -> Figures:
    """Decoded, scaled, digested and written."""
    return rate(len(files(folder)), lambda: stores.prepare(folder, Path(scratch) / "store", STORED, kept=kept))


def prepare_bare(folder: str) -> Figures:
    """Pillow's decoder and its resize on all cores, nothing kept."""

    def bare(path: str) -> tuple[int, int]:
        with Image.open(path) as picture:
            width, height = picture.size
            short = min(width, height)
            size = (STORED * width // short, STORED * height // short)
            return picture.convert("RGB").resize(size, Image.Resampling.BILINEAR).size

    def work() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(bare, paths))

    paths = files(folder)
    return rate(len(paths), work)


def prepare_stock(folder: str) -> Figures:
    """The textbook's loader, its pictures scaled and cut out but not changed."""
    paths = files(folder)
    return rate(len(paths), lambda: [len(batch) for batch in _loader(Textbook(paths, train=False))])


class Textbook(Dataset[torch.Tensor]):
    """Files as float32 [3, 227, 227], opened and changed one at a time."""

    def __init__(self, paths: list[str], train: bool) -> None:
        self.paths, self.train = paths, train

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        picture = Image.open(self.paths[index]).convert("RGB")
        return textbook_view(picture) if self.train else textbook_centre(picture)


def textbook_centre(picture: Image.Image) -> torch.Tensor:
    """The shorter side scaled, the centre cut out, 0..1 brought to zero mean and unit variance."""
    width, height = picture.size
    short = min(width, height)
    picture = picture.resize((STORED * width // short, STORED * height // short), Image.Resampling.BILINEAR)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return _normalised(picture.crop((left, top, left + SIDE, top + SIDE)))


def textbook_view(picture: Image.Image) -> torch.Tensor:
    """A random rectangle scaled, mirrored every other time, its brightness and tint changed."""
    area, stretch = random.uniform(0.45, 1.0), np.exp(random.uniform(-0.11, 0.11))
    width, height = (picture.width * area**0.5 * stretch, picture.height * area**0.5 / stretch)
    width, height = min(int(width), picture.width), min(int(height), picture.height)
    left, top = random.randint(0, picture.width - width), random.randint(0, picture.height - height)
    picture = picture.crop((left, top, left + width, top + height)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        picture = ImageOps.mirror(picture)
    return _normalised(picture) * random.uniform(0.8, 1.2) + torch.empty(3, 1, 1).uniform_(-0.05, 0.05)


def _normalised(picture: Image.Image) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)
    return (pixels - 0.45) / 0.225


def _loader(pictures: Textbook) -> DataLoader[torch.Tensor]:
    return DataLoader(pictures, BATCH, shuffle=pictures.train, num_workers=os.cpu_count() or 1, drop_last=False)


# ------------------------------------------------------------------------------------------------------------- opening


def open_folder(folder: str, way: str) -> Figures:
    """A folder's fingerprint (ours); each of its files asked for size and time (limit); paths listed, then asked
    (stock)."""

    def bare(inside: str) -> int:
        with os.scandir(inside) as entries:
            return sum(bare(e.path) if e.is_dir() else e.stat().st_size for e in entries)

    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: Folder(Path(folder)).fingerprint(),
        "limit": lambda: bare(folder),
        "stock": lambda: [path.stat().st_mtime_ns for path in sorted(Path(folder).rglob("*")) if path.is_file()],
    }
    ways[way]()
    return rate(len(files(folder)), ways[way])


def open_store(folder: str) -> Figures:
    """A prepared store, given by path."""
    return rate(1, lambda: len(stores.open_store(folder, STORED)[TRAIN]))


# ------------------------------------------------------------------------------------------------- batches and views


def feed_ours(store: str, steps: int) -> Figures:
    """Batches of training views of the default recipe, from a store."""
    keep_memory(all_sizes=True)
    part = stores.open_store(store, STORED)[TRAIN]
    plan = _plan(recipes.recipe("fast"), len(part))
    return rate(steps * plan.order.batch_size, lambda: [len(views) for views in _views(part, plan, steps)])


def feed_stock(folder: str, steps: int) -> Figures:
    """Batches of the textbook's views, from files."""
    return rate(BATCH * steps, lambda: [len(views) for views in _textbook_views(folder, steps)])


def feed_limit(store: str, steps: int) -> Figures:
    """The stored pictures copied into memory, nothing else."""
    part = stores.open_store(store, STORED)[TRAIN]
    order = Order(len(part), min(BATCH, len(part)), 0)
    return rate(steps * order.batch_size, lambda: [len(part.read(order.places(step))) for step in range(steps)])


def _views(part: Part, plan: Any, steps: int) -> Iterator[torch.Tensor]:
    for batch, pictures in plan.carry(batches(part, plan.order, plan.purposes, range(steps), os.cpu_count() or 1)):
        yield plan.tensors(batch, pictures)[0]


def _plan(recipe: Recipe, count: int) -> Any:
    from alexnet.network.architecture import Input
    from alexnet.network.layers import Pixels
    from alexnet.training.train import Plan, bfloat16

    device = torch.device("cpu")
    pixels = Pixels(Input(size=SIDE, stored=STORED, mean=(120.0,) * 3, scale=(1 / 64,) * 3))
    order = Order(count, min(BATCH, count), 0)
    return Plan(recipe, order, pixels, SIDE, device, bfloat16(recipe, device), None)


def view(store: str, name: str, way: str) -> Figures:
    """CPU time of one recipe's training view; of the textbook's, decoded picture in hand; of writing its values."""
    keep_memory(all_sizes=True)
    part = stores.open_store(store, STORED)[TRAIN]
    recipe = with_components(recipes.recipe(name), COLOURS)
    plan = _plan(recipe, len(part))
    batch = next(iter(batches(part, plan.order, purposes(recipe), range(1))))
    pictures, stored = torch.from_numpy(batch.pictures), [Image.fromarray(picture) for picture in batch.pictures]
    views = torch.zeros(len(pictures), SIDE, SIDE, 3)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: plan.tensors(batch, pictures),
        "stock": lambda: torch.stack([textbook_view(picture) for picture in stored]),
        "limit": lambda: views.fill_(1.0),
    }
    for _ in range(2):
        ways[way]()
    turns = [rate(len(pictures), ways[way]) for _ in range(7)]
    return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}


def loop(store: str, folder: str, way: str, turns: int) -> Figures:
    """Training steps of the default recipe on views in memory (`limit`) and, in turn with them, on views that come from
    a store ("ours") or, the textbook's way, from files ("stock")."""
    from alexnet import compiled
    from alexnet.network.model import build
    from alexnet.training.checkpoint import State, Sums
    from alexnet.training.optimizer import make_optimizer
    from alexnet.training.train import update

    keep_memory(all_sizes=True)
    compiled.build(compiled.RESPONSE_NORM)
    recipe = recipes.recipe("fast")
    part = stores.open_store(store, STORED)[TRAIN]
    plan = _plan(recipe, len(part))
    network = build(recipe.variant, classes=2).train()
    state = State(network, make_optimizer(network, recipe), Sums.zero(plan.device))
    steps = 2 * (turns + 1)
    coming = _views(part, plan, steps) if way == "ours" else _textbook_views(folder, steps)
    labels = torch.zeros(plan.order.batch_size, dtype=torch.int64)
    memory = torch.zeros(len(labels), SIDE, SIDE, 3)
    shares, rates = [], []

    def train(views: Iterator[torch.Tensor]) -> None:
        for _ in range(2):
            update(state, plan, next(views), labels, len(labels))

    for _ in range(turns + 1):
        limit = rate(2 * len(labels), lambda: train(repeat(memory)))["rate"]
        fed = rate(2 * len(labels), lambda: train(coming))["rate"]
        shares.append(fed / limit)
        rates.append((fed, limit))
    middle, limit = (statistics.median(values) for values in zip(*rates[1:], strict=True))  # the first warm up
    return {"seconds": len(labels) / middle, "rate": middle, "limit": limit, "share": statistics.median(shares[1:])}


def _textbook_views(folder: str, steps: int) -> Iterator[torch.Tensor]:
    paths = (files(folder) * (1 + BATCH * steps // len(files(folder))))[: BATCH * steps]
    for pictures in _loader(Textbook(paths, train=True)):
        yield pictures.permute(0, 2, 3, 1)
