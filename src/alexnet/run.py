"""One run, from pictures to a trained, evaluated and reported model: what `alexnet train` and `alexnet.train` are."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet import compiled
from alexnet.environment import keep_memory
from alexnet.errors import StorageError, UsageError
from alexnet.evaluation.evaluate import Evaluation
from alexnet.evaluation.metrics import metrics
from alexnet.insight.reports import report
from alexnet.insight.reports.report import Beginning
from alexnet.network import architecture
from alexnet.network.architecture import Variant
from alexnet.network.layers import Pixels
from alexnet.network.model import build
from alexnet.pictures.batches import Order
from alexnet.pictures.layout import TEST, TRAIN, VALIDATION
from alexnet.pictures.prepare import source_of
from alexnet.progress import say
from alexnet.storage import link, link_bytes, sweep, write_json
from alexnet.training import fine_tuning, memory, tracking
from alexnet.training.checkpoint import KEEP, Checkpoints, State, Sums
from alexnet.training.config import (
    Config,
    Parts,
    completed,
    difference,
    draft_of,
    read_config,
    recipe_of,
    reopened,
    resolve,
    skip_lines,
)
from alexnet.training.fine_tuning import Initial
from alexnet.training.folder import CONFIG, claim, claimed, clear, occupied, own, resumable
from alexnet.training.journal import Journal, Signals, tell
from alexnet.training.keeper import Keeper, best_row, shared_probabilities, validation
from alexnet.training.optimizer import BUFFERS, make_optimizer
from alexnet.training.parallel.execution import execution
from alexnet.training.parallel.group import ALONE, Group
from alexnet.training.parallel.joining import job, joined, restarts
from alexnet.training.recipe import EXECUTION, Recipe, with_settings
from alexnet.training.record import record, recorded
from alexnet.training.statistics import mean_view
from alexnet.training.train import Plan
from alexnet.training.train import device as choose_device
from alexnet.training.train import train as train_loop
from alexnet.weights import files
from alexnet.weights.model import load


def train(
    data: str | os.PathLike[str] | None = None,
    *,
    recipe: str | Recipe | None = None,
    variant: str | Variant | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    out: str | os.PathLike[str] | None = None,
    settings: Sequence[str] = (),
    valid: str | os.PathLike[str] | None = None,
    skip_list: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    towers: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Train a classifier on DATA and evaluate it; the answer is what `alexnet train --json` prints.

    DATA is `patterns` and `seed` 0 by default. `recipe` and `variant` are names, values, or JSON files (a run's
    `config.json` too); `settings` are "field=value" texts. `weights` is a MODEL to begin with: the network and the
    input rule are its own then, and its last layer is drawn anew where the classes are others. Everything is written
    to the run folder `out`, which must be new unless `force`; with `resume` a run goes on where its last checkpoint
    stands. In processes that torchrun started they train together, and each gets the answer; a run that the same job
    has begun goes on; with `towers` each of two has a column of the network. Raises the errors of `alexnet.errors`.
    """
    if epochs is not None:
        settings = [*settings, f"epochs={epochs}"]
    if towers:
        settings = [*settings, "execution=towers"]
    with joined() as group:
        if not group.leads:
            return _follow(group)
        if resume is not None:
            settled: dict[str, object] = {
                "data": data,
                "recipe": recipe,
                "variant": variant,
                "weights": weights,
                "out": out,
            }
            settled |= {"valid": valid, "skip_list": skip_list, "force": force}
            if given := [name for name, value in settled.items() if value]:
                raise UsageError(f"--resume works from the run folder alone; leave out {', '.join(given)}")
            return _resume(Path(resume), settings, seed, group)
        if out is not None and claimed(Path(out), job()):
            return _resume(Path(out), (), None, group)
        data = "patterns" if data is None else data
        return _begin(data, recipe, variant, seed or 0, out, settings, valid, skip_list, weights, force, group)


