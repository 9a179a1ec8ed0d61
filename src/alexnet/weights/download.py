"""Files from the network: over https, whole or not at all, of the published size and digest, gone on with where they
broke off, and fetched once however many ask."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from alexnet.errors import NetworkError, StorageError, UsageError, WeightsError
from alexnet.progress import progress, say
from alexnet.storage import alone, publish, write_json

MOST = 2**31  # bytes of a file whose size nobody published
BLOCK = 2**18
MEBIBYTE = 2**20
REDIRECTIONS = 5
REDIRECTED = (301, 302, 303, 307, 308)
PASSING = (408, 429)  # and 500 to 599: answers that may be others in a while
LASTING = (ssl.SSLCertVerificationError, socket.gaierror)  # a stranger's certificate; no such name, or no connection


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for."""

    silence: float = 30.0  # seconds without a byte
    speed: float = 10_000.0  # bytes a second, on average over each `window` seconds, at least
    window: float = 30.0
    tries: int = 5
    pause: float = 1.0  # seconds before the second try; twice as long before each further one


PATIENCE = Patience()


class Broken(Exception):
    """A try that failed, and may do better when repeated."""


def fetch(
    address: str,
    to: Path,
    size: int | None = None,
    digests: Sequence[str] = (),
    patience: Patience = PATIENCE,
) -> Path:
    """The file at `address` as `to`, with `size` bytes and all `digests` (as in `catalog.Entry`); nothing if there.

    What came of a file that broke off stays beside `to` for the next time. Raises NetworkError, StorageError, and
    WeightsError for another content than the published one.
    """
    if not _allowed(address, digests):
        raise UsageError(f"{address}: only https is fetched, or http where a whole SHA-2 digest is known")
    with alone(to):
        if to.is_file():
            if not (wrong := _unfit(to, size, digests)):
                return to
            say(f"{to}: not the published file: {wrong}; fetching it anew")
        part, reason = Part(to), "was not tried"
        for number in range(patience.tries):
            if number:
                say(f"{to.name}: {reason}; trying again")
                time.sleep(patience.pause * 2 ** (number - 1))
            try:
                return _try(address, part, size, digests, patience)
            except Broken as error:
                reason = str(error)
        raise NetworkError(_remedied(address, reason, to))


def _allowed(address: str, digests: Sequence[str]) -> bool:
    """https; http from this machine, or where a digest that nobody can forge leaves no choice of content."""
    parts = urlsplit(address)
    if parts.scheme == "http":
        return _loopback(address) or any(map(_whole, digests))
    return parts.scheme == "https" and bool(parts.hostname)


def _loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _whole(digest: str) -> bool:
    kind, _, value = digest.partition(":")
    return kind in ("sha256", "sha384", "sha512") and len(value) == 2 * hashlib.new(kind).digest_size


def _remedied(address: str, reason: str, to: Path) -> str:
    return (
        f"{address}: {reason}; repeat the command when there is a connection (what has come is kept), "
        f"or bring the file from elsewhere to {to} and repeat it"
    )


# ------------------------------------------------------------------------------------------------------- what has come


class Part:
    """What has come of a file, and by what mark of the server (ETag or date) the rest can be asked for."""

    def __init__(self, to: Path) -> None:
        self.to = to
        self.path = to.with_name(f".{to.name}.partial")
        self.note = to.with_name(f".{to.name}.partial.json")

    def begun(self, address: str) -> tuple[int, str]:
        """Bytes that are there and the mark; 0 where the rest cannot be asked for."""
        try:
            note = json.loads(self.note.read_text("utf-8"))
            found = self.path.stat().st_size
            return (found, str(note["mark"])) if note["address"] == address and note["mark"] else (0, "")
        except (OSError, ValueError, KeyError, TypeError):
            return 0, ""

    def begin(self, address: str, mark: str | None) -> None:
        self.discard()
        write_json(self.note, {"address": address, "mark": mark})
        self.path.touch()

    def discard(self) -> None:
        for path in (self.note, self.path):
            path.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say what the disk refuses, and leave no litter on a full one. Raises StorageError."""
        try:
            yield
        except OSError as error:
            self.discard()
            raise StorageError(f"{self.to}: cannot be written: {error.strerror or error}") from None

    def publish(self) -> Path:
        with self.writing():
            publish(self.path, self.to)
            self.discard()
        return self.to


def _unfit(path: Path, size: int | None, digests: Sequence[str]) -> str:
    """What is wrong with a file, in words; nothing where it is the published one."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"{found:,} bytes where {size:,} were published"
    for digest in digests:
        kind, _, value = digest.partition(":")
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, kind).hexdigest()
        if not actual.startswith(value):
            return f"its {kind} is {actual}, the published one {value}"
    return ""


# --------------------------------------------------------------------------------------------------------------- a try


def _try(address: str, part: Part, size: int | None, digests: Sequence[str], patience: Patience) -> Path:
    begun, mark = part.begun(address)
    if size is None or begun != size:
        _receive(address, part, begun, mark, size, patience)
    if wrong := _unfit(part.path, size, digests):
        part.discard()
        if begun:
            raise Broken(f"what came in parts does not fit together: {wrong}")
        raise WeightsError(f"{address}: not the published file: {wrong}; it was not kept")
    return part.publish()


