"""A run as a whole: what it leaves behind, that it repeats to the byte, and that it resumes as if never stopped."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet import compiled
from alexnet.errors import DivergedError, PictureError, UsageError
from alexnet.network.architecture import Conv, Dropout, Linear, MaxPool, ReLU, ResponseNorm, Variant, ZeroLogit
from alexnet.training.checkpoint import Checkpoints
from alexnet.training.config import read_config
from alexnet.training.journal import Journal
from alexnet.training.recipe import ColourNoise, Flip, Phase, RandomAffine, RandomCrop
from alexnet.training.recipes import recipe
from alexnet.training.train import Plan
from alexnet.weights import files

pytestmark = pytest.mark.usefixtures("undrawn")  # tests/insight looks at what is drawn

SMALL = {"variant": "lenet-5", "epochs": 3, "settings": ["batch_size=16"]}


def model_bytes(run: Path) -> tuple[bytes, bytes]:
    return (run / "best.safetensors").read_bytes(), (run / "last.safetensors").read_bytes()


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def history(run: Path) -> list[dict[str, str]]:
    """The rows of history.csv without the one column that a clock fills."""
    rows = table(run / "history.csv")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_run_leaves_what_it_promises(photos, tmp_path):
    result = alexnet.train(photos, out=tmp_path / "run", **SMALL)
    run = tmp_path / "run"
    names = (
        "config.json environment.json history.csv split.csv best.safetensors last.safetensors evaluation.json "
        "samples.png inputs.png curves.png confusion.png predictions.png mistakes.csv kernels report.html README.md "
        "log.txt"
    )
    assert [name for name in names.split() if not (run / name).exists()] == []
    assert [row["epoch"] for row in history(run)] == ["1", "2", "3"]
    assert list(table(run / "history.csv")[0]) == (
        "epoch,step,images,seconds,learning_rate,train_loss,train_top1,valid_loss,valid_top1,valid_top5".split(",")
    )
    rows = table(run / "split.csv")
    assert len(rows) == 60 + 18 and {row["split"] for row in rows} == {"train", "validation", "test"}
    per_class = [
        sum(r["split"] == "validation" and r["class"] == name for r in rows) for name in ("ash", "birch", "cedar")
    ]
    assert per_class == [2, 2, 2]
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["images"] == 18 and evaluation["split"] == "test"
    assert result["test"]["top1"] == evaluation["top1"] == np.trace(evaluation["confusion"]) / 18
    assert result["epochs"] == 3 and result["images_per_second"] > 0
    assert len(list((run / "kernels").iterdir())) == 3
    assert not list((run / "checkpoint").glob("*"))
    report = (run / "report.html").read_text()
    assert "http://" not in report and "https://" not in report.replace("https://arxiv", "")


def test_the_model_file_says_nothing_of_when_and_where(photos, tmp_path):
    alexnet.train(photos, out=tmp_path / "run", **SMALL)
    content = (tmp_path / "run" / "best.safetensors").read_bytes()
    words = content[8 : 8 + int.from_bytes(content[:8], "little")].decode()  # not the weights: they hold any bytes
    for word in (str(tmp_path), os.uname().nodename, time.strftime("%Y-%m")):
        assert not re.search(rf"\b{re.escape(word)}\b", words)
    described = files.describe(tmp_path / "run" / "best.safetensors")
    assert described.classes == ("ash", "birch", "cedar")
    assert described.scores["test"]["images"] == 18


def test_one_seed_one_result_in_any_folder_with_any_number_of_threads(photos, tmp_path):
    moved = tmp_path / "elsewhere" / "photos"
    moved.parent.mkdir()
    subprocess.run(["cp", "-r", photos, moved], check=True)
    alexnet.train(photos, out=tmp_path / "a", **SMALL)
    alexnet.train(moved, out=tmp_path / "b", **{**SMALL, "settings": ["batch_size=16"]})
    alexnet.train(photos, out=tmp_path / "c", **{**SMALL, "settings": ["batch_size=16", "workers=3"]})
    alexnet.train(photos, out=tmp_path / "d", seed=1, **SMALL)
    assert model_bytes(tmp_path / "a") == model_bytes(tmp_path / "b") == model_bytes(tmp_path / "c")
    assert history(tmp_path / "a") == history(tmp_path / "b") == history(tmp_path / "c")
    assert model_bytes(tmp_path / "a") != model_bytes(tmp_path / "d")


# An epoch each: everything; the first layer frozen and biases at their own rate; other views.
PHASES = replace(
    recipe("krizhevsky-2012"),
    schedule="constant",
    learning_rate=1e-4,
    views=(RandomCrop(3), Flip(3), ColourNoise(divisor=1.1)),
    phases=(
        Phase(until=1),
        Phase(until=2, factor=0.1, rates=(("conv1.*", 0.0), ("*.bias", 20.0))),
        Phase(views=(RandomAffine(5, 0.1), Flip(3))),
    ),
)

WAYS = {
    "fast": ("fast", []),
    "the paper's, its rate falling at every epoch": ("krizhevsky-2012", ["stall=1", "learning_rate=0.0001"]),
    "momentum under a rate that always changes": ("krizhevsky-2012", ["schedule=one-cycle"]),
    "phases": (PHASES, []),
    "Adam from a shuffle buffer": ("yenigun", ["size=32", "batch_size=16", "stop_on="]),
}


@pytest.mark.parametrize(("recipe", "settings"), WAYS.values(), ids=WAYS.keys())
def test_stopped_at_any_step_and_resumed_is_never_stopped(photos, tmp_path, monkeypatch, recipe, settings):
    """54 pictures in batches of 16: 4 steps an epoch or 3; the stops lie at and between the ends of epochs."""
    asked = {**SMALL, "recipe": recipe, "settings": ["batch_size=16", *settings]}
    alexnet.train(photos, out=tmp_path / "whole", **asked)
    run, before = tmp_path / "run", 0
    for stop in (1, 4, 5, 10):  # one life after the other
        with monkeypatch.context() as patch:
            _stop_after(stop - before, patch)
            with pytest.raises(KeyboardInterrupt):
                alexnet.train(**({"resume": run} if before else {"data": photos, "out": run, **asked}))
        assert max(int(path.name) for path in (run / "checkpoint").iterdir()) == stop
        before = stop
    alexnet.train(resume=run)
    assert model_bytes(tmp_path / "whole") == model_bytes(run)
    assert history(tmp_path / "whole") == history(run)


def _stop_after(stop, patch):
    """Have the next run save a checkpoint after so many steps, and stop there."""
    save, counter = Checkpoints.save, [True, *[False] * (stop - 1)]

    def save_and_stop(self, state):
        save(self, state)
        raise KeyboardInterrupt

    patch.setattr(Checkpoints, "due", lambda self, state: counter.pop() if counter else False)
    patch.setattr(Checkpoints, "save", save_and_stop)


def test_a_frozen_layer_is_the_same_bit_by_bit(photos, tmp_path):
    alexnet.train(photos, out=tmp_path / "run", recipe=PHASES, **SMALL)
    first, second, third = (np.load(tmp_path / "run" / "kernels" / f"000{epoch}.npy") for epoch in (1, 2, 3))
    assert first.tobytes() == second.tobytes() != third.tobytes()
    rates = [float(row["learning_rate"]) for row in history(tmp_path / "run")]
    assert rates == pytest.approx([1e-4, 1e-5, 1e-4])


def test_the_colours_of_a_run_are_those_of_its_own_pictures(photos, tmp_path):
    """Another run's config.json as a recipe brings everything along but what was measured on its pictures."""
    settings = {"variant": "lenet-5", "epochs": 1, "settings": ["batch_size=16"]}
    alexnet.train(photos, out=tmp_path / "a", recipe="krizhevsky-2012", **settings)
    recoloured = tmp_path / "recoloured"
    for path in sorted((photos / "train").rglob("*.png")):
        target = recoloured / path.relative_to(photos / "train")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(path)) // np.array([1, 2, 4], np.uint8)).save(target)
    alexnet.train(recoloured, out=tmp_path / "b", recipe=str(tmp_path / "a" / "config.json"), **settings)
    found = []
    for run in ("a", "b"):
        noise = next(view for view in read_config(tmp_path / run).recipe.views if isinstance(view, ColourNoise))
        found.append(np.array(noise.components))
    assert np.abs(found[0] - found[1]).max() > 5


