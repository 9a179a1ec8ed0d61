"""Work for a cluster that takes its time, so that a worker can be killed in the middle of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Unhurried:
    """Some other work, a picture every 5 ms."""

    work: Any

    def __call__(self, model, pictures):
        for entry in self.work(model, pictures):
            time.sleep(0.005)
            yield entry
