"""When processes in training hear of each other's clocks and signals."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from alexnet.training.parallel.group import Group

MEET_EVERY = 1.0  # seconds between two meetings


@dataclass
class Meetings:
    """Where the processes tell each other what their clocks and signals ask for: after every step of one that is alone,
    else about once a second, since all wait for the slowest then."""

    group: Group
    last: int  # step of the meeting before; of the first one: with which training goes on
    next: int = 0  # step
    moment: float = field(default_factory=time.monotonic)

    def heard(self, step: int, *asked: int) -> list[int]:
        """Of each thing that is asked for the largest that any process asks; zeros where they do not meet."""
        if step < self.next:
            return [0] * len(asked)
        *found, pause = self.group.largest(*asked, self._pause(step))
        self.next, self.last, self.moment = step + pause, step, time.monotonic()
        return found

    def _pause(self, step: int) -> int:
        """Steps until the next meeting, as the leading process sees it."""
        if self.group.size == 1 or not self.group.leads:
            return 1
        done = max(1, step - self.last)
        pace = done / max(1e-6, time.monotonic() - self.moment)
        return max(1, min(2 * done, math.floor(MEET_EVERY * pace)))