def test_a_signal_leaves_a_checkpoint_and_its_exit_code(photos, tmp_path):
    command = [sys.executable, "-m", "alexnet", "train", photos, "--variant", "lenet-5", "--out", tmp_path / "run"]
    more = ["--set", "batch_size=16", "--epochs", "100000", "--set", "validation=0"]
    process = subprocess.Popen([*map(str, command), *more], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "history.csv").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "--resume" in said.splitlines()[-1] and "Traceback" not in said
    assert list((tmp_path / "run" / "checkpoint").iterdir())


def test_a_run_that_is_complete_answers_again(photos, tmp_path):
    first = alexnet.train(photos, out=tmp_path / "run", **SMALL)
    assert alexnet.train(resume=tmp_path / "run") == first


def test_resume_refuses_another_configuration_and_other_data(photos, tmp_path, monkeypatch):
    def stop(self, state):
        raise KeyboardInterrupt

    monkeypatch.setattr("alexnet.training.journal.Journal.tick", lambda self, state: stop(self, state))
    with pytest.raises(KeyboardInterrupt):
        alexnet.train(photos, out=tmp_path / "run", **SMALL)
    with pytest.raises(UsageError, match=r"batch_size was 16 and cannot become 8"):
        alexnet.train(resume=tmp_path / "run", settings=["batch_size=8"])
    (photos / "train" / "ash" / "00.png").unlink()
    with pytest.raises(UsageError, match="has changed since the run began"):
        alexnet.train(resume=tmp_path / "run")


