"""R1, R4 and R5 at the size of one checkpoint: a fault at every system call of a save, damage to every region."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import litter, needs_strace

CHANGING = (
    "open openat mkdir ftruncate write pwrite64 fsync rename renameat chmod unlink unlinkat rmdir".split()
)  # what is on the disk
ERRORS = "ENOSPC EIO EDQUOT EROFS".split()


class Saver:
    """The process of saver.py, and a folder with checkpoints of steps 1 and 2 that it can save step 3 to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.template = folder, folder / "template"
        command = [sys.executable, str(Path(__file__).with_name("saver.py")), str(self.template)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.digests = dict(self._line().split() for _ in range(3))

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process has ended"
        return line.strip()

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._line()

    def copy(self) -> Path:
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        return Path(shutil.copytree(self.template, self.folder / "copy"))

    def save(self, *options: str) -> tuple[Path, int]:
        """Save step 3 to a copy, under strace; the copy, and how the process ended."""
        folder = self.copy()
        child = self.ask(f"save {folder}")
        tracer = subprocess.Popen(["strace", "-p", child, *options], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None and "attached" in tracer.stderr.readline()
        code = int(self.ask("go"))
        tracer.communicate()
        return folder, code

    def load(self, folder: Path) -> int | str:
        """Step of the checkpoint that is found, whose content must be what was saved, or what went wrong."""
        found = self.ask(f"load {folder}").split()
        if found[0] not in self.digests:
            return " ".join(found)
        assert found[1] == self.digests[found[0]]
        return int(found[0])


@pytest.fixture(scope="module")
def saver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saver]:
    saver = Saver(tmp_path_factory.mktemp("saver"))
    yield saver
    saver.process.communicate("")


def calls_of_a_save(saver: Saver) -> Counter[str]:
    """How often a save makes each system call that concerns files."""
    log = saver.folder / "calls"
    saver.save("-o", str(log), "-e", "trace=%file,%desc")
    lines = log.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if "state.json" in line)  # what a save looks for first
    return Counter(line.partition("(")[0] for line in lines[start:] if "(" in line)


def killed_at_every(saver: Saver, calls: Counter[str]) -> Counter[str]:
    ends: Counter[str] = Counter()
    for name, count in calls.items():
        for number in range(1, count + 1):
            folder, code = saver.save("-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}")
            assert code == -9, (name, number)
            found = saver.load(folder)
            assert found in (2, 3), (name, number, found)
            assert saver.load(folder) == found
            ends["kills"] += 1
            ends[f"found step {found}"] += 1
    return ends


@needs_strace
def test_killed_at_every_call_of_a_save_that_changes_the_disk(saver):
    calls = calls_of_a_save(saver)
    ends = killed_at_every(saver, Counter({name: calls[name] for name in CHANGING if calls[name]}))
    assert ends["found step 2"] > 5 and ends["found step 3"] > 2, (calls, ends)


@needs_strace
@pytest.mark.slow
def test_killed_at_every_call_of_a_save(saver, record):
    ends = killed_at_every(saver, calls_of_a_save(saver))
    record("killed at every system call of a save", dict(ends))


def refused_at_every(saver: Saver, calls: Counter[str], errors: list[str]) -> Counter[str]:
    """Each call of a save fails in turn: the save is then whole, or refused with the checkpoints as they were."""
    ends: Counter[str] = Counter()
    before = sorted(path.relative_to(saver.template) for path in saver.template.rglob("*"))
    for name in filter(calls.__getitem__, CHANGING):
        for number in range(1, calls[name] + 1):
            for error in errors:
                folder, code = saver.save("-e", f"trace={name}", "-e", f"inject={name}:error={error}:when={number}")
                assert code in (0, 7), (name, number, error)
                if code == 7:
                    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
                assert not litter(folder), (name, number, error)
                assert saver.load(folder) == (3 if code == 0 else 2), (name, number, error)
                ends["errors"] += 1
                ends["saved all the same" if code == 0 else "refused, nothing changed"] += 1
    return ends


@needs_strace
def test_a_full_disk_at_every_call_of_a_save(saver):
    ends = refused_at_every(saver, calls_of_a_save(saver), ERRORS[:1])
    assert ends["refused, nothing changed"] > 10, ends


@needs_strace
@pytest.mark.slow
def test_every_error_at_every_call_of_a_save(saver, record):
    record("errors at every system call of a save", dict(refused_at_every(saver, calls_of_a_save(saver), ERRORS)))


def damages(content: bytes, count: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """A file flipped in one bit in each of `count` regions, cut off in each, zeroed in each, and emptied."""
    yield "emptied", b""
    for region in range(count):
        low, high = region * len(content) // count, (region + 1) * len(content) // count
        place = rng.randrange(low, high)
        yield (
            f"bit flipped at {place}",
            content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :],
        )
        yield f"cut at {place}", content[:place]
        if content[low:high].strip(b"\0"):
            yield f"zeros in {low}..{high}", content[:low] + bytes(high - low) + content[high:]


def damaged_everywhere(saver: Saver, count: int, rng: random.Random) -> Counter[str]:
    ends: Counter[str] = Counter()
    for name in ("tensors.safetensors", "state.json"):
        content = (saver.template / "000000002" / name).read_bytes()
        for what, damaged in damages(content, count, rng):
            folder = saver.copy()
            (folder / "000000002" / name).write_bytes(damaged)
            found = saver.load(folder)
            # What a bit in the white space of state.json means is what was written: only that may still load.
            assert found == 1 or (found == 2 and name == "state.json"), (name, what, found)
            ends["damages"] += 1
            ends["the one before was used" if found == 1 else "meant the same"] += 1
    return ends


def test_damage_to_any_region_is_noticed(saver):
    ends = damaged_everywhere(saver, 12, random.Random(0))
    assert ends["the one before was used"] > 50, ends


@pytest.mark.slow
def test_damage_to_many_regions_is_noticed(saver, record):
    record("damages", dict(damaged_everywhere(saver, 300, random.Random())))


def test_a_lost_file_is_damage_and_a_lost_commit_is_none(saver):
    folder = saver.copy()
    (folder / "000000002" / "tensors.safetensors").unlink()
    assert saver.load(folder) == 1
    folder = saver.copy()
    (folder / "000000002" / "state.json").unlink()
    assert saver.load(folder) == 1


def test_where_all_are_damaged_nothing_is_used(saver):
    folder = saver.copy()
    for path in folder.glob("*/tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    assert saver.load(folder) == "error 4"
    assert len(list(folder.glob("*/tensors.safetensors"))) == 2  # nothing that someone may still mend is removed
