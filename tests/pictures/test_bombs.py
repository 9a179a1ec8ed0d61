"""Files that want more memory than they are worth: refused before it is spent, or decoded in little of it.

In a process of their own, whose memory is looked at before and after each. The limit of the address space is a second
net.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from by_hand import bmp, chunk, encode, gif, grey_jpeg, noise, page, segment, tags, tiff
from odd_pictures import exif, raw_png
from PIL import Image

SMALL = encode(Image.fromarray(noise()), "PNG")
JPEG = encode(Image.fromarray(noise()), "JPEG")
MIB = 2**20


def lying_jpeg(side: int = 10_000) -> bytes:
    """100 million pixels claimed, of which a few have data."""
    data = bytearray(grey_jpeg(0xC0, side=64))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def many_segments() -> bytes:
    """Pillow would join six million pieces of EXIF one by one."""
    return JPEG[:2] + segment(0xE1, b"Exif\0\0x") * (60 * MIB // 11) + JPEG[2:]


def many_scans() -> bytes:
    smooth = encode(Image.fromarray(noise(64, 64)), "JPEG", progressive=True)
    last = smooth.rindex(b"\xff\xda")
    return smooth[:-2] + smooth[last:-2] * (MIB // (len(smooth) - last)) + smooth[-2:]


def numbers(tag: int, count: int) -> bytes:
    return page(tags(24, 16) | {tag: (3, bytes(2 * count))}, noise(channels=1).tobytes())[: 60 * MIB]


def many_tags() -> bytes:
    """Each points to the same 8 MiB."""
    place = 8 + 2 + 12 * 60_000 + 4
    entries = b"".join(struct.pack("<HHLL", 5000 + number, 7, 8 * MIB, place) for number in range(60_000))
    return b"II*\0" + struct.pack("<LH", 8, 60_000) + entries + bytes(4) + bytes(8 * MIB)


def sub_directory() -> bytes:
    """EXIF with a list of 20 million numbers."""
    entry = struct.pack("<HHHLLL", 1, 37500, 3, 20_000_000, 26, 0)
    first = page(tags(24, 16, t34665=(4, [0])), noise(channels=1).tobytes())
    start = len(first)
    at = first.index(struct.pack("<HHL", 34665, 4, 1)) + 8
    return first[:at] + struct.pack("<L", start) + first[at + 4 :] + entry + bytes(40_000_000)


def comments() -> bytes:
    """A remark of five million pieces of one byte."""
    plain = gif((8, 6), [(0, 0, 0)], ((0, 0, 8, 6), [0] * 48, None))
    return plain[:25] + b"!\xfe" + b"\1c" * (5 * MIB) + b"\0" + plain[25:]


def tile(side: int) -> bytes:
    plain = {tag: value for tag, value in tags(16, 16).items() if tag not in (273, 278, 279)}
    packed = zlib.compress(bytes(20 * MIB))
    sizes = {259: (3, [8]), 322: (4, [side]), 323: (4, [side]), 324: (4, [0]), 325: (4, [len(packed)])}
    return page(plain | sizes, packed)  # type: ignore[arg-type]


def texts() -> bytes:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))
    return raw_png(24, 16, 8, 2, b"".join(b"\0" + row.tobytes() for row in noise()), text * 3000)


def big_profile() -> bytes:
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200 * MIB), 1))
    return raw_png(24, 16, 8, 2, b"".join(b"\0" + row.tobytes() for row in noise()), profile)


def frames() -> bytes:
    frame = gif((8, 6), [(0, 0, 0)], ((0, 0, 8, 6), [0] * 48, None))[25:-1]
    return gif((8, 6), [(0, 0, 0)], ((0, 0, 8, 6), [0] * 48, None))[:-1] + frame * (60 * MIB // len(frame))


def pages() -> bytes:
    first = page(tags(24, 16), noise(channels=1).tobytes())
    start = len(first) + len(first) % 2
    links = np.zeros(10_000_000, [("count", "<u2"), ("next", "<u4")])
    links["next"] = start + 6 * (np.arange(10_000_000) + 1)
    pointer = 8 + 2 + 12 * len(tags(24, 16))
    return first[:pointer] + struct.pack("<I", start) + first[pointer + 4 :] + bytes(len(first) % 2) + links.tobytes()


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a heading of a JPEG that lies, within the limit": (lying_jpeg, "too little data"),
    "a heading of a JPEG that lies": (lambda: lying_jpeg(60_000), "pixels"),
    "a heading of a PNG that lies, within the limit": (lambda: raw_png(10_000, 10_000, 8, 2, bytes(1000)), "not "),
    "a heading of a PNG that lies": (lambda: raw_png(2**31 - 1, 2**31 - 1, 8, 2, bytes(1000)), "pixels"),
    "a heading of a BMP that lies, within the limit": (lambda: bmp(10_000, 10_000, 24, bytes(100)), "not "),
    "a heading of a BMP that lies": (lambda: bmp(2**31 - 1, 2**31 - 1, 24, bytes(100)), "pixels"),
    "a heading of a PPM that lies, within the limit": (lambda: b"P6 10000 10000 255 " + bytes(100), "not "),
    "a heading of a PPM that lies": (lambda: b"P6 99999999 99999999 255 " + bytes(100), "pixels"),
    "a heading of a TIFF that lies, within the limit": (lambda: tiff(10_000, 10_000, 8, bytes(100)), "not "),
    "a heading of a TIFF that lies": (lambda: tiff(2**31, 2**31, 8, bytes(100)), "pixels"),
    "a frame of a GIF that lies": (
        lambda: gif((8, 6), [(0, 0, 0)], ((0, 0, 60_000, 60_000), [0], None), disposal=2),
        "pixels",
    ),
    "six million pieces of EXIF": (many_segments, "segments"),
    "five thousand scans": (many_scans, "scans"),
    "30 million strips": (lambda: numbers(279, 28 * MIB), "numbers"),
    "30 million colours": (lambda: numbers(320, 28 * MIB), "numbers"),
    "30 million samples": (lambda: numbers(339, 28 * MIB), "numbers"),
    "60,000 tags of 8 MiB": (many_tags, "not "),
    "EXIF of 20 million numbers": (sub_directory, ""),
    "a remark in five million pieces": (comments, ""),
    "a tile of 1,600 million pixels": (lambda: tile(40_000), "pixels"),
    "three thousand texts": (texts, ""),
    "a colour profile of 200 MiB": (big_profile, ""),
    "a million frames": (frames, "1,001 frames"),
    "ten million pages": (pages, "1,001 frames"),
    "EXIF that points everywhere": (
        lambda: encode(Image.fromarray(noise()), "PNG", exif=exif(*[(number, 7, 2**31, 8) for number in range(999)])),
        "",
    ),
}

DECODED = """
import gc, json, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
from alexnet.errors import PictureError
from alexnet.pictures.decode import decode

