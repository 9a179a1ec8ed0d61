"""Downloads, from a server that does everything wrong that servers do. What is at the target is whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from alexnet.errors import NetworkError, StorageError, UsageError, WeightsError
from alexnet.weights import download
from alexnet.weights.download import Patience, fetch

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(len(CONTENT))
DIGESTS = ("sha256:" + hashlib.sha256(CONTENT).hexdigest(), "sha1:" + hashlib.sha1(CONTENT).hexdigest())
QUICK = Patience(silence=0.5, speed=100_000, window=0.2, tries=3, pause=0.01)


@dataclass
class Server:
    """What the server does is `answer(handler, number)`, for the number-th request from 0."""

    base: str
    answer: object = None
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{self.base}/alexnet.bin"


class Handler(BaseHTTPRequestHandler):
    """Answers as the test says; by default as a good server does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        lab = self.server.lab
        number = len(lab.asked)
        lab.asked.append(dict(self.headers))
        self.close_connection = True
        with suppress(OSError):  # whoever asked has gone
            lab.answer(self, number)

    def log_message(self, *_):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def whole(self, content=CONTENT, tag='"one"', upto=None):
        """The file from where it is asked for, if the mark is still the same; breaks off after `upto` bytes of it."""
        start = 0
        if "Range" in self.headers and self.headers.get("If-Range") == tag:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.head(206, ETag=tag, Content_Length=len(content) - start, Content_Range=span)
        else:
            self.head(200, ETag=tag, Content_Length=len(content))
        self.wfile.write(content[start:upto])


@pytest.fixture
def lab():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.lab = Server(f"http://127.0.0.1:{server.server_port}", lambda handler, number: handler.whole())
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.lab
    server.shutdown()
    server.server_close()


@pytest.fixture
def to(tmp_path):
    return tmp_path / "weights" / "alexnet.bin"


def get(lab, to, **given):
    return fetch(lab.address, to, **{"size": len(CONTENT), "digests": DIGESTS, "patience": QUICK, **given})


def left(to):
    """Names of what lies beside the target, but for the lock."""
    return sorted(path.name for path in to.parent.iterdir() if not path.name.endswith(".lock"))


def cut_first(upto, then=None):
    def answer(handler, number):
        if number == 0:
            handler.whole(upto=upto)
        else:
            (then or Handler.whole)(handler)

    return answer