def _begin(
    data: str | os.PathLike[str],
    recipe: str | Recipe | None,
    variant: str | Variant | None,
    seed: int,
    out: str | os.PathLike[str] | None,
    settings: Sequence[str],
    valid: str | os.PathLike[str] | None,
    skip_list: str | os.PathLike[str] | None,
    weights: str | os.PathLike[str] | None,
    force: bool,
    group: Group,
) -> dict[str, Any]:
    asked = with_settings(recipe_of(recipe), settings)
    initial = None if weights is None else _initial(weights, settings)
    draft = draft_of(variant, asked, initial)
    if out is None and restarts():
        raise UsageError(
            "torchrun --max-restarts goes on with a run that it can find again; name its folder with --out"
        )
    folder = Path(out) if out is not None else _default_folder(data, asked.name)
    if initial and initial.path.is_relative_to(os.path.realpath(folder)):
        raise UsageError(f"--weights {weights} lies in {folder}, which the run would empty; choose another --out")
    with own(folder, force):
        config, parts = resolve(data, valid, skip_lines(skip_list), seed, asked, draft, initial, group.size)
        need = _disk_bytes(config) + (link_bytes(initial.path, folder) if initial else 0)
        free = shutil.disk_usage(folder).free + occupied(folder)
        if free < need:
            raise StorageError(f"{folder}: the run takes up to {_mb(need)}, {_mb(free)} are free; make room")
        clear(folder)
        claim(folder, job())
        write_json(folder / CONFIG, config.to_json())  # first: from here on the run can be resumed
        with resumable(folder):
            if initial:
                link(initial.path, folder / fine_tuning.INITIAL)
            _announce(config, need, folder)
            return _lead(folder, config, parts, initial, group)


def _lead(folder: Path, config: Config, parts: Parts, initial: Initial | None, group: Group) -> dict[str, Any]:
    """Have the others know what is to be done, and do it."""
    compiled.build(compiled.RESPONSE_NORM)
    mean = initial.mean_picture if initial else _mean_picture(config, parts)
    record(folder, config, parts, group)
    group.told((folder, config, torch.get_num_threads(), mean, None))
    with group.first_on_each_machine():
        pass  # its own pictures are open already
    return _carry_out(folder, config, parts, initial, mean, group)


def _follow(group: Group) -> dict[str, Any]:
    """Do what the leading process has settled."""
    nothing: tuple[Path, Config, int, torch.Tensor | None, dict[str, Any] | None] | None = None
    told = group.told(nothing)
    assert told is not None
    folder, config, threads, mean, result = told
    if result is not None:
        return result
    torch.set_num_threads(threads)
    with group.first_on_each_machine():
        parts = reopened(config)
    return _carry_out(folder, config, parts, None, mean, group)


def _initial(weights: str | os.PathLike[str], settings: Sequence[str]) -> Initial:
    fine_tuning.check_settings(settings)
    return fine_tuning.read(weights)


def _resume(folder: Path, settings: Sequence[str], seed: int | None, group: Group) -> dict[str, Any]:
    config = read_config(folder)
    recipe = with_settings(config.recipe, settings)
    pairs = [(f.name, getattr(config.recipe, f.name), getattr(recipe, f.name)) for f in dataclasses.fields(Recipe)]
    for name, old, new in [*pairs, ("seed", config.seed, config.seed if seed is None else seed)]:
        if old != new and name not in EXECUTION:
            raise UsageError(f"--resume: {name} was {old} and cannot become {new}; start a new run for that")
    with own(folder, force=False, existing=True):
        sweep(folder)
        if (folder / "result.json").is_file():
            say(f"{folder}: the run is complete")
            Checkpoints(folder / "checkpoint").clear()
            result = _result_of(folder)
            group.told((folder, config, config.threads, None, result))
            return result
        if group.size == recorded(folder).get("processes", 1):
            torch.set_num_threads(config.threads)
        initial = fine_tuning.recall(folder, config.weights) if config.weights else None
        asked = (config.data, config.valid, config.skip_list, config.seed, recipe, config.variant)
        found, parts = resolve(*asked, initial, group.size)
        if change := difference(config, found):
            raise UsageError(f"--resume: {config.data} has changed since the run began: {change}")
        with resumable(folder):
            return _lead(folder, replace(config, recipe=recipe), parts, initial, group)


def _result_of(folder: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_text("utf-8"))
        return result | {"run": str(folder)}
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder}/result.json: not a run's result: {error}; the models beside it are whole") from None


