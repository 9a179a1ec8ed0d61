"""The command that serves a model to people and programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from alexnet.cli.door import Number, Whole, command, emit, or_boxed
from alexnet.errors import UsageError
from alexnet.use.server.limits import Limits

F = TypeVar("F", bound=Callable[..., Any])

NEEDED = {"fastapi", "starlette", "uvicorn", "httptools", "python_multipart", "prometheus_client"}


def _limits(function: F) -> F:
    """An option for each of the server's limits."""
    for field in reversed(dataclasses.fields(Limits)):
        most = field.metadata["most"]
        kind = Whole(1, most) if isinstance(field.default, int) else Number(0, most)
        option = f"--{field.name.replace('_', '-')}"
        shown = {"default": field.default, "show_default": field.name != "workers" or "one for each core"}
        function = click.option(option, type=kind, help=field.metadata["meaning"], **shown)(function)
    return function


@command("alexnet serve --model runs/photos")
@click.option("--model", help="Run folder, model file or ONNX file; without it the model in the box.")
@click.option("--index", help="Folder of `alexnet features`: pictures among which the nearest are found.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; this machine only.")
@click.option("--port", type=Whole(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--token", help="What requests must bring (Authorization: Bearer …); other users see it in the process list."
)
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), help="The file that holds it.")
@_limits
def serve(model: str | None, index: str | None, host: str, port: int, as_json: bool, **options: Any) -> None:
    """A web page and an API for a model, until Ctrl-C or SIGTERM."""
    try:
        from alexnet.use.server import serve as serving
        from alexnet.use.server.service import Service
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise UsageError(f"serve needs {error.name}: pip install 'alexnet[serve]'") from None
    token = _token(options.pop("token"), options.pop("token_file"))
    service = Service(or_boxed(model), Limits(**options), token, index)

    def ready(address: str) -> None:
        assert service.workers.about is not None
        said = serving.document(address, service.workers.about)
        emit(said, as_json, f"{said['model']} answers at {address}")

    serving.serve(service, host, port, ready)


def _token(token: str | None, file: Path | None) -> str | None:
    if token is not None and file is not None:
        raise UsageError("--token and --token-file exclude each other")
    if file is not None:
        try:
            token = file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: {getattr(error, 'strerror', None) or 'not plain text'}") from None
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(f"{file or '--token'}: a token is one word of plain letters, digits and signs")
    return token
