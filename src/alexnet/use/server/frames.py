"""What goes between the server and its model processes, over pipes: a JSON document and some byte strings.

A frame is the length of the document (4 bytes, big-endian), the document, which lists the lengths of the byte strings,
and these.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

LENGTH = struct.Struct(">I")
Frame = tuple[dict[str, Any], list[bytes]]


def pack(document: dict[str, Any], blobs: Sequence[bytes] = ()) -> list[bytes]:
    """The pieces of a frame, in order."""
    head = json.dumps(document | {"blobs": [len(blob) for blob in blobs]}).encode()
    return [LENGTH.pack(len(head)), head, *blobs]


def read(stream: BinaryIO) -> Frame | None:
    """The next frame; None at the end."""
    start = stream.read(LENGTH.size)
    if len(start) < LENGTH.size:
        return None
    document = json.loads(stream.read(*LENGTH.unpack(start)))
    return document, [stream.read(size) for size in document.pop("blobs")]


async def receive(stream: asyncio.StreamReader) -> Frame:
    """The next frame. Raises asyncio.IncompleteReadError at the end."""
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    document = json.loads(await stream.readexactly(length))
    return document, [await stream.readexactly(size) for size in document.pop("blobs")]