def test_a_file_comes_once(lab, to):
    assert get(lab, to).read_bytes() == CONTENT
    get(lab, to)
    assert len(lab.asked) == 1 and left(to) == [to.name]
    assert lab.asked[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("given", [{"size": None}, {"digests": (DIGESTS[0][:15],)}, {"size": None, "digests": ()}])
def test_what_nobody_published_is_not_asked_for(lab, to, given):
    assert get(lab, to, **given).read_bytes() == CONTENT


def test_cut_off_and_gone_on_with(lab, to):
    lab.answer = cut_first(100_000)
    assert get(lab, to).read_bytes() == CONTENT
    assert lab.asked[1]["Range"] == "bytes=100000-" and lab.asked[1]["If-Range"] == '"one"'
    assert left(to) == [to.name]


def test_cut_off_for_good_leaves_a_part_for_the_next_time(lab, to):
    lab.answer = lambda handler, number: handler.whole(upto=60_000 * (number + 1))
    with pytest.raises(NetworkError, match=r"broke off after 180,000 of 300,000 bytes; repeat the command"):
        get(lab, to)
    assert not to.exists()
    lab.answer = lambda handler, number: handler.whole()
    assert get(lab, to).read_bytes() == CONTENT
    assert lab.asked[-1]["Range"] == "bytes=180000-"


def without_range(handler):
    del handler.headers["Range"]
    handler.whole()


def beyond(handler):
    """Answers 416 to any range."""
    handler.head(416, Content_Length=0) if "Range" in handler.headers else handler.whole()


def elsewhere(handler):
    """Sends another part than the one asked for."""
    if "Range" not in handler.headers:
        return handler.whole()
    handler.head(206, ETag='"one"', Content_Length=len(CONTENT), Content_Range=f"bytes 0-{len(CONTENT) - 1}/300000")
    handler.wfile.write(CONTENT)


def other_mark(handler):
    """A part of another content, under the old one's range."""
    if "Range" not in handler.headers:
        return handler.whole()
    handler.head(206, ETag='"two"', Content_Length=200_000, Content_Range="bytes 100000-299999/300000")
    handler.wfile.write(OTHER[100_000:])


def other_content(handler):
    """As `other_mark`, and does not even say so."""
    if "Range" not in handler.headers:
        return handler.whole()
    handler.head(206, ETag='"one"', Content_Length=200_000, Content_Range="bytes 100000-299999/300000")
    handler.wfile.write(OTHER[100_000:])


@pytest.mark.parametrize("then", [without_range, beyond, elsewhere, other_mark, other_content])
def test_a_rest_that_does_not_fit_is_not_used(lab, to, then):
    lab.answer = cut_first(100_000, then)
    assert get(lab, to).read_bytes() == CONTENT
    assert "Range" in lab.asked[1] and left(to) == [to.name]


def test_a_file_that_changes_between_its_parts_is_fetched_anew(lab, to):
    """If-Range: the server sends the new file from its beginning, and that is the one that was published."""
    lab.answer = lambda handler, number: handler.whole(OTHER, '"old"', 100_000) if number == 0 else handler.whole()
    assert get(lab, to).read_bytes() == CONTENT


def test_without_a_mark_nothing_is_gone_on_with(lab, to):
    def answer(handler, number):
        handler.head(200, Content_Length=len(CONTENT))
        handler.wfile.write(CONTENT[: 100_000 if number == 0 else None])

    lab.answer = answer
    assert get(lab, to).read_bytes() == CONTENT
    assert "Range" not in lab.asked[1]


@pytest.mark.parametrize("damage", ["", "{", '{"address": 1}', "[]"])
def test_a_damaged_note_beside_a_part_is_passed_by(lab, to, damage):
    lab.answer = lambda handler, number: handler.whole(upto=100_000)
    with pytest.raises(NetworkError):
        get(lab, to, patience=Patience(tries=1))
    (to.parent / f".{to.name}.partial.json").write_text(damage)
    lab.answer = lambda handler, number: handler.whole()
    assert get(lab, to).read_bytes() == CONTENT and "Range" not in lab.asked[-1]


def test_another_content_of_the_same_length_is_refused(lab, to):
    lab.answer = lambda handler, number: handler.whole(OTHER)
    with pytest.raises(WeightsError, match=r"not the published file: its sha256 is \w{64}, the published one \w{64}"):
        get(lab, to)
    assert left(to) == []


def test_every_digest_must_fit(lab, to):
    with pytest.raises(WeightsError, match="its sha1 is"):
        get(lab, to, digests=(DIGESTS[0], "sha1:" + hashlib.sha1(OTHER).hexdigest()))


def test_a_file_in_place_that_is_another_is_replaced(lab, to, capsys):
    to.parent.mkdir()
    to.write_bytes(OTHER)
    assert get(lab, to).read_bytes() == CONTENT
    assert "not the published file" in capsys.readouterr().err


@pytest.mark.parametrize("length", [len(CONTENT) + 1, len(CONTENT) - 1, 2**40])
def test_another_length_is_refused_before_it_comes(lab, to, length):
    lab.answer = lambda handler, number: handler.head(200, Content_Length=length)
    with pytest.raises(NetworkError, match=f"offers {length:,} bytes where 300,000 were expected"):
        get(lab, to)
    assert left(to) == [] and len(lab.asked) == 1


def test_more_than_announced_is_refused(lab, to, monkeypatch):
    def endless(handler, number):
        handler.head(200)
        while True:
            handler.wfile.write(CONTENT)

    lab.answer = endless
    with pytest.raises(NetworkError, match="sends more than 300,000 bytes"):
        get(lab, to)
    monkeypatch.setattr(download, "MOST", 2**20)
    with pytest.raises(NetworkError, match="sends more than 1,048,576 bytes"):
        get(lab, to, size=None)
    assert left(to) == []


def test_pieces_without_a_length(lab, to):
    def chunked(handler, number):
        handler.head(200, Transfer_Encoding="chunked")
        for start in range(0, len(CONTENT), 70_000):
            piece = CONTENT[start : start + 70_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if number == 0:
                return  # ends in the middle
        handler.wfile.write(b"0\r\n\r\n")

    lab.answer = chunked
    assert get(lab, to, size=None).read_bytes() == CONTENT
    assert len(lab.asked) == 2


def test_a_packed_body_is_refused(lab, to):
    lab.answer = lambda handler, number: handler.head(200, Content_Length=5, Content_Encoding="gzip")
    with pytest.raises(NetworkError, match="sends gzip"):
        get(lab, to)


REDIRECTIONS = {
    "a file": ("file:///etc/passwd", "redirects to file:///etc/passwd, which is not https"),
    "http elsewhere": ("http://weights.example/alexnet.bin", "which is not https"),
    "ftp": ("ftp://127.0.0.1/alexnet.bin", "which is not https"),
    "data": ("data:,x", "which is not https"),
    "itself": ("/alexnet.bin", "redirects more than 5 times"),
}


@pytest.mark.parametrize("target, message", REDIRECTIONS.values(), ids=REDIRECTIONS.keys())
@pytest.mark.parametrize("code", [302, 308])
def test_redirections_that_are_not_followed(lab, to, target, message, code):
    lab.answer = lambda handler, number: handler.head(code, Location=target, Content_Length=0)
    with pytest.raises(NetworkError, match=message):
        get(lab, to)
    assert left(to) == []


def test_a_redirection_is_followed_with_its_range(lab, to):
    def answer(handler, number):
        if handler.path != "/elsewhere":
            return handler.head(302, Location="/elsewhere", Content_Length=0)
        handler.whole(upto=100_000 if number == 1 else None)

    lab.answer = answer
    assert get(lab, to).read_bytes() == CONTENT
    assert lab.asked[-1]["Range"] == "bytes=100000-"


def test_not_found_is_not_tried_again(lab, to):
    lab.answer = lambda handler, number: handler.head(404, Content_Length=0)
    with pytest.raises(
        NetworkError, match=r"answered 404 Not Found; .* bring the file from elsewhere to .*alexnet.bin"
    ):
        get(lab, to)
    assert len(lab.asked) == 1


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_passing_fault_is_tried_again(lab, to, code):
    lab.answer = lambda handler, number: handler.whole() if number else handler.head(code, Content_Length=0)
    assert get(lab, to).read_bytes() == CONTENT


def test_a_slow_drip_is_not_waited_for(lab, to):
    def drip(handler, number):
        handler.head(200, ETag='"one"', Content_Length=len(CONTENT))
        for byte in CONTENT:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)

    lab.answer = drip
    began = time.monotonic()
    with pytest.raises(NetworkError, match=r"is too slow: \d+ bytes/s"):
        get(lab, to)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("where", ["before the answer", "in the body"])
def test_a_server_that_hangs_is_left(lab, to, where):
    def hang(handler, number):
        if where == "in the body":
            handler.whole(upto=100)
            handler.wfile.flush()
        time.sleep(1.5)

    lab.answer = hang
    with pytest.raises(NetworkError, match="does not answer"):
        get(lab, to, patience=Patience(silence=0.2, tries=2, pause=0.01))


def test_no_server_and_no_network(to):
    with pytest.raises(NetworkError, match=r"Connection refused; repeat the command when there is a connection"):
        fetch("http://127.0.0.1:9/alexnet.bin", to, patience=QUICK)
    began = time.monotonic()
    with pytest.raises(NetworkError, match=f"bring the file from elsewhere to {to}"):
        fetch("https://nowhere.invalid/alexnet.bin", to, patience=Patience(pause=100))  # tried once
    assert time.monotonic() - began < 20


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_server_with_a_certificate_of_its_own_making_is_not_believed(lab, to, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -nodes -newkey rsa:2048 -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.lab, server.handle_error = lab, lambda *_: None
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with pytest.raises(NetworkError, match=r"certificate verify failed"):
        fetch(f"https://127.0.0.1:{server.server_port}/alexnet.bin", to, patience=Patience(pause=100))  # tried once
    server.shutdown()
    server.server_close()
    assert lab.asked == [] and left(to) == []


@pytest.mark.parametrize("address", ["http://weights.example/a", "file:///etc/passwd", "ftp://x/y", "https:///a", "a"])
def test_other_addresses_are_not_asked(to, address):
    with pytest.raises(UsageError, match="only https"):
        fetch(address, to, digests=("sha1:" + "0" * 40, "sha256:12345678"))


def test_plain_http_is_asked_where_the_whole_digest_is_known():
    assert download._allowed("http://weights.example/a", DIGESTS)
    assert not download._allowed("http://weights.example/a", (DIGESTS[0][:-1],))


def test_many_ask_for_one_file(lab, to):
    def slow(handler, number):
        time.sleep(0.2)
        handler.whole()

    lab.answer = slow
    program = (
        "import sys; from pathlib import Path; from alexnet.weights.download import fetch\n"
        "address, to, size, *digests = sys.argv[1:]\n"
        "fetch(address, Path(to), int(size), digests)"
    )
    command = [sys.executable, "-c", program, lab.address, str(to), str(len(CONTENT)), *DIGESTS]
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: subprocess.run(command, timeout=60).returncode, range(4)))
    assert codes == [0] * 4 and to.read_bytes() == CONTENT
    assert len(lab.asked) == 1 and left(to) == [to.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_gone_on_with(lab, to, number):
    def stop_half_way(handler, count):
        handler.whole(upto=200_000)
        handler.wfile.flush()
        time.sleep(30)

    lab.answer = stop_half_way
    program = (
        "import sys; from pathlib import Path; from alexnet.weights.download import fetch; "
        f"fetch(sys.argv[1], Path(sys.argv[2]), {len(CONTENT)}, {DIGESTS})"
    )
    process = subprocess.Popen([sys.executable, "-c", program, lab.address, str(to)], stderr=subprocess.DEVNULL)
    part = to.parent / f".{to.name}.partial"
    deadline = time.monotonic() + 20
    while not (part.is_file() and part.stat().st_size >= 100_000) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(20) != 0 and not to.exists()
    lab.answer = lambda handler, count: handler.whole()
    assert get(lab, to).read_bytes() == CONTENT
    begun = int(lab.asked[-1]["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 100_000 <= begun <= 200_000


class Full:
    """A file on a disk that takes a little more."""

    def __init__(self, file):
        self.file, self.room = file, 50_000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, block):
        if (room := self.room - len(block)) < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room = room
        return self.file.write(block)


def test_a_disk_that_fills_up(lab, to, monkeypatch):
    opened = Path.open

    def open_(path, mode="r", *rest, **more):
        file = opened(path, mode, *rest, **more)
        return Full(file) if mode == "ab" else file

    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(StorageError, match="No space left on device"):
        get(lab, to)
    assert left(to) == []


def test_a_disk_without_room_is_told_before_anything_comes(lab, to, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match="0 MB are free there"):
        get(lab, to)
    assert left(to) == []


def test_a_folder_that_cannot_be_written(lab, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        get(lab, tmp_path / "file" / "alexnet.bin")
