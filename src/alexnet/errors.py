"""What a user can run into: one family of errors, each with its exit code.

A message names the thing, the reason and the remedy, on one line; the command line prints it and nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 60  # names, at most, that a message lists: there may be a thousand classes


class AlexNetError(Exception):
    """Base of every error that is not a fault of this program."""

    exit_code = 1


class UsageError(AlexNetError):
    """Wrong arguments, or DATA and MODEL paths that are missing or unusable."""

    exit_code = 2


class PictureError(AlexNetError):
    """A picture that is refused; raised for one file, and for a data set that holds such files."""

    exit_code = 3


class FormatError(PictureError):
    """Bytes that are no picture of a known format."""


class WeightsError(AlexNetError):
    """A weights file or checkpoint that is damaged, hostile or not what it says it is."""

    exit_code = 4


class NetworkError(AlexNetError):
    """Something could not be fetched."""

    exit_code = 5


class DivergedError(AlexNetError):
    """The training loss stopped being a finite number."""

    exit_code = 6


class StorageError(AlexNetError):
    """Disk full, read-only, quota, or another input/output fault."""

    exit_code = 7


class Interrupted(AlexNetError):
    """A signal asked the run to stop; what was learnt so far is in the checkpoint."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class SaidElsewhere(AlexNetError):
    """Another process of the run failed first and said why; this one only ends."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of the run has failed and said why")
        self.exit_code = exit_code


def reason(error: Exception) -> str:
    """What an exception of somebody else's says, on one line and without the system's number."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a misspelt name: says what it could have been, and what there is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    more = f", … ({len(names)} in all)" if len(names) > LISTED else ""
    return UsageError(f"unknown {kind} {name!r}: {hint}there is {', '.join(names[:LISTED])}{more}")
