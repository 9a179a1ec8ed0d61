"""A model process: takes pictures from the server over its standard input, decodes them and answers, on one thread.

It ends when its input does. Pictures that come while others are decoded go through the network together with them, so
that nobody waits for a batch to fill.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from alexnet.errors import AlexNetError, StorageError
from alexnet.insight.features.neighbours import Index
from alexnet.use.server import alike, answers
from alexnet.use.server.batching import PREDICT
from alexnet.use.server.frames import Frame, pack, read
from alexnet.use.server.limits import Limits
from alexnet.weights.files import locate
from alexnet.weights.model import Model, load

Frames = SimpleQueue[Frame | None]


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the server says when to end
        signal.signal(number, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library's stray word must not get between the frames
    settings = json.loads(sys.argv[1])
    try:
        file = locate(settings["model"]).stat()
        model = load(settings["model"], threads=1)
        index = alike.opened(settings["index"], settings["model"]) if settings["index"] is not None else None
        which = [file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns]
        send(replies, {"ready": answers.about(model, settings["model"]), "file": which})
    except (AlexNetError, OSError) as error:  # the second of a library, torch's own import among them
        kind = type(error) if isinstance(error, AlexNetError) else StorageError
        send(replies, {"error": str(error), "kind": kind.__name__})
        return
    frames: Frames = SimpleQueue()
    Thread(target=take, args=(sys.stdin.buffer, frames), daemon=True).start()
    with suppress(BrokenPipeError):  # the server was killed
        serve(model, index, Limits(**settings["limits"]), frames, replies)


def send(stream: BinaryIO, document: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    for piece in pack(document, blobs):
        stream.write(piece)
    stream.flush()


def take(stream: BinaryIO, frames: Frames) -> None:
    """Take frames in while others are worked on."""
    while frame := read(stream):
        frames.put(frame)
    frames.put(None)


def serve(model: Model, index: Index | None, limits: Limits, frames: Frames, replies: BinaryIO) -> None:
    """Answer frames until they end: predictions together, anything else alone."""
    while frame := frames.get():
        ask, (data,) = frame
        if ask["work"] != PREDICT:
            answer, drawn = answers.slow(model, index, data, ask, limits.picture)
            send(replies, {"answers": [answer]}, [drawn])
            continue
        asks, pictures = [], []
        while frame:
            ask, (data,) = frame
            asks.append(ask)
            pictures.append(answers.opened(model, data, limits.picture))
            frame = next_of(frames) if len(asks) < limits.batch else None
        send(replies, {"answers": answers.predictions(model, pictures, asks)})


def next_of(frames: Frames) -> Frame | None:
    """A frame that is there already. The end stays, for the next who asks."""
    try:
        frame = frames.get_nowait()
    except Empty:
        return None
    if frame is None:
        frames.put(None)
    return frame


if __name__ == "__main__":
    main()
