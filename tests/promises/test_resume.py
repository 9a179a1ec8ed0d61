"""R5, R6, R9 and R10 with runs as processes: what may differ on resume, what may not, and who else may be there."""

from __future__ import annotations

import hashlib
import json
import os
import pickletools
import shutil
from pathlib import Path

import pytest
from lab import Lab, ending, held_before, kill, needs_strace, newest, wait_for, wait_until_held

NO_PICKLE = """
import pickle
class Refusing(pickle._Unpickler):
    def __init__(self, *_, **__):
        raise RuntimeError("a pickle was to be loaded")
pickle.load = pickle.loads = pickle.Unpickler = pickle._Unpickler = Refusing
"""


@pytest.fixture(scope="module")
def killed(small_photos: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its middle."""
    run = tmp_path_factory.mktemp("killed") / "run"
    process = Lab(small_photos, cache).begin(run)
    wait_for(run / "checkpoint" / "000000018", process)
    kill(process)
    return run


@pytest.fixture
def stopped(killed: Path, tmp_path: Path) -> Path:
    """A copy of that run, which a test may spoil."""
    return Path(shutil.copytree(killed, tmp_path / "run"))


def copy(run: Path, name: str) -> Path:
    return Path(shutil.copytree(run, run.with_name(name)))


def test_moved_with_one_core_other_workers_and_no_pickle(lab, unbroken, stopped, tmp_path):
    """The newest checkpoint is damaged, besides."""
    step = newest(stopped)
    damaged = stopped / "checkpoint" / f"{step:09d}" / "tensors.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100] + bytes(100))
    (tmp_path / "elsewhere").mkdir()
    run = stopped.rename(tmp_path / "elsewhere" / "moved")
    (tmp_path / "sitecustomize.py").write_text(NO_PICKLE)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = lab.resume(
        Path("moved"),
        *("--set", "workers=3", "--set", "checkpoint_minutes=0.0001", "--set", "device=cpu"),
        fault=("taskset", "-c", "0") if shutil.which("taskset") else (),
        environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        cwd=run.parent,
    )
    said = lab.end(process)
    assert said.code == 0, said
    assert any(f"{step:09d}: damaged checkpoint" in line for line in said.lines), said
    assert ending(run).models == unbroken.models
    assert not pickles(run)


def pickles(run: Path) -> list[Path]:
    """Files that are a pickle, or an archive that may hold one."""
    return [path for path in run.rglob("*") if path.is_file() and is_pickle(path.read_bytes())]


def is_pickle(content: bytes) -> bool:
    if content.startswith(b"PK") or b"\x80\x02" in content[:256] or b"\x80\x04\x95" in content:
        return True
    try:
        return bool(list(pickletools.genops(content)))
    except Exception:  # what genops raises is not documented; each means that this is none
        return False


def test_a_checkpoint_holds_no_pickle(stopped):
    assert is_pickle(__import__("pickle").dumps({"a": 1})) and list(stopped.glob("checkpoint/*/*.safetensors"))
    assert not pickles(stopped)


@pytest.mark.slow
def test_all_checkpoints_damaged(lab, stopped):
    for path in stopped.glob("checkpoint/*/state.json"):
        path.write_bytes(b"")
    said = lab.end(lab.resume(stopped))
    assert said.code == 4 and "every checkpoint is damaged" in said.last


def edited(run: Path, change: str) -> Path:
    """A copy of a run with another number in its configuration."""
    other = copy(run, "edited")
    path = other / "config.json"
    document = json.loads(path.read_text())
    document["recipe"][change] = 0.5
    path.write_text(json.dumps(document))
    return other


def test_what_may_not_change_is_refused_with_the_difference(alexnet, lab, stopped, tmp_path):
    def resume(run, *options):
        return alexnet("train", "--resume", run, *options, **lab.environment)

    before = sorted((path, path.stat().st_mtime_ns) for path in stopped.rglob("*") if path.is_file())
    for options, difference in (
        (["--set", "batch_size=8"], "batch_size was 16 and cannot become 8"),
        (["--seed", "5"], "seed was 0 and cannot become 5"),
        (["--valid", tmp_path], "leave out"),
    ):
        said = resume(stopped, *options)
        assert said.code == 2 and difference in said.err.splitlines()[-1], said.err
    assert before == sorted((path, path.stat().st_mtime_ns) for path in stopped.rglob("*") if path.is_file())
    said = resume(edited(stopped, "learning_rate"))
    assert said.code == 2 and "recipe.learning_rate was 0.004 and is 0.5" in said.err.splitlines()[-1], said.err


def older(run: Path) -> None:
    """Make a run and its checkpoints those of a version that had fewer fields."""
    for path in (run / "config.json", *run.glob("checkpoint/*/state.json")):
        document = json.loads(path.read_text())
        digested = document.pop("sha256", None)
        config = document.get("config", document)
        for place, field in (("recipe", "gradients"), ("recipe", "reference_batch"), ("input", "decode")):
            del config[place][field]
        if digested:
            document["sha256"] = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps(document))


def test_a_run_of_before_a_field_was_goes_on_to_the_same_bytes(lab, unbroken, stopped):
    older(stopped)
    said = lab.end(lab.resume(stopped))
    assert said.code == 0 and any(line.startswith("going on at step") for line in said.lines), said
    assert not any("damaged" in line for line in said.lines) and ending(stopped).models == unbroken.models


def test_another_instruction_set_is_said(lab, stopped):
    recorded = json.loads((stopped / "environment.json").read_text())["instructions"]
    if recorded == "DEFAULT":
        pytest.skip("this processor has one instruction set")
    process = lab.resume(stopped, environment={"ATEN_CPU_CAPABILITY": "default"})
    assert process.stderr is not None
    line = next(line for line in process.stderr if "not as the run began" in line)
    assert f"instructions was {recorded} and is DEFAULT" in line
    kill(process)


@needs_strace
def test_two_processes_never_share_a_folder(alexnet, lab, tmp_path):
    run = tmp_path / "run"
    anew = (lab.photos, *lab.settings, "--out", run, "--force")
    first = lab.begin(run, fault=held_before(run / "kernels" / "0002.npy"))
    wait_until_held(run / "kernels" / "0002.npy", first)
    before = sorted(run.rglob("*"))
    for second in (("--resume", run), anew):
        said = alexnet("train", *second, **lab.environment)
        assert said.code == 2 and "another process is training there" in said.err, said.err
    assert sorted(run.rglob("*")) == before
    kill(first)
    assert (run / ".lock").exists()
    process = lab.resume(run)  # a lock whose holder is dead is none
    wait_for(run / "kernels" / "0003.npy", process)
    kill(process)