def _receive(address: str, part: Part, begun: int, mark: str, size: int | None, patience: Patience) -> None:
    """Fetch what is missing. Raises Broken or NetworkError."""
    headers = {"User-Agent": "alexnet", "Accept-Encoding": "identity"}
    if begun:
        headers |= {"Range": f"bytes={begun}-", "If-Range": mark}
    with _answer(address, headers, part, patience) as response:
        begun, total = _agreed(address, response, part, begun, mark, size)
        with part.writing():
            _room(part.to, (total or 0) - begun)
            if not begun:
                part.begin(address, _mark(response))
            with part.path.open("ab") as file:
                written = _written(_blocks(response, patience), file, begun, total or MOST)
                for _ in progress(written, -(-(total or MOST) // MEBIBYTE), f"{part.to.name}, MiB"):
                    pass
    came = part.path.stat().st_size
    if came > (total or MOST):
        part.discard()
        raise NetworkError(_remedied(address, f"sends more than {total or MOST:,} bytes", part.to))
    if total is not None and came < total:
        raise Broken(f"broke off after {came:,} of {total:,} bytes")


@contextmanager
def _answer(address: str, headers: Mapping[str, str], part: Part, patience: Patience) -> Iterator[HTTPResponse]:
    """The server's answer with a body worth reading. Raises Broken or NetworkError."""
    try:
        response = _opened(address, headers, patience.silence)
    except HTTPError as error:
        with error:
            if error.code == 416:  # there is no such rest
                part.discard()
            if error.code in (416, *PASSING) or error.code >= 500:
                raise Broken(f"answered {error.code} {error.reason}") from None
            raise NetworkError(_remedied(address, f"answered {error.code} {error.reason}", part.to)) from None
    except (OSError, HTTPException, ValueError) as error:  # ValueError: where it redirects to is no address
        if isinstance(getattr(error, "reason", error), LASTING):
            raise NetworkError(_remedied(address, _words(error), part.to)) from None
        raise Broken(_words(error)) from None
    with response:
        yield response


def _opened(address: str, headers: Mapping[str, str], silence: float) -> HTTPResponse:
    """As `urllib.request.urlopen`, but for http and https alone, and following to https alone."""
    opener, origin = OpenerDirector(), address
    proxies = [] if _loopback(address) else [ProxyHandler()]
    for handler in (*proxies, HTTPHandler(), HTTPSHandler(), HTTPErrorProcessor(), HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    for _ in range(1 + REDIRECTIONS):
        try:
            response: HTTPResponse = opener.open(Request(address, headers=dict(headers)), timeout=silence)
            return response
        except HTTPError as error:
            if error.code not in REDIRECTED:
                raise
            error.close()
            address = urljoin(address, error.headers.get("Location", ""))
        if not (_allowed(address, ()) and (_loopback(origin) or not _loopback(address))):
            raise NetworkError(f"{origin}: redirects to {address}, which is not https; nothing was fetched from there")
    raise NetworkError(f"{origin}: redirects more than {REDIRECTIONS} times, at last to {address}")


def _agreed(
    address: str, response: HTTPResponse, part: Part, begun: int, mark: str, size: int | None
) -> tuple[int, int | None]:
    """From which byte on the server sends, and how many the whole file has. Raises Broken or NetworkError."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise NetworkError(_remedied(address, f"sends {encoding} where the plain file was asked for", part.to))
    if response.status == 206 and begun:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != begun or _mark(response) not in (None, mark):
            part.discard()
            raise Broken("sends another part than the one that was asked for")
        total: int | None = int(found[2])
    elif response.status == 200:
        begun, total = 0, response.length
    else:
        raise NetworkError(_remedied(address, f"answered {response.status} {response.reason}", part.to))
    wanted = MOST if size is None else size
    if total is not None and (total > wanted or (size is not None and total != size)):
        part.discard()
        raise NetworkError(_remedied(address, f"offers {total:,} bytes where {wanted:,} were expected", part.to))
    return begun, size if total is None else total


def _mark(response: HTTPResponse) -> str | None:
    """By what the server knows this very content again: its ETag, unless that is a weak one, or its date."""
    tag: str | None = response.headers.get("ETag")
    date: str | None = response.headers.get("Last-Modified")
    return date if tag is None or tag.startswith("W/") else tag


def _room(to: Path, needed: int) -> None:
    free = shutil.disk_usage(to.parent).free
    if free < needed:
        raise StorageError(f"{to}: {needed / 1e6:,.0f} MB are to come and {free / 1e6:,.0f} MB are free there")


def _blocks(response: HTTPResponse, patience: Patience) -> Iterator[bytes]:
    """The body as it comes. Raises Broken when it stops coming, or comes too slowly."""
    since, came = time.monotonic(), 0
    try:
        while block := response.read1(BLOCK):
            yield block
            came += len(block)
            seconds = time.monotonic() - since
            if seconds >= patience.window:
                if came < patience.speed * seconds:
                    raise Broken(f"is too slow: {came / seconds:,.0f} bytes/s")
                since, came = time.monotonic(), 0
    except (OSError, HTTPException) as error:
        raise Broken(_words(error)) from None


def _words(error: Exception) -> str:
    """A fault of the network in words; some of them have none."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "does not answer"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"cannot be fetched: {text}"


def _written(blocks: Iterable[bytes], file: IO[bytes], begun: int, most: int) -> Iterator[int]:
    """Write blocks, up to one beyond `most` bytes, and yield the number of each mebibyte that is complete."""
    yield from range(begun // MEBIBYTE)
    size = begun
    for block in blocks:
        file.write(block)
        before, size = size, size + len(block)
        yield from range(before // MEBIBYTE, size // MEBIBYTE)
        if size > most:
            return
