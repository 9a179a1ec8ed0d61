"""The Ray engine: the local one's answers to the bit, also when a worker is killed; and nothing of it stays behind."""

from __future__ import annotations

import filecmp
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from unhurried import Unhurried

from alexnet.errors import UsageError
from alexnet.insight.features.extract import extract
from alexnet.pictures.inputs import listed
from alexnet.pictures.jobs import Shard
from alexnet.pictures.limits import LIMITS
from alexnet.use import cluster
from alexnet.use.predict import Predicting, predict
from alexnet.weights.model import load

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # it warns of what it does itself

COUNT = 230  # of pictures: seven batches and a bit
WORK = Predicting(5, 1, LIMITS)


@pytest.fixture(scope="module")
def place(tmp_path_factory, model_and_pictures):
    """A model and pictures, one of them broken, as files and as the rows of two tables."""
    root = model_and_pictures(tmp_path_factory.mktemp("cluster"), COUNT)
    (root / "tables").mkdir()
    names = sorted(path.name for path in (root / "photos").iterdir())
    for number, some in enumerate((names[:50], names[50:])):
        pictures = [{"bytes": (root / "photos" / name).read_bytes(), "path": f"photos/{name}"} for name in some]
        table = pyarrow.table({"image": pictures, "label": [0] * len(some)})
        pyarrow.parquet.write_table(table, root / "tables" / f"{number}.parquet", row_group_size=45)
    return root


@pytest.fixture(scope="module")
def spread(place):
    """Work on a cluster of this machine, whose workers know these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        with cluster.engine(None, place / "m.safetensors") as spread:
            yield spread


def of_parent(parent: int) -> dict[int, str]:
    """The processes that a process started, with what they are called."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == parent and stat[0] != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def workers(parent: int) -> list[int]:
    """Ray's processes that do work for one that started it."""
    raylets = [pid for pid, name in of_parent(parent).items() if "raylet" in name.partition(" ")[0]]
    return [pid for raylet in raylets for pid, name in of_parent(raylet).items() if "MapWorker" in name]


def test_a_killed_worker_loses_and_doubles_nothing(spread):
    expected = list(predict(load("m.safetensors"), ["photos"]))
    entries = []
    with closing(spread(Unhurried(WORK), listed(["photos"]), 32)) as found:
        for number, some in enumerate(found):
            entries += some
            if number == 2:
                (worker,) = workers(os.getpid())
                os.kill(worker, signal.SIGKILL)
    assert entries == expected and len(entries) == COUNT


def test_features_of_the_rows_of_tables(spread, tmp_path):
    """One shard of the rows through Ray, one not; together they are as if made here."""
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    parts.mkdir()
    ask = {"layers": ["fc4"], "precision": "auto"}
    extract("m.safetensors", ["tables"], parts / "0", shard=Shard(0, 2), **ask, spread=spread)
    extract("m.safetensors", ["tables"], parts / "1", shard=Shard(1, 2), **ask)
    extract("m.safetensors", ["tables"], tmp_path / "merged", **ask, merge=parts)
    assert extract("m.safetensors", ["tables"], whole, **ask)["refused"] == 1
    names = sorted(file.name for file in whole.iterdir())
    assert filecmp.cmpfiles(whole, tmp_path / "merged", names, shallow=False) == (names, [], [])


@pytest.mark.slow
def test_a_model_that_is_another_elsewhere(spread, place, monkeypatch):
    """What a worker refuses comes as one line, not as Ray's pages."""
    (place / "m.safetensors").rename(place / "moved")
    try:
        with pytest.raises(UsageError, match=r"m.safetensors is not the same file on .* as here"):
            list(spread(WORK, listed(["photos/000.png"]), 32))
    finally:
        (place / "moved").rename(place / "m.safetensors")


# ------------------------------------------------------------------------------------------------- as a command, slowly


def command(place, *arguments, **environment):
    asked = [sys.executable, "-m", "alexnet", "predict", *arguments, "--model", "m.safetensors", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    return subprocess.Popen(asked, cwd=place, env={**os.environ, **environment}, **pipes)


def ended(process):
    """What a process wrote on both its streams, from where it was read last."""
    out, said = process.communicate(timeout=300)
    return out.decode(), said.decode()


def marked(mark: str) -> list[str]:
    """What the processes are called that were started with a mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_text(errors="replace"):
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def gone(mark: str) -> bool:
    """Whether none of them is left after a while."""
    deadline = time.monotonic() + 20
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not marked(mark)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [["photos"], ["tables"], ["file://{}/photos"], ["--views", "10", "photos"]], ids=str)
def test_the_same_answers_and_nothing_else(place, tmp_path, inputs):
    inputs = [text.format(place) for text in inputs]
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    expected, _ = ended(command(place, *inputs, "--out", here))
    mark = f"CLUSTER_TEST={tmp_path.name}"
    process = command(place, *inputs, "--out", there, "--engine", "ray", CLUSTER_TEST=tmp_path.name)
    found, said = ended(process)
    assert process.returncode == 3 and "1 of 230 pictures refused" in said and "Traceback" not in said
    assert found == expected and filecmp.cmp(here, there, shallow=False)
    assert gone(mark)


@pytest.mark.slow
def test_a_worker_killed_under_a_command(place):
    """Ray tells of it on standard output if one lets it."""
    inputs = ["photos"] * 15
    expected, _ = ended(command(place, *inputs))
    process = command(place, *inputs, "--engine", "ray")
    begun = process.stdout.read(1).decode()
    (worker,) = workers(process.pid)
    os.kill(worker, signal.SIGKILL)
    found, said = ended(process)
    assert begun + found == expected and "A worker died or was killed" in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_leaves_nothing(place, tmp_path, number):
    name = f"{tmp_path.name}-{number}"
    process = command(place, *["photos"] * 200, "--out", tmp_path / "out.csv", "--engine", "ray", CLUSTER_TEST=name)
    assert process.stdout.read(1) == b"["
    process.send_signal(number)
    answers, said = ended(process)
    assert process.returncode == 128 + number and "Traceback" not in said
    assert 0 < len(json.loads("[" + answers)) < 200 * COUNT
    assert gone(f"CLUSTER_TEST={name}") and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_cluster_that_runs(place):
    """Of two machines, as Ray's own tests make them."""
    code = """
import sys, subprocess
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
cluster.add_node(num_cpus=2)
print(subprocess.run([*sys.argv[1:], "--ray-address", cluster.address], capture_output=True, text=True).stdout)
cluster.shutdown()
"""
    asked = ["-m", "alexnet", "predict", "photos", "--model", "m.safetensors", "--json", "--engine", "ray"]
    command_line = [sys.executable, "-c", code, sys.executable, *asked]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    found = subprocess.run(command_line, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    expected, _ = ended(command(place, "photos"))
    assert found.stdout.strip() == expected.strip()


@pytest.mark.slow
def test_no_cluster_there(place):
    process = command(place, "photos", "--engine", "ray", "--ray-address", "127.0.0.1:9")
    out, said = ended(process)
    assert process.returncode == 5 and out == "" and "no Ray cluster at 127.0.0.1:9" in said
