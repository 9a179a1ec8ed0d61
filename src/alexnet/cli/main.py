"""The program: runs the command that was typed. What a command needs is imported then, so that help is quick."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from alexnet.cli.door import cli
from alexnet.environment import leads
from alexnet.errors import AlexNetError, SaidElsewhere, StorageError
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


def main(arguments: list[str] | None = None) -> NoReturn:
    """The program: runs a command and turns what goes wrong into one line and an exit code."""
    # Importing torch makes many objects and no garbage: looking for it takes a tenth of the time.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)  # nor when the program ends: a fifth of the time of a prediction
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what the terminal's encoding does not
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        result = cli.main(arguments, prog_name="alexnet", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno is None:
            raise
        fail(f"{error.filename or 'input/output'}: {error.strerror}", StorageError.exit_code)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a command as Ctrl-C does: what was half done is cleaned up."""
    if leads():
        os.write(2, b"alexnet: terminated\n")  # print would fail where the signal came in the middle of another
    sys.exit(128 + number)


def fail(message: str, code: int, context: click.Context | None = None) -> NoReturn:
    """One line on the error stream, and out."""
    command = context.command_path if context else "alexnet"
    say(f"{command}: {' '.join(message.split())}")
    sys.exit(code)
