"""What is no plain file is not read, and not waited for; a file that changes while it is read does no harm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from by_hand import encode, noise
from PIL import Image

from alexnet.errors import PictureError
from alexnet.pictures.decode import Limits, decode, read

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
LINUX = sys.platform == "linux"


def why_not(path: str | Path, limits: Limits | None = None) -> str:
    """The reason for which a file is not read, within ten seconds."""
    found: list[str] = []

    def attempt() -> None:
        try:
            read(path, limits) if limits else read(path)
        except PictureError as error:
            found.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for someone"
    assert len(found) == 1 and found[0].isprintable()
    return found[0]


def test_folders_sockets_and_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    assert "not a regular file" in why_not(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        assert "not a regular file" in why_not("socket.png")
    os.symlink("a.png", "b.png")
    os.symlink("b.png", "a.png")
    assert "symbolic links" in why_not("a.png")
    os.symlink("nowhere", "c.png")
    assert "No such file" in why_not("c.png")
    os.symlink(tmp_path, "d.png")
    assert "not a regular file" in why_not("d.png")
    assert "null byte" in why_not("a\0.png")
    assert "too long" in why_not("a" * 5000)
    assert "Not a directory" in why_not(Path(__file__) / "a.png")


@pytest.mark.skipif(not LINUX, reason="devices of Linux")
@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/tty", "/dev/full"])
def test_devices(device: str) -> None:
    assert "not a regular file" in why_not(device) or not os.path.exists(device)


def test_a_pipe_with_and_without_a_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    assert "not a regular file" in why_not(pipe)
    writer = os.open(pipe, os.O_RDWR)
    assert "not a regular file" in why_not(pipe)
    os.close(writer)


def test_a_pipe_that_takes_the_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at what it is and the opening."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    status = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    look = os.stat
    monkeypatch.setattr(os, "stat", lambda asked, **how: status if asked == path else look(asked, **how))
    assert "not a regular file" in why_not(path)


@pytest.mark.skipif(not LINUX, reason="files of Linux' /proc")
def test_files_that_claim_no_size() -> None:
    """Files in /proc have none; what is read of them is no picture, and no more than is allowed."""
    assert os.stat("/proc/self/maps").st_size == 0
    assert read("/proc/self/status").startswith(b"Name:")
    assert "more than the limit of 100" in why_not("/proc/self/maps", Limits(bytes=100))
    with pytest.raises(PictureError, match="known format"):
        decode(read("/proc/self/status"))
    assert why_not("/proc/self/mem")  # which cannot be read where nothing is


def test_a_file_without_permission(tmp_path: Path) -> None:
    """To root nothing is forbidden, so the reading is somebody else's."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    path.chmod(0)
    if not ROOT:
        assert "Permission denied" in why_not(path)
        return
    path.chmod(0o600)
    folder = tmp_path
    while folder != folder.parent:  # so that only the file itself is closed to others
        if not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o011)
        folder = folder.parent
    code = f"""if True:
        import os
        from alexnet.errors import PictureError
        from alexnet.pictures.decode import read
        os.setresuid(65534, 65534, 65534)
        try:
            read({str(path)!r})
        except PictureError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("Permission denied\n", "")


def test_limit_of_bytes_exactly(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    assert len(read(tmp_path / "a", Limits(bytes=1000))) == 1000
    assert "1,000 bytes are more than the limit of 999" in why_not(tmp_path / "a", Limits(bytes=999))


@pytest.mark.parametrize("grows", [True, False])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, grows: bool) -> None:
    """Again and again, for a second: pixels or our error, and never more bytes than are allowed."""
    path, whole = tmp_path / "a.png", encode(Image.fromarray(noise(300, 200)), "PNG")
    limits, stop = Limits(bytes=len(whole)), threading.Event()
    path.write_bytes(whole)

    def change() -> None:
        with path.open("r+b") as file:
            while not stop.is_set():
                file.truncate(len(whole) * 3 if grows else len(whole) // 3)
                file.seek(0)
                file.write(whole)
                file.truncate(len(whole))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(150):
            try:
                data = read(path, limits)
                assert len(data) <= len(whole)
                assert decode(data, limits).size == (300, 200)
            except PictureError as error:
                assert str(error)
    finally:
        stop.set()
        thread.join()


def test_ghostscript_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor any other program, whatever the file says it is."""

    def start(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, start)
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    preview = b"\xc5\xd0\xd3\xc6" + bytes(28) + script  # with a picture for the screen before it
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for data in (script, preview, b"%PDF-1.7\n", b"\x1b%-12345X@PJL\n" + script, svg):
        with pytest.raises(PictureError, match="known format"):
            decode(data)