def _default_folder(data: str | os.PathLike[str], recipe: str) -> Path:
    name = source_of(data).name
    folder = Path("runs") / f"{time.strftime('%Y%m%d')}-{name}-{recipe}"
    numbered = (folder.with_name(f"{folder.name}-{n}") for n in range(2, 10_000))
    return folder if not folder.exists() else next(f for f in numbered if not f.exists())


def _disk_bytes(config: Config) -> int:
    """The most that weights and checkpoints of a run take on the disk."""
    rows = architecture.walk(config.variant, config.input.size)
    weights = 4 * sum(row.parameters + row.statistics for row in rows)
    copies = 1 + BUFFERS[config.recipe.update]
    return 3 * weights + (KEEP + 1) * copies * weights  # one of each is being written while the others stand


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _announce(config: Config, need: int, folder: Path) -> None:
    """Say what will be trained on what, and that it will take `need` bytes of disk."""
    for name, counts in config.counts.items():
        shown = ", ".join(f"{label} {count:,}" for label, count in list(counts.items())[:12])
        more = f", … ({len(counts)} classes)" if len(counts) > 12 else ""
        tell(folder, f"{name}: {sum(counts.values()):,} pictures: {shown}{more}")
    for warning in config.warnings:
        tell(folder, f"warning: {warning}")
    values = sum(row.parameters + row.statistics for row in architecture.walk(config.variant, config.input.size))
    arithmetic = "bfloat16" if config.bfloat16 else "float32"
    side = config.input.size
    tell(
        folder,
        f"{config.variant.name} ({values:,} values) at {side} x {side}, recipe {config.recipe.name}, "
        f"{config.recipe.epochs} epochs, {arithmetic}; takes up to {_mb(need)} of disk in {folder}",
    )
    if config.weights:
        tell(folder, fine_tuning.described(config.weights, config.variant, config.recipe))


def _carry_out(
    folder: Path, config: Config, parts: Parts, initial: Initial | None, mean: torch.Tensor | None, group: Group
) -> dict[str, Any]:
    """Train, evaluate and report, each process its share; the folder's configuration is written.

    The others wait for the leading one with `group`'s patience; in training they have `recipe.timeout`.
    """
    compiled.build(compiled.RESPONSE_NORM)
    recipe, device = config.recipe, choose_device(config.recipe)
    keep_memory(all_sizes=True)
    network = _network(config, initial)
    network.load_state_dict(group.copied(network.state_dict() if group.leads else None))
    carried = execution(recipe, config.variant, config.input.size, group.within(recipe.timeout))
    network = carried.part_of(network).to(device)
    plan = Plan(
        recipe=recipe,
        order=Order(len(parts[TRAIN]), recipe.batch_size, config.seed, recipe.shuffle),
        pixels=Pixels(config.input, mean).to(device),
        size=config.input.size,
        device=device,
        bfloat16=config.bfloat16,
        class_weights=_class_weights(config, device),
        execution=carried,
        exchange=carried.exchange(network, recipe),
    )
    began = report.before(folder, config.classes, parts[TRAIN], plan) if group.leads else None
    if recipe.compile != "none":
        network.compile(mode=recipe.compile)
    state = State(network, make_optimizer(network, recipe), Sums.zero(device))
    every = (recipe.checkpoint_minutes, recipe.checkpoint_steps)
    lasting = config.lasting(), completed
    checkpoints = Checkpoints(folder / "checkpoint", *lasting, *every, group=group, execution=carried)
    if checkpoints.load(state) and group.leads:
        tell(folder, f"going on at step {state.step} of {plan.steps}")
    keeper = Keeper(folder, config, plan, parts.get(recipe.watch), mean)
    curves = tracking.curves(recipe, folder) if group.leads else tracking.Nowhere()
    journal = Journal(folder, plan.order, parts[TRAIN], recipe.epochs, recipe.watch, curves, group)
    signals = Signals()
    with signals.listen():
        try:
            train_loop(state, plan, parts[TRAIN], keeper.validate, journal, checkpoints, signals)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; on a CPU there is no class of its own
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            sizes = config.variant, plan.size, config.input.stored
            raise memory.out_of_memory(*sizes, recipe, device, group.size) from None
    try:
        signals.deliver()
        keeper.finish(state)
        result = _conclude(folder, config, parts, state, began, group)
    except (KeyboardInterrupt, SystemExit):
        if carried.saves_alone:  # otherwise the last checkpoint must do: the others may be past helping
            checkpoints.save(state)
        if group.leads:
            tell(folder, f"stopped; go on with: alexnet train --resume {folder}")
        raise
    checkpoints.clear()
    return result


