"""What a waiting person sees: lines and a progress bar, on the error stream, so that standard output stays data."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def plain(line: str) -> str:
    """A line on which control signs, which names may hold, are spelt out: a terminal would obey them."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def say(line: str, end: str = "\n") -> None:
    """One line to the person at the terminal. Where nobody can hear it any more, the work goes on."""
    with suppress(OSError):
        print(plain(line), end=end, file=sys.stderr, flush=True)


def progress(items: Iterable[T], total: int, label: str, every: float = 10.0) -> Iterator[T]:
    """The items, with a bar on a terminal and a line every `every` seconds elsewhere."""
    if sys.stderr.isatty():
        yield from _bar(items, total, label)
        return
    spoken = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - spoken >= every:
            spoken = time.monotonic()
            say(f"{label}: {done:,} of {total:,}")


def _bar(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Lines that a command prints meanwhile come above the bar on a terminal; to a file or a pipe they are left alone.
    console, lines = Console(stderr=True), sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=lines) as bar:
        yield from bar.track(items, total=total, description=label)
