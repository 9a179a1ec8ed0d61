"""Pictures as they come in: a body of bounded size, itself a picture or a form with files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from alexnet.use.server.limits import Limits
from alexnet.use.server.problems import Problem, busy

if TYPE_CHECKING:
    from starlette.requests import Request

BOUNDARY = 70  # characters of a boundary, RFC 2046 §5.1.1
RAW = "picture"  # the name of one that came without


@dataclass(frozen=True)
class Upload:
    """A file as it was sent; its name is the sender's word and is only ever given back."""

    name: str
    data: bytes


class Budget:
    """Bytes that all bodies together may have in memory."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, count: int) -> None:
        """Raises Problem 503 when there is no room."""
        if self.held + count > self.most:
            raise busy("too many uploads at once")
        self.held += count


@asynccontextmanager
async def received(request: Request, limits: Limits, budget: Budget) -> AsyncIterator[bytes]:
    """The body of a request, in memory until the block ends. Raises Problem 400, 413, 415 or 503."""
    declared = request.headers.get("content-length", "")
    if declared and int(declared) > limits.body_bytes:  # the parser has made sure that it is a number
        raise too_large(limits)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "the body is compressed; send it as it is")
    chunks: list[bytes] = []
    held = 0
    try:
        async for chunk in request.stream():
            if held + len(chunk) > limits.body_bytes:
                raise too_large(limits)
            budget.take(len(chunk))
            held += len(chunk)
            chunks.append(chunk)
        yield b"".join(chunks)
    finally:
        budget.held -= held


def too_large(limits: Limits) -> Problem:
    return Problem(413, f"the request is larger than {limits.body_bytes:,} bytes")


def pictures(body: bytes, content_type: str, limits: Limits) -> list[Upload]:
    """The files of a form in the order sent; a body that is no form is one picture. Raises Problem 400."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        found = [Upload(RAW, body)] if body else []
    else:
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= BOUNDARY:
            raise Problem(400, f"the form's boundary must have 1 to {BOUNDARY} characters")
        found = _Form(limits).files(body, boundary)
    if not found:
        raise Problem(400, "no picture was sent: send one as the body, or files in a form")
    return found


def one(uploads: list[Upload]) -> Upload:
    """The only one. Raises Problem 400 for several."""
    if len(uploads) > 1:
        raise Problem(400, f"{len(uploads)} pictures at once; this takes one")
    return uploads[0]


class _Form:
    """What a parser of forms tells, step by step."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.found: list[Upload] = []
        self.fields = 0
        self.header, self.value = b"", b""
        self.options: dict[bytes, bytes] = {}
        self.content: list[bytes] = []
        self.complete = False

    def files(self, body: bytes, boundary: bytes) -> list[Upload]:
        """Parts with a file name. Raises Problem."""
        calls = {
            "on_part_begin": self.part,
            "on_header_field": lambda data, start, end: setattr(self, "header", self.header + data[start:end]),
            "on_header_value": lambda data, start, end: setattr(self, "value", self.value + data[start:end]),
            "on_header_end": self.header_end,
            "on_part_data": lambda data, start, end: self.content.append(data[start:end]),
            "on_part_end": self.part_end,
            "on_end": lambda: setattr(self, "complete", True),
        }
        try:
            parser = MultipartParser(boundary, calls, max_header_count=8, max_header_size=self.limits.part_head_bytes)  # type: ignore[arg-type]
            parser.write(body)
            parser.finalize()
        except MultipartParseError as error:
            raise Problem(400, f"the form is malformed: {error}") from None
        if not self.complete:
            raise Problem(400, "the form is malformed: its last boundary is missing")
        return self.found

    def part(self) -> None:
        self.options, self.content = {}, []

    def header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.options = parse_options_header(self.value)[1]
        self.header, self.value = b"", b""

    def part_end(self) -> None:
        if b"filename" in self.options:
            name = self.options[b"filename"].decode("utf-8", "replace")
            self.found.append(Upload(name, b"".join(self.content)))
        else:
            self.fields += 1
        if len(self.found) > self.limits.files or self.fields > self.limits.fields:
            limits = self.limits
            raise Problem(400, f"a form may have {limits.files} files and {limits.fields} other fields")
