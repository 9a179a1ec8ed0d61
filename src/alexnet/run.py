"""One run, from pictures to a trained, evaluated and reported model: what `alexnet train` and `alexnet.train` are."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet import __version__
from alexnet.errors import StorageError, UsageError
from alexnet.evaluation.evaluate import default_split, probabilities, relabelled
from alexnet.evaluation.metrics import metrics
from alexnet.insight import report
from alexnet.network import architecture, variants
from alexnet.network.architecture import Input, Variant
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.pictures import datasets
from alexnet.pictures.batches import Order
from alexnet.pictures.datasets import TEST, TRAIN, VALIDATION
from alexnet.pictures.store import Part, Store, class_counts, open_store
from alexnet.progress import say
from alexnet.training import memory, recipes
from alexnet.training.checkpoint import Checkpoints, State, Sums
from alexnet.training.journal import Journal, Signals, write_json, write_text
from alexnet.training.optimizer import make_optimizer
from alexnet.training.recipes import EXECUTION, Recipe
from alexnet.training.train import Plan, bfloat16, keep_memory
from alexnet.training.train import device as choose_device
from alexnet.training.train import train as train_loop
from alexnet.weights import files
from alexnet.weights.files import Description
from alexnet.weights.model import TorchModel, load

T = TypeVar("T")

FORMAT = 1
MEAN_OF = 10_000  # pictures, evenly spread, that the training mean is taken over at most


@dataclass(frozen=True)
class Config:
    """A run as it was asked for, and everything that followed from it; what `config.json` holds."""

    data: str
    valid: str | None
    skip_list: tuple[str, ...]
    seed: int
    recipe: Recipe
    variant: Variant
    input: Input
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    digest: str
    threads: int
    bfloat16: bool

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            "format": FORMAT,
            **plain,
            "recipe": recipes.to_json(self.recipe),
            "variant": architecture.to_json(self.variant),
            "input": dataclasses.asdict(self.input),
        }


def read_config(run: Path) -> Config:
    """The configuration of a run folder. Raises UsageError."""
    try:
        document = json.loads((run / "config.json").read_text("utf-8"))
        if document.pop("format") != FORMAT:
            raise ValueError("another version's format")
        document["recipe"] = recipes.from_json(document["recipe"])
        document["variant"] = architecture.from_json(document["variant"])
        document["input"] = files.input_from_json(document["input"])
        document["classes"], document["skip_list"] = tuple(document["classes"]), tuple(document["skip_list"])
        return Config(**document)
    except FileNotFoundError:
        raise UsageError(f"{run}: not a run folder: there is no config.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{run}/config.json: not a run's configuration: {error}") from None


# ------------------------------------------------------------------------------------------------------------ asking


def train(
    data: str | os.PathLike[str] = "patterns",
    *,
    recipe: str | Recipe | None = None,
    variant: str | Variant | None = None,
    epochs: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    settings: Sequence[str] = (),
    valid: str | os.PathLike[str] | None = None,
    skip_list: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Train a classifier on DATA and evaluate it; the answer is what `alexnet train --json` prints.

    `recipe` and `variant` are names, values, or JSON files (a run's `config.json` too); `settings` are
    "field=value" texts. Everything is written to the run folder `out`, which must be new unless `force`; with `resume`
    a run goes on where its last checkpoint stands. Raises the errors of `alexnet.errors`.
    """
    if resume is not None:
        return _resume(Path(resume), settings, epochs)
    asked = _recipe(recipe)
    if epochs is not None:
        settings = [*settings, f"epochs={epochs}"]
    asked = recipes.with_settings(asked, settings)
    draft = _variant(variant or asked.variant)
    source = _data_name(data)
    folder = Path(out) if out is not None else _default_folder(source, asked.name)
    with _own(folder, force):
        store, parts, config = _resolve(data, valid, _lines(skip_list), seed, asked, draft)
        _announce(config, folder)
        write_json(folder / "config.json", config.to_json())
        write_json(folder / "environment.json", environment())
        return _carry_out(folder, config, store, parts)


