"""R4: a disk that is full or fails: exit 7 in one line, nothing half written, the checkpoint before it valid."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from lab import Lab, Said, ending, litter, needs_mount, needs_strace, newest, strace, wait_for


@pytest.fixture
def disk(tmp_path):
    """A file system in memory of one megabyte, which `resize` makes larger."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)


def refused(said: Said, run: Path, reason: str) -> None:
    """It ended with exit code 7 and one line with thing, reason and remedy, and left nothing half written."""
    assert said.code == 7, said
    assert reason in said.last and f"--resume {run}" in said.last, said
    assert not litter(run)


@needs_mount
def test_a_run_that_cannot_fit_does_not_begin(lab, disk):
    said = lab.end(lab.begin(disk / "run"))
    assert said.code == 7 and "make room" in said.last and not (disk / "run").exists(), said


def grown_in_steps(lab: Lab, disk: Path, kilobytes: int) -> list[int]:
    """Begin a run on a disk that another program then fills, and go on each time that some kilobytes more are free.

    The steps of the newest checkpoints on the way.
    """
    remount(disk, "size=5m")
    run, filler, steps = disk / "run", disk / "filler", []
    process = lab.begin(run)
    wait_for(run / "split.csv", process)
    filled = shutil.disk_usage(disk).free - 1024 * kilobytes
    filler.write_bytes(bytes(filled))
    while (said := lab.end(process)).code != 0:
        refused(said, run, "No space left on device")
        steps.append(newest(run))
        filled -= 1024 * kilobytes
        os.truncate(filler, filled)
        process = lab.resume(run)
    return steps


@needs_mount
def test_a_disk_on_which_room_is_made_bit_by_bit(lab, unbroken, disk):
    steps = grown_in_steps(lab, disk, 1500)
    assert steps and steps == sorted(steps), steps
    assert ending(disk / "run").models == unbroken.models


@needs_mount
@pytest.mark.slow
def test_a_disk_on_which_room_is_made_in_small_bits(lab, unbroken, disk, record):
    steps = grown_in_steps(lab, disk, 100)
    assert steps == sorted(steps), steps
    assert ending(disk / "run").models == unbroken.models
    record(
        "a full disk, a little larger each time", {"refused with exit code 7": len(steps), "same bytes in the end": 1}
    )


FAULTS = {
    "Input/output error": ("fsync:error=EIO:when=30", None),
    "Disk quota exceeded": ("rename:error=EDQUOT:when=3", ".history.partial.csv"),
    "Read-only file system": ("mkdir:error=EROFS:when=20+", None),
}


@needs_strace
@pytest.mark.slow
def test_errors_of_a_disk_one_after_the_other(lab, unbroken, tmp_path):
    run, before = tmp_path / "run", 0
    for reason, (fault, name) in FAULTS.items():
        said = lab.end(lab.go_on(run, fault=strace(fault, name and run / name)))
        refused(said, run, reason)
        assert newest(run) >= before
        before = newest(run)
    assert before > 0
    assert lab.to_the_last_file(run) == unbroken


@needs_mount
@pytest.mark.slow
def test_a_disk_that_turns_read_only(lab, unbroken, disk):
    remount(disk, "size=100m")
    run = disk / "run"
    said = lab.end(lab.begin(run, fault=strace("fsync:error=EIO:when=60")))
    refused(said, run, "Input/output error")
    before = sorted(run.rglob("*"))
    remount(disk, "ro")
    said = lab.end(lab.resume(run))
    assert said.code == 7 and "Read-only file system" in said.last
    assert sorted(run.rglob("*")) == before
    remount(disk, "rw")
    assert lab.to_the_last_file(run) == unbroken


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("call", ["fsync", "rename", "write", "mkdir"])
def test_any_error_at_any_instant(lab, unbroken, tmp_path, call, record):
    """Each life of a run ends with an error at a random call of the kind, until one comes through."""
    run, refusals = tmp_path / "run", 0
    for _ in range(8):
        when = random.randint(1, {"fsync": 150, "rename": 80, "write": 250, "mkdir": 30}[call])
        said = lab.end(lab.go_on(run, fault=strace(f"{call}:error=ENOSPC:when={when}")))
        if said.code == 0:
            break
        assert said.code == 7 and not litter(run), (when, said)
        refusals += 1
    if said.code == 0:
        assert ending(run).models == unbroken.models
    else:
        assert lab.to_the_last_file(run) == unbroken
    record(
        "errors at random calls of a run", {"refused with exit code 7": refusals, "runs ended with the same bytes": 1}
    )


def test_the_folder_of_a_run_is_removed_under_it(lab, tmp_path):
    process = lab.begin(tmp_path / "run")
    wait_for(tmp_path / "run" / "checkpoint", process)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    said = lab.end(process)
    assert said.code == 7 and str(tmp_path / "run") in said.last, said
    assert not (tmp_path / "run").exists()