def memory(name):
    (line,) = (line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 1024

found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, started, said = memory("VmRSS"), time.process_time(), "shown"
    try:
        decode(data)
    except PictureError as error:
        said = str(error)
    found[path.name] = said, memory("VmHWM") - before, time.process_time() - started
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float, float]]:
    """What is said of each bomb, the memory in MiB that its decoder took, and the seconds of processor time."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in {"a small picture first": (lambda: SMALL, ""), **BOMBS}.items():
        data = make()
        assert len(data) <= 64 * MIB
        (folder / name).write_bytes(data)
    command = [sys.executable, "-c", DECODED, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    for path in folder.iterdir():
        path.unlink()
    assert (done.returncode, done.stderr) == (0, "")
    return {name: (said, memory, seconds) for name, (said, memory, seconds) in json.loads(done.stdout).items()}


@pytest.mark.skipif(sys.platform != "linux", reason="measured as Linux does")
@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_not_spent(name: str, costs: dict[str, tuple[str, float, float]]) -> None:
    """A few copies of a file of up to 64 MiB are no harm; no bomb takes more than 200 MiB."""
    said, memory, seconds = costs[name]
    reason = BOMBS[name][1]
    assert (reason in said and said != "shown") if reason else said == "shown" or "not " in said
    assert memory < 200
    assert seconds < 20  # a second or two on a quiet machine; it was hours