def _resume(folder: Path, settings: Sequence[str], epochs: int | None) -> dict[str, Any]:
    config = read_config(folder)
    changed = recipes.with_settings(config.recipe, [*settings, *([f"epochs={epochs}"] if epochs is not None else [])])
    for field in dataclasses.fields(Recipe):
        old, new = getattr(config.recipe, field.name), getattr(changed, field.name)
        if old != new and field.name not in EXECUTION:
            raise UsageError(f"--resume: {field.name} was {old} and cannot become {new}; start a new run for that")
    with _own(folder, force=False, existing=True):
        if (folder / "result.json").is_file():
            say(f"{folder}: the run is complete")
            return dict(json.loads((folder / "result.json").read_text("utf-8")))
        torch.set_num_threads(config.threads)
        asked = replace(config, recipe=changed)
        store, parts, found = _resolve(
            config.data, config.valid, config.skip_list, config.seed, changed, config.variant, config.input
        )
        if found.digest != config.digest:
            raise UsageError(f"--resume: {config.data} has changed since the run began: {_difference(config, found)}")
        return _carry_out(folder, replace(asked, bfloat16=config.bfloat16), store, parts)


def _difference(old: Config, new: Config) -> str:
    if old.classes != new.classes:
        return f"its classes were {', '.join(old.classes)}"
    if old.counts != new.counts:
        return f"it held {sum(map(sum, (c.values() for c in old.counts.values()))):,} pictures, now "
    return "pictures or labels differ"


def _recipe(given: str | Recipe | None) -> Recipe:
    if isinstance(given, Recipe):
        return given
    if given is None or not given.endswith(".json"):
        return recipes.recipe(given or "fast")
    return _from_file(Path(given), "recipe", recipes.from_json)


def _variant(given: str | Variant) -> Variant:
    if isinstance(given, Variant):
        return given
    if not given.endswith(".json"):
        return variants.variant(given)
    return _from_file(Path(given), "variant", architecture.from_json)


def _from_file(path: Path, key: str, parse: Callable[[dict[str, Any]], T]) -> T:
    """A value from a JSON file, or from its place in a run's config.json."""
    try:
        document = json.loads(path.read_text("utf-8"))
        return parse(document[key] if isinstance(document.get(key), dict) else document)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not a {key}: {type(error).__name__}: {error}") from None