def _mean_picture(config: Config, parts: Parts) -> torch.Tensor | None:
    return torch.from_numpy(mean_view(parts[TRAIN], config.input)) if config.input.mean_picture else None


def _network(config: Config, initial: Initial | None) -> torch.nn.Sequential:
    """The network before its first step: drawn, and what comes from other weights copied over that."""
    network = build(config.variant, size=config.input.size, seed=config.seed)
    if config.weights:
        if initial:  # the leading process has it, and the others get its network
            fine_tuning.take(network, initial, config.weights.taken)
        fine_tuning.freeze(network, fine_tuning.frozen(config.variant, config.recipe.freeze))
    return network


def _class_weights(config: Config, device: torch.device) -> torch.Tensor | None:
    if config.recipe.class_weights == "none":
        return None
    counts = np.array(list(config.counts[TRAIN].values()))
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32, device=device)


def _conclude(
    folder: Path, config: Config, parts: Parts, state: State, began: Beginning | None, group: Group
) -> dict[str, Any]:
    """Evaluate the best network on the part that tells most, and write every result."""
    name = next(n for n in (TEST, VALIDATION, TRAIN) if n in parts)
    best = folder / "best.safetensors"
    started = time.monotonic()
    everywhere = _everywhere(best, group)
    outputs, model = None, None
    if everywhere or group.leads:
        model = load(best)
        outputs = shared_probabilities(model, parts[name], group if everywhere else ALONE, f"evaluating on {name}")
    seconds = round(time.monotonic() - started, 3)
    if began is None or model is None or outputs is None:
        return group.told({})
    scores = metrics(outputs, parts[name].labels, config.classes) | {"split": name, "views": 1, "seconds": seconds}
    _score(folder, {name: {key: scores[key] for key in ("images", "top1", "top5", "loss")}})
    write_json(folder / "evaluation.json", scores)
    result = _result(folder, config, state, scores if name == TEST else None)
    found = Evaluation(scores, outputs, parts[name], config.classes, model)
    report.after(folder, found, state.history, config.to_json(), result, began)
    write_json(folder / "result.json", result)
    reported = f"the report: {folder / 'report.html'}"
    tell(folder, f"{name} top-1 {scores['top1']:.2%} of {scores['images']:,} pictures; {reported}")
    return group.told(result)


def _everywhere(model: Path, group: Group) -> bool:
    """Whether all processes see the leading one's model file; on other machines they may not."""
    described = group.told(files.describe(model) if group.leads else None)
    return not any(group.largest(not (model.is_file() and files.describe(model) == described)))


def _score(folder: Path, scores: dict[str, Any]) -> None:
    """Put the final score into the best model's file, and into the last one's where they are one."""
    best, last = folder / "best.safetensors", folder / "last.safetensors"
    same = best.samefile(last)
    description = files.describe(best)
    files.save(best, files.tensors(best), replace(description, scores=description.scores | scores))
    if same:
        link(best, last)


def _result(folder: Path, config: Config, state: State, test: dict[str, Any] | None) -> dict[str, Any]:
    best, last = best_row(state.history, config.recipe), state.history[-1]
    images = state.step * config.recipe.batch_size
    return {
        "run": str(folder),
        "epochs": last["epoch"],
        "seconds": round(state.seconds["run"], 3),
        "images_per_second": round(images / max(1e-9, state.seconds["steps"]), 2),
        "watched": config.recipe.watch if last["valid_top1"] is not None else None,
        "best": {"epoch": best["epoch"], **validation(best)},
        "last": {"epoch": last["epoch"], **validation(last), "train_loss": last["train_loss"]},
        "test": {key: test[key] for key in ("images", "top1", "top5", "loss")} if test else None,
    }
