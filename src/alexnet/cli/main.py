"""The program: runs the command that was typed. What a command needs is imported then, so that help is quick."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import shutil
import signal
import sys
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click
from click.shell_completion import shell_complete

from alexnet.cli.door import cli, unheard
from alexnet.environment import leads
from alexnet.errors import AlexNetError, SaidElsewhere, StorageError, UsageError
from alexnet.progress import say

# In the order of the commands in the help.
for part in (
    "networks",
    "check",
    "pictures",
    "models",
    "insight",
    "features",
    "serving",
    "weights",
    "experiments",
    "machine",
):
    import_module(f"alexnet.cli.{part}")

WIDEST, NARROWEST = 108, 36  # columns of the help
COMPLETE = "_ALEXNET_COMPLETE"  # by which click's scripts for shells ask what a word may become


def main(arguments: list[str] | None = None) -> NoReturn:
    """The program: runs a command and turns what goes wrong into one line and an exit code."""
    # Importing torch makes many objects and no garbage: looking for it takes a tenth of the time.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)  # nor when the program ends: a fifth of the time of a prediction
    _open_streams()
    signal.signal(signal.SIGTERM, _terminated)
    if not os.path.isabs(os.environ.get("XDG_CACHE_HOME") or os.sep):
        del os.environ["XDG_CACHE_HOME"]  # invalid, says its specification; matplotlib would write it here all the same
    if asked := os.environ.get(COMPLETE):
        sys.exit(shell_complete(cli, {}, "alexnet", COMPLETE, asked))
    try:
        _stand_somewhere()
        given = sys.argv[1:] if arguments is None else arguments
        width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns - 2))
        with cli.make_context("alexnet", given, terminal_width=width) as context:
            result = cli.invoke(context)
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        fail(error.format_message(), error.exit_code, getattr(error, "ctx", None))
    except SaidElsewhere as error:
        sys.exit(error.exit_code)
    except AlexNetError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted", 130)
    except BrokenPipeError:  # who read our output has gone; that is not worth a word
        unheard()
        sys.exit(0)
    except OSError as error:
        if error.errno is None:
            raise
        kind = UsageError if error.errno == errno.ENAMETOOLONG else StorageError
        fail(f"{error.filename or 'input/output'}: {error.strerror}", kind.exit_code)


def _open_streams() -> None:
    """Streams that are there, whatever started us, and take any name."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would take its place, and what is said go into that
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = sys.stdout or os.fdopen(1, "w"), sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what the terminal's encoding does not
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _stand_somewhere() -> None:
    """Raise UsageError where the current folder was removed: one of torch's libraries ends the process there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError("the current folder is not there any more; change to another") from None


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a command as Ctrl-C does: what was half done is cleaned up."""
    if leads():
        with suppress(OSError):  # print would fail where the signal came in the middle of another
            os.write(2, b"alexnet: terminated\n")
    sys.exit(128 + number)


def fail(message: str, code: int, context: click.Context | None = None) -> NoReturn:
    """One line on the error stream, and out."""
    command = context.command_path if context else "alexnet"
    say(f"{command}: {' '.join(message.split())}")
    sys.exit(code)