def _lines(path: str | os.PathLike[str] | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        return tuple(line for line in Path(path).read_text("utf-8").splitlines() if line)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the skip list cannot be read: {error}") from None


def _data_name(data: str | os.PathLike[str]) -> str:
    if (Path(data) / "store.json").is_file():
        return Path(data).name
    return datasets.source(data).name


def _default_folder(data: str, recipe: str) -> Path:
    day = time.strftime("%Y%m%d")
    folder = Path("runs") / f"{day}-{data}-{recipe}"
    numbered = (folder.with_name(f"{folder.name}-{n}") for n in range(2, 10_000))
    return folder if not folder.exists() else next(f for f in numbered if not f.exists())


# --------------------------------------------------------------------------------------------------------- resolving


def _resolve(
    data: str | os.PathLike[str],
    valid: str | os.PathLike[str] | None,
    leave_out: tuple[str, ...],
    seed: int,
    recipe: Recipe,
    draft: Variant,
    known_input: Input | None = None,
) -> tuple[Store, dict[str, Part], Config]:
    """Open the pictures and settle everything that depends on them."""
    size = recipe.size or draft.size
    stored = round(draft.stored * size / draft.size)
    device = choose_device(recipe)
    architecture.walk(draft, size)  # refuse what cannot work before pictures are prepared
    memory.check(draft, size, stored, recipe, device)
    store = open_store(data, stored, recipe.resize, leave_out=leave_out, unreadable=recipe.unreadable)
    parts = split_parts(store, recipe.validation, seed)
    if valid is not None:
        other = open_store(valid, stored, store.resize)
        chosen = other.parts.get(VALIDATION) or other[default_split(other, {})]
        whole = parts[TRAIN] if VALIDATION in store.parts else store[TRAIN]
        parts |= {TRAIN: whole, VALIDATION: relabelled(chosen, other.classes, store.classes, str(valid))}
    variant = _for_classes(draft, store.classes, recipe)
    rule = known_input or input_rule(variant, recipe, size, stored, store, parts[TRAIN])
    counts = {name: class_counts(store.classes, part.labels) for name, part in parts.items()}
    where = str(data) if str(data) in datasets.NAMED else str(Path(data).resolve())
    seen = str(Path(valid).resolve()) if valid is not None else None
    threads, exact = torch.get_num_threads(), bfloat16(recipe, device)
    fixed = (recipe, variant, rule, store.classes, counts, store.digest, threads, exact)
    return store, parts, Config(where, seen, leave_out, seed, *fixed)


def _for_classes(draft: Variant, classes: Sequence[str], recipe: Recipe) -> Variant:
    """The variant with one output per class of the data."""
    last = max(i for i, (_, layer) in enumerate(draft.layers) if isinstance(layer, architecture.Linear))
    name, layer = draft.layers[last]
    assert isinstance(layer, architecture.Linear)
    layers = (*draft.layers[:last], (name, replace(layer, units=len(classes))), *draft.layers[last + 1 :])
    variant = replace(draft, layers=layers, classes=len(classes))
    return variant if recipe.dropout is None else architecture.with_dropout(variant, recipe.dropout)


def split_parts(store: Store, fraction: float, seed: int) -> dict[str, Part]:
    """Train, validation and test parts; without a validation part a stratified `fraction` of the train part is one.

    Raises UsageError where there is nothing to train on.
    """
    if TRAIN not in store.parts or not len(store[TRAIN]):
        raise UsageError(f"{store.name}: no training part; there is {', '.join(store.parts)}")
    parts = dict(store.parts)
    missing = sorted(set(range(len(store.classes))) - set(parts[TRAIN].labels.tolist()))
    if missing:
        raise UsageError(f"{store.name}: no training pictures of the class {store.classes[missing[0]]!r}")
    if VALIDATION not in parts and fraction > 0:
        stay, aside = datasets.split(parts[TRAIN].labels, fraction, seed)
        if len(aside):
            parts |= {VALIDATION: parts[TRAIN].take(aside), TRAIN: parts[TRAIN].take(stay)}
    return {name: parts[name] for name in (TRAIN, VALIDATION, TEST) if name in parts}


def input_rule(variant: Variant, recipe: Recipe, size: int, stored: int, store: Store, part: Part) -> Input:
    """How pictures become input, with the mean of the training pictures."""
    if variant.channels not in (1, 3):
        raise UsageError(f"{variant.name} takes {variant.channels} channels; pictures have 1 (grey) or 3 (colour)")
    grey = variant.channels == 1
    mean = mean_picture(part).mean(axis=(0, 1))
    means = (float(mean @ [0.299, 0.587, 0.114]),) if grey else tuple(map(float, mean))
    return Input(
        size=size,
        stored=stored,
        resize=store.resize,
        order="grey" if grey else "RGB",
        mean=tuple(round(value, 4) for value in means),
        scale=(recipe.scale,) * variant.channels,
        mean_picture=recipe.mean == "picture" and not grey,
    )


def mean_picture(part: Part) -> NDArray[np.float64]:
    """Mean of a part's pictures, [S, S, 3] in 0..255, over at most MEAN_OF of them, evenly spread."""
    places = np.linspace(0, len(part) - 1, min(len(part), MEAN_OF)).astype(np.int64)
    total = np.zeros(part.pictures.shape[1:], np.float64)
    for chunk in np.array_split(places, max(1, len(places) // 256)):
        total += part.read(chunk).sum(axis=0, dtype=np.float64)
    return total / len(places)


def _announce(config: Config, folder: Path) -> None:
    """Say what will be trained on what, and how much disk it will take."""
    for name, counts in config.counts.items():
        shown = ", ".join(f"{label} {count:,}" for label, count in list(counts.items())[:12])
        more = f", … ({len(counts)} classes)" if len(counts) > 12 else ""
        say(f"{name}: {sum(counts.values()):,} pictures: {shown}{more}")
    rows = architecture.walk(config.variant, config.input.size)
    weights = 4 * sum(row.parameters + row.statistics for row in rows)
    copies = {"sgd": 2, "adamw": 3}[config.recipe.update]
    need = 2 * weights + 2 * copies * weights
    arithmetic = "bfloat16" if config.bfloat16 else "float32"
    side = config.input.size
    say(
        f"{config.variant.name} ({weights // 4:,} values) at {side} x {side}, recipe {config.recipe.name}, "
        f"{config.recipe.epochs} epochs, {arithmetic}; takes up to {need / 1e9:.1f} GB of disk in {folder}"
    )
    free = shutil.disk_usage(folder).free
    if free < need:
        raise StorageError(f"{folder}: the run takes up to {need / 1e9:.1f} GB, {free / 1e9:.1f} GB free; make room")


# ------------------------------------------------------------------------------------------------------ carrying out


def _carry_out(folder: Path, config: Config, store: Store, parts: dict[str, Part]) -> dict[str, Any]:
    """Train, evaluate and report; the folder's configuration is written."""
    recipe, device = config.recipe, choose_device(config.recipe)
    order = Order(len(parts[TRAIN]), recipe.batch_size, config.seed)
    picture = torch.from_numpy(views_mean(parts[TRAIN], config.input)) if config.input.mean_picture else None
    plan = Plan(
        recipe=recipe,
        order=order,
        pixels=Pixels(config.input, picture).to(device),
        size=config.input.size,
        device=device,
        bfloat16=config.bfloat16,
        class_weights=_class_weights(config, device),
    )
    write_split(folder / "split.csv", store.classes, parts)
    report.before(folder, store.classes, parts[TRAIN], plan, config.seed)
    keep_memory()
    network = build(config.variant, config.input.size, config.seed).to(device)
    state = State(network, make_optimizer(network, recipe), Sums.zero(device))
    checkpoints = Checkpoints(folder / "checkpoint", recipe.checkpoint_minutes)
    if checkpoints.load(state):
        say(f"going on at step {state.step} of {plan.steps}")
    keeper = Keeper(folder, config, plan, parts.get(VALIDATION), picture)
    journal = Journal(folder, order, parts[TRAIN], recipe.epochs)
    with Signals().listen() as signals:
        try:
            train_loop(state, plan, parts[TRAIN], keeper.validate, journal, checkpoints, signals)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if "memory" not in str(error):
                raise
            raise memory.out_of_memory(config.variant, plan.size, config.input.stored, recipe, device) from None
    keeper.finish(state)
    return _conclude(folder, config, store, parts, state, checkpoints)


def views_mean(part: Part, rule: Input) -> NDArray[np.float32]:
    """The mean picture as the network sees it: its centre, [size, size, 3].

    The 2012 source subtracts the centre of the mean picture from every crop, wherever that was cut.
    """
    offset = (rule.stored - rule.size) // 2
    inner = slice(offset, offset + rule.size)
    return mean_picture(part)[inner, inner].astype(np.float32)


def _class_weights(config: Config, device: torch.device) -> torch.Tensor | None:
    if config.recipe.class_weights == "none":
        return None
    counts = np.array(list(config.counts[TRAIN].values()))
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32, device=device)


@dataclass
class Keeper:
    """Validation after each epoch, and the two model files of a run."""

    folder: Path
    config: Config
    plan: Plan
    part: Part | None
    mean: torch.Tensor | None

    def validate(self, state: State) -> dict[str, Any] | None:
        """Metrics on the validation part; the best network so far is saved. Without such a part: None."""
        self._keep_kernels(state)
        if self.part is None:
            return None
        model = TorchModel(state.network, self.plan.pixels, self._description({}))
        state.network.eval()
        with self.plan.arithmetic():
            outputs = probabilities([(model, self.part)])
        state.network.train()
        found = metrics(outputs, self.part.labels, self.config.classes)
        scores = {key: found[key] for key in ("images", "top1", "top5", "loss")}
        if all(_rank(scores) > _rank(_validation(row)) for row in state.history):
            self.save("best", state, {"epoch": self.plan.order.epochs(state.step), "validation": scores})
        return found

    def finish(self, state: State) -> None:
        """Save the last network; where it is the best too, one file carries both names."""
        row = state.history[-1]
        best = best_row(state.history)
        if best is row and self.part is not None and (self.folder / "best.safetensors").exists():
            _link(self.folder / "best.safetensors", self.folder / "last.safetensors")
            return
        scores = {"epoch": row["epoch"]} | ({"validation": _validation(row)} if self.part is not None else {})
        self.save("last", state, scores)
        if self.part is None:
            _link(self.folder / "last.safetensors", self.folder / "best.safetensors")

    def save(self, name: str, state: State, scores: dict[str, Any]) -> None:
        """Write a model file."""
        tensors = state.network.state_dict()
        if self.mean is not None:
            tensors[files.MEAN_PICTURE] = self.mean
        files.save(self.folder / f"{name}.safetensors", tensors, self._description(scores))

    def _description(self, scores: dict[str, Any]) -> Description:
        config = self.config
        recipe = {k: v for k, v in recipes.to_json(config.recipe).items() if k not in EXECUTION}
        data = {"name": Path(config.data).name, "digest": config.digest, "counts": config.counts}
        trained = {"data": data, "recipe": recipe, "seed": config.seed}
        return Description(config.variant, config.classes, config.input, trained, scores)

    def _keep_kernels(self, state: State) -> None:
        kernels = self.folder / "kernels"
        kernels.mkdir(exist_ok=True)
        first = next(child for child in state.network.children() if isinstance(child, torch.nn.Conv2d))
        epoch = self.plan.order.epochs(state.step)
        np.save(kernels / f"{epoch:04d}.npy", first.weight.detach().cpu().numpy())


def _link(path: Path, name: Path) -> None:
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError:  # a file system without links
        shutil.copyfile(path, name)


def _validation(row: dict[str, Any]) -> dict[str, Any]:
    return {"top1": row["valid_top1"], "top5": row["valid_top5"], "loss": row["valid_loss"]}


def _rank(scores: dict[str, Any]) -> tuple[float, float]:
    return (scores["top1"], -scores["loss"])


def best_row(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The epoch of best validation top-1 (at a tie: of lower loss, then the earlier); without validation the last."""
    if history[-1]["valid_top1"] is None:
        return history[-1]
    return max(history, key=lambda row: _rank(_validation(row)))


def _conclude(
    folder: Path,
    config: Config,
    store: Store,
    parts: dict[str, Part],
    state: State,
    checkpoints: Checkpoints,
) -> dict[str, Any]:
    """Evaluate the best network on the part that tells most, and write every result."""
    name = next(n for n in (TEST, VALIDATION, TRAIN) if n in parts)
    best = folder / "best.safetensors"
    model = load(best)
    started = time.monotonic()
    outputs = probabilities([(model, parts[name])], label=f"evaluating on {name}")
    found = {**metrics(outputs, parts[name].labels, config.classes), "views": 1, "split": name}
    found["seconds"] = round(time.monotonic() - started, 3)
    _score(folder, name, found)
    write_json(folder / "evaluation.json", found)
    report.after(folder, config.classes, parts[name], outputs, found, state.history, config.to_json())
    result = _result(folder, config, state, found if name == TEST else None)
    write_json(folder / "result.json", result)
    checkpoints.clear()
    tested = f"{name} top-1 {found['top1']:.2%} of {found['images']:,} pictures"
    say(f"{tested}; the report: {folder / 'report.html'}")
    return result


def _score(folder: Path, name: str, found: dict[str, Any]) -> None:
    """Put the final score into the best model's file, and into the last one's where they are one."""
    best, last = folder / "best.safetensors", folder / "last.safetensors"
    same = best.samefile(last)
    description = files.describe(best)
    scores = description.scores | {name: {key: found[key] for key in ("images", "top1", "top5", "loss")}}
    files.save(best, files.tensors(best), replace(description, scores=scores))
    if same:
        _link(best, last)


def _result(folder: Path, config: Config, state: State, test: dict[str, Any] | None) -> dict[str, Any]:
    best, last = best_row(state.history), state.history[-1]
    images = state.step * config.recipe.batch_size
    return {
        "run": str(folder),
        "epochs": last["epoch"],
        "seconds": round(state.seconds["run"], 3),
        "images_per_second": round(images / max(1e-9, state.seconds["steps"]), 2),
        "best": {"epoch": best["epoch"], **_validation(best)},
        "last": {"epoch": last["epoch"], **_validation(last), "train_loss": last["train_loss"]},
        "test": {key: test[key] for key in ("images", "top1", "top5", "loss")} if test else None,
    }


# -------------------------------------------------------------------------------------------------------- the folder


@contextmanager
def _own(folder: Path, force: bool, existing: bool = False) -> Iterator[None]:
    """Have the run folder to ourselves. Raises UsageError if it is in use, or exists and may not."""
    if not existing and folder.exists() and any(folder.iterdir()):
        if not force:
            raise UsageError(f"{folder} exists; choose another --out, --resume it, or overwrite it with --force")
        if not (folder / "config.json").is_file():
            raise UsageError(f"{folder} is not a run folder; --force overwrites runs alone")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a+") as lock:
            _lock(folder, lock)
            if not existing:
                _empty(folder)
            yield
    except OSError as error:
        raise StorageError(f"{error.filename or folder}: {error.strerror or error}") from None


def _lock(folder: Path, lock: io.TextIOWrapper) -> None:
    """The system drops this lock with the process that holds it, so that none can be stale."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{folder}: another process is training there; choose another --out") from None


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name != ".lock":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def write_split(path: Path, classes: Sequence[str], parts: dict[str, Part]) -> None:
    """split.csv: path, class and split of every picture."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "class", "split"))
    for name, part in parts.items():
        table.writerows((p, classes[label], name) for p, label in zip(part.paths, part.labels, strict=True))
    write_text(path, text.getvalue())


def devices() -> list[str]:
    """Every device that torch can compute on here."""
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def environment() -> dict[str, Any]:
    """What a run ran on: versions, processor, threads, command."""
    packages = ("torch", "numpy", "pillow", "safetensors")
    return {
        "alexnet": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": devices(),
        "bfloat16": bool(torch.cpu._is_avx512_bf16_supported()),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def processor() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
