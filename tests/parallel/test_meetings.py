"""How processes find each other, and how often they meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from alexnet.errors import NetworkError
from alexnet.training.parallel import joining, meetings
from alexnet.training.parallel.group import Group
from alexnet.training.parallel.joining import joined
from alexnet.training.parallel.meetings import Meetings


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
    monkeypatch.setattr(meetings, "time", SimpleNamespace(monotonic=lambda: now))
    meeting, met = Meetings(Agreed(), step, moment=0.0), []
    for number in range(1, 101):
        now += 0.1
        met += [number] if meeting.heard(step + number, 1) == [1] else []
    pauses = [after - before for before, after in zip([0, *met], [*met, 101], strict=True)]
    assert pauses[0] == 1 and max(pauses) <= 10 and len(met) < 20


def test_a_process_that_does_not_come_is_not_waited_for_without_end(monkeypatch):
    """torchrun keeps the store, in which the others would say that they are there."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    for name, value in (place | {"TORCHELASTIC_USE_AGENT_STORE": True}).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(joining, "_end_with_parent", lambda: None)
    monkeypatch.setattr(joining, "JOIN", timedelta(seconds=1))
    with pytest.raises(NetworkError, match="do not find each other: 1 of 2 did not come within 1 seconds"), joined():
        pass
