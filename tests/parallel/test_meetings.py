"""How often processes meet."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from alexnet.training import parallel
from alexnet.training.parallel import Group, Meetings


@dataclass(frozen=True)
class Agreed(Group):
    """The leading one of two processes, of which the other asks for nothing."""

    size: int = 2

    def largest(self, *values: int) -> list[int]:
        return list(values)


@pytest.mark.parametrize("step", [0, 100_000])
def test_they_meet_about_once_a_second(monkeypatch, step):
    """With steps of a tenth of a second, also where a run goes on."""
    now = 0.0
    monkeypatch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: now))
    meetings, met = Meetings(Agreed(), step, moment=0.0), []
    for number in range(1, 101):
        now += 0.1
        met += [number] if meetings.heard(step + number, 1) == [1] else []
    pauses = [after - before for before, after in zip([0, *met], [*met, 101], strict=True)]
    assert pauses[0] == 1 and max(pauses) <= 10 and len(met) < 20