def test_a_run_folder_is_not_overwritten_nor_shared(photos, tmp_path):
    alexnet.train(photos, out=tmp_path / "run", **SMALL)
    with pytest.raises(UsageError, match="exists"):
        alexnet.train(photos, out=tmp_path / "run", **SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not a run folder"):
        alexnet.train(photos, out=tmp_path / "mine", force=True, **SMALL)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    alexnet.train(photos, out=tmp_path / "run", force=True, **SMALL)
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a+'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path / "run" / ".lock"], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(UsageError, match="another process"):
        alexnet.train(photos, out=tmp_path / "run", force=True, **SMALL)
    holder.kill()
    holder.communicate()


def test_a_loss_that_is_not_finite_stops_the_run_and_no_update_follows(photos, tmp_path, monkeypatch):
    tensors, seen = Plan.tensors, {}

    def poisoned(self, batch, pictures):
        views, *rest = tensors(self, batch, pictures)
        return views * (float("nan") if batch.step == 5 else 1), *rest

    def look(self, state):
        seen[state.step] = {name: value.clone() for name, value in state.network.named_parameters()}
        return original(self, state)

    original = Journal.look
    monkeypatch.setattr(Plan, "tensors", poisoned)
    monkeypatch.setattr(Journal, "look", look)
    monkeypatch.setattr(Journal, "tick", lambda self, state: look(self, state) if state.step in (5, 7) else None)
    with pytest.raises(DivergedError, match=r"not finite at step 5 \(epoch 2; pictures train/"):
        alexnet.train(photos, out=tmp_path / "run", **SMALL)
    assert max(seen) == 7 and all(torch.equal(value, seen[7][name]) for name, value in seen[5].items())


def test_a_network_that_diverged_is_not_kept_as_the_best(photos, tmp_path, monkeypatch):
    """Probabilities that are all NaN must not rank the true class first."""
    tensors = Plan.tensors

    def poisoned(self, batch, pictures):
        views, *rest = tensors(self, batch, pictures)
        return views * (float("nan") if batch.step == 2 else 1), *rest

    monkeypatch.setattr(Plan, "tensors", poisoned)
    with pytest.raises(DivergedError, match="step 2 "):
        alexnet.train(photos, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_what_fails_before_it_begins_leaves_the_folder_as_it_was(photos, tmp_path):
    bad = photos / "train" / "ash" / "05.png"
    content = bad.read_bytes()
    bad.write_bytes(b"<html>")
    with pytest.raises(PictureError):
        alexnet.train(photos, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()
    bad.write_bytes(content)
    alexnet.train(photos, out=tmp_path / "run", **SMALL)
    before = model_bytes(tmp_path / "run")
    with pytest.raises(UsageError, match="no such file"):
        alexnet.train(tmp_path / "nowhere", out=tmp_path / "run", force=True, **SMALL)
    assert model_bytes(tmp_path / "run") == before


def test_fewer_pictures_than_a_batch(photos, tmp_path):
    result = alexnet.train(photos, out=tmp_path / "run", variant="lenet-5", epochs=3, settings=["batch_size=500"])
    assert result["epochs"] == 3 and [row["epoch"] for row in history(tmp_path / "run")] == ["1", "2", "3"]


def test_a_validation_set_of_its_own(photos, tmp_path):
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", photos / "test", other], check=True)
    alexnet.train(photos, out=tmp_path / "run", valid=other, **SMALL)
    counts = read_config(tmp_path / "run").counts
    assert {name: sum(part.values()) for name, part in counts.items()} == {"train": 60, "validation": 18, "test": 18}


def normalised(over: Literal["maps", "space"]) -> Variant:
    """A small network with response normalisation."""
    norm = ("norm1", ResponseNorm(3, alpha=1e-4, beta=0.75, k=1.0, over=over))
    layers = (("conv1", Conv(8, 5, stride=2)), ("relu1", ReLU()), norm, ("fc2", Linear(3)))
    return Variant(name=over, title="", source="", layers=layers, classes=3, size=32, stored=36)


def test_a_compiler_that_has_gone_is_said(photos, tmp_path, monkeypatch, capsys):
    """The kernel in C and torch round otherwise, but only what is normalised across maps is the kernel's."""
    for over, recorded in (("maps", "C" if compiled.build(compiled.RESPONSE_NORM) else "torch"), ("space", None)):
        run = tmp_path / over
        alexnet.train(photos, variant=normalised(over), epochs=1, out=run, settings=["batch_size=16"])
        assert json.loads((run / "environment.json").read_text())["normalisation"] == recorded
        (run / "result.json").unlink()  # as if it had been stopped
        with monkeypatch.context() as gone:
            gone.setattr(compiled, "build", lambda kernel: False)
            gone.setattr(compiled, "loaded", lambda kernel: None)
            alexnet.train(resume=run)
        said = [line for line in capsys.readouterr().err.splitlines() if "not as the run began" in line]
        assert len(said) == (recorded == "C")
        assert all(line.endswith("come out otherwise: normalisation was C and is torch") for line in said)


def test_a_test_part_that_is_watched_is_called_so(photos, tmp_path, alexnet):
    watching = ("--variant", "lenet-5", "--epochs", "2", "--set", "batch_size=16", "--set", "watch=test")
    outcome = alexnet("train", photos, *watching, "--out", tmp_path / "run")
    assert outcome.code == 0 and len(re.findall(r"  test loss [\d.]+ top-1", outcome.err)) == 2
    assert "validation loss" not in outcome.err
    assert "best" not in outcome.out and re.search(r"pictures/s, test top-1 [\d.]+ %$", outcome.out, re.MULTILINE)


def test_early_stopping(photos, tmp_path):
    stopping = ["batch_size=16", "stop_on=train_loss", "patience=1", "learning_rate=0"]
    result = alexnet.train(
        photos, out=tmp_path / "run", variant="lenet-5", epochs=50, settings=[*stopping, "schedule=constant"]
    )
    assert result["epochs"] < 10


def test_without_validation_the_last_weights_are_kept(photos, tmp_path):
    settings = ["batch_size=16", "validation=0"]
    result = alexnet.train(photos, out=tmp_path / "run", variant="lenet-5", epochs=2, settings=settings)
    assert result["best"]["top1"] is None and result["best"]["epoch"] == 2
    assert (tmp_path / "run" / "best.safetensors").samefile(tmp_path / "run" / "last.safetensors")
    assert sum(read_config(tmp_path / "run").counts["train"].values()) == 60


ONE_OUTPUT = Variant(
    name="one-output",
    title="a small network with one sigmoid output",
    source="",
    layers=(
        ("conv1", Conv(8, 5, stride=2, std="glorot-uniform")),
        ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2)),
        ("drop2", Dropout(0.1, inverted=False)),
        ("fc2", Linear(1, std="glorot-uniform")),
        ("zero2", ZeroLogit()),
    ),
    classes=2,
    size=32,
    stored=36,
)


def test_one_output_tells_two_classes_apart_and_no_more(photos, tmp_path):
    with pytest.raises(UsageError, match="one-output: its one output tells two classes apart, not 3"):
        alexnet.train(photos, variant=ONE_OUTPUT, out=tmp_path / "three", settings=["batch_size=16"])
    for part in ("train", "test"):
        shutil.rmtree(photos / part / "cedar")
    alexnet.train(photos, variant=ONE_OUTPUT, epochs=2, out=tmp_path / "two", settings=["batch_size=16"])
    config = read_config(tmp_path / "two")
    assert config.variant.classes == 2 and config.variant == ONE_OUTPUT
    model = alexnet.load(tmp_path / "two")
    logits = model.logits(model.preprocess(sorted(photos.rglob("*.png"))[:3]))
    assert logits.shape == (3, 2) and not logits[:, 0].any() and logits[:, 1].all()


def test_a_config_is_a_recipe_and_a_variant(photos, tmp_path):
    alexnet.train(photos, out=tmp_path / "a", **SMALL)
    config = str(tmp_path / "a" / "config.json")
    alexnet.train(photos, out=tmp_path / "b", recipe=config, variant=config)
    assert model_bytes(tmp_path / "a") == model_bytes(tmp_path / "b")


def test_unreadable_pictures_refuse_the_run_unless_left_out(photos, tmp_path):
    (photos / "train" / "ash" / "05.png").write_bytes(b"<html>")
    with pytest.raises(PictureError, match=r"ash/05\.png"):
        alexnet.train(photos, out=tmp_path / "run", **SMALL)
    (tmp_path / "bad.txt").write_text("train/ash/05.png\n")
    result = alexnet.train(photos, out=tmp_path / "b", skip_list=tmp_path / "bad.txt", **SMALL)
    assert result["epochs"] == 3
    assert alexnet.evaluate(tmp_path / "b", photos).scores["images"] == 18
    assert alexnet.evaluate(tmp_path / "b", photos, split="train").scores["images"] == 53


def test_a_batch_that_cannot_fit_is_refused_with_one_that_does(photos, tmp_path):
    with pytest.raises(UsageError, match=r"--set batch_size=(\d+) fits"):
        alexnet.train(photos, out=tmp_path / "run", variant="batch-norm", settings=["batch_size=1000000"])


def test_it_learns(photos, tmp_path):
    result = alexnet.train(
        photos, out=tmp_path / "run", variant="lenet-5", epochs=60, settings=["learning_rate=0.01", "batch_size=16"]
    )
    assert result["test"]["top1"] >= 0.8


def test_evaluation_honours_the_split_of_a_run(photos, tmp_path):
    subprocess.run(["rm", "-r", photos / "test"], check=True)
    whole = photos / "train"
    result = alexnet.train(whole, out=tmp_path / "run", **SMALL)
    found = alexnet.evaluate(tmp_path / "run", whole)
    assert found.scores["split"] == "validation" and found.scores["images"] == 6
    assert found.scores["top1"] == pytest.approx(result["best"]["top1"], abs=0.2)
    assert alexnet.evaluate(tmp_path / "run", whole, split="train").scores["images"] == 54
    table = tmp_path / "run" / "split.csv"
    table.write_text(table.read_text().replace(",", ";"))  # as a spreadsheet saves it in half of the world
    with pytest.raises(UsageError, match=r"split.csv: not as a run leaves it"):
        alexnet.evaluate(tmp_path / "run", whole)


def test_several_models_and_views_are_averaged(photos, tmp_path):
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, run in enumerate(runs):
        alexnet.train(photos, out=run, seed=seed, **SMALL)
    one, other = (alexnet.evaluate(run, photos) for run in runs)
    both = alexnet.evaluate(runs, photos)
    assert np.allclose(both.probabilities, (one.probabilities + other.probabilities) / 2, atol=1e-12)
    assert alexnet.evaluate(runs, photos, views=10).scores["views"] == 10


def test_a_python_session_as_in_the_readme(photos, tmp_path):
    result = alexnet.train(photos, out=tmp_path / "run", **SMALL)
    model = alexnet.load(result["run"])
    picture = photos / "test" / "ash" / "00.png"
    (answer,) = model.predict(picture, top=2)
    assert answer["label"] in model.classes and len(answer["top"]) == 2
    views = model.preprocess([picture, picture])
    assert views.shape == (2, 32, 32, 3) and views.dtype == np.uint8
    assert model.logits(views).shape == (2, 3)
    part = alexnet.data(photos)["train"]
    assert isinstance(part.pictures, np.memmap) and len(part.labels) == 60


def test_a_run_with_other_validation_data_is_not_evaluated_on_its_training_pictures(photos, tmp_path):
    """Both hold files of the same names; without a test part the model is judged on all of what it is given."""
    for number in (1, 2):
        shutil.copytree(photos / "train", tmp_path / f"data{number}")
    result = alexnet.train(tmp_path / "data1", valid=tmp_path / "data2", out=tmp_path / "run", **SMALL)
    scores = alexnet.evaluate(result["run"], tmp_path / "data1").scores
    assert (scores["split"], scores["images"]) == ("train", 60)
