"""S1 and S2: no upload gives a 5xx or harms another request, and every size is bounded to the byte."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from clients import encoded, form
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet.use.server.limits import Limits
from alexnet.use.server.problems import Problem
from alexnet.use.server.uploads import pictures

CAP = 16 * 2**20
ALLOWED = {400, 413, 415, 422, 431}


def test_the_cap_is_exact(server, jpeg):
    """A JPEG may be followed by anything; so this one has the size that is wanted."""
    full = jpeg + bytes(CAP - len(jpeg))
    assert server.predict(full).status == 200
    assert server.predict(full + b"x").status == 413
    assert server.predict(iter([full[:1000], full[1000:]])).status == 200  # chunked: no length is declared
    assert server.predict(iter([full, b"x"])).status == 413
    assert server.predict(jpeg).status == 200


def test_a_declared_length_beyond_the_cap_is_refused_before_it_is_sent(server):
    head = f"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: {CAP + 1}\r\nExpect: 100-continue\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(2**16).startswith(b"HTTP/1.1 413 ")


def test_the_cap_is_an_option(start, jpeg):
    server = start("--workers", "1", "--body-bytes", "5000")
    body = jpeg + bytes(5000 - len(jpeg))
    assert [server.predict(b).status for b in (body, body + b"x")] == [200, 413]
    assert server.ask("GET", "/v1/model").json["limits"]["body_bytes"] == 5000


def test_as_many_files_as_allowed_and_one_more(server, jpeg):
    for count, status in ((16, 200), (17, 400)):
        body, kind = form(*[(f"{number}.jpg", jpeg) for number in range(count)])
        assert server.predict(body, headers=kind).status == status


def test_fields_are_passed_over_up_to_a_number(server, jpeg):
    field = b'--alexnet\r\nContent-Disposition: form-data; name="note"\r\n\r\nwords\r\n'
    body, kind = form(("a.jpg", jpeg))
    assert server.predict(16 * field + body, headers=kind).status == 200
    assert server.predict(17 * field + body, headers=kind).status == 400


def test_heads_are_bounded(server):
    for line in (b"X-Long: " + b"x" * 20_000, b"\r\n".join(b"X-%d: y" % n for n in range(200)), b"x" * 300_000):
        answer = server.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
        assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), answer[:100]
    answer = server.raw(b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ") and b"application/problem+json" in answer
    trailers = b"0\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n"
    head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.raw(head + trailers).startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


def test_all_bodies_together_are_bounded(start, jpeg):
    server = start("--workers", "1", "--buffered-bytes", "100000")
    with server.connect() as greedy:
        greedy.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + bytes(98_000))
        for _ in range(100):
            refused = server.predict(jpeg)
            if refused.status == 503:
                break
        assert refused.status == 503 and refused.headers["retry-after"] == "1" and refused.problem
    for _ in range(100):
        if server.figure("alexnet_upload_bytes") == 0:
            break
    assert server.predict(jpeg).status == 200


# ---------------------------------------------------------------------------------------------------- malformed forms


def broken_forms(jpeg: bytes) -> list[tuple[bytes, str]]:
    """Forms with something wrong: cut anywhere, bytes changed, boundaries and headers missing, wrong, doubled, huge."""
    body, kind = form(("a.jpg", jpeg), ("b.jpg", jpeg))
    content_type = kind["Content-Type"]
    rng = np.random.default_rng(0)
    found = [(body[: int(cut)], content_type) for cut in rng.integers(1, len(body) - 14, 40)]
    head = body.index(b"\r\n\r\n")
    for place in range(0, head, 3):
        found += [(body[:place] + bad + body[place + 1 :], content_type) for bad in (b"\0", b"\r")]
    types = [
        "",
        ";",
        "; boundary=",
        "; boundary=" + "x" * 71,
        '; boundary="',
        "; boundary=other",
        "; boundary*=utf-8''a",
    ]
    found += [(body, "multipart/form-data" + rest) for rest in types]
    disposition = b'Content-Disposition: form-data; name="file"; filename="a.jpg"'
    for header in (b"", b"X" * 5000, b"A: b\r\n" * 50, b": ", disposition * 200, b"Content-Disposition", b"\xff\xfe"):
        found.append((body.replace(disposition, header), content_type))
    found += [
        (b"--alexnet" * count + rest, content_type) for count in (1, 2, 9) for rest in (b"", b"--", b"\r\n", b"--\r\n")
    ]
    found += [(b"\r\n" * 5000, content_type), (b"--alexnet--", content_type), (b"--alexnet--\r\n", content_type)]
    return found


def test_malformed_forms(server, jpeg):
    attempts = broken_forms(jpeg)
    assert len(attempts) >= 100
    for body, kind in attempts:
        answer = server.predict(body, headers={"Content-Type": kind})
        assert answer.status in ALLOWED | {200}, (body[:80], kind, answer)
        assert answer.status == 200 or answer.problem
    refused = [server.predict(body, headers={"Content-Type": kind}).status for body, kind in attempts[:40]]
    assert set(refused) == {400}  # a form that is cut is never half answered
    assert server.predict(jpeg).status == 200


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text("abc é☃.<>&'", max_size=8), st.binary(max_size=60)), min_size=1, max_size=6),
    st.text("abcdefXYZ0123456789'()+_,-./:=?", min_size=1, max_size=70).filter(lambda text: "=" not in text),
)
def test_forms_hold_what_was_put_in(files, boundary):
    marker = b"\r\n--" + boundary.encode()
    files = [(name, data) for name, data in files if marker not in b"\r\n" + data + b"\r\n"]
    if files:
        body, kind = form(*files, boundary=f'"{boundary}"')
        body = body.replace(f'--"{boundary}"'.encode(), f"--{boundary}".encode())
        found = pictures(body, kind["Content-Type"], Limits())
        assert [(upload.name, upload.data) for upload in found] == files


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["multipart/form-data; boundary=b", "multipart/form-data", "a;b", ""]))
def test_any_bytes_give_uploads_or_a_problem(body, kind):
    pieces = body.replace(b"\x01", b"\r\n--b").replace(b"\x02", b'Content-Disposition: form-data; filename="f"\r\n\r\n')
    try:
        assert all(isinstance(upload.data, bytes) for upload in pictures(pieces, kind, Limits()))
    except Problem as problem:
        assert problem.status in ALLOWED


# -------------------------------------------------------------------------------------------------------------- bombs


def png_of(width: int, height: int, pixels: bytes = b"", text: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    words = chunk(b"zTXt", b"a\0\0" + zlib.compress(text, 9)) if text else b""
    return b"\x89PNG\r\n\x1a\n" + head + words + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")


def animation(frames: int) -> bytes:
    data = io.BytesIO()
    pictures = [Image.new("P", (1, 1), number % 2) for number in range(frames)]
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], optimize=False, disposal=2)
    return data.getvalue()


def bombs() -> dict[str, bytes]:
    jpeg = bytearray(encoded("JPEG"))
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = struct.pack(">HH", 65_000, 65_000)
    return {
        "png that claims the most pixels": png_of(2**31 - 1, 2**31 - 1),
        "png a pixel beyond the limit": png_of(64_000_001, 1),
        "png within the limit that is not there": png_of(8_000, 8_000),
        "jpeg that claims 65,000 x 65,000": bytes(jpeg),
        "png of 40 kB that is 40 MB": png_of(3_650, 3_650, bytes((1 + 3 * 3_650) * 3_650)),
        "bmp that claims much": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "text of 30 kB that is 30 MB": png_of(4, 4, bytes(13 * 4), bytes(30 * 2**20)),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run showpage\n",
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "zip": b"PK\x03\x04" + bytes(100),
    }


def test_picture_bombs(server, jpeg):
    resident = sum(memory(pid) for pid in server.children())
    for name, bomb in bombs().items():
        answer = server.predict(bomb)
        assert answer.status in {200, 415, 422}, (name, answer.status, answer.body)
        assert server.predict(jpeg).status == 200
    assert server.predict(animation(1_500)).status == 422
    grown = sum(memory(pid) for pid in server.children()) - resident
    assert grown < 300 * 2**20  # bytes that stay; the largest that is decoded has 40 MB


def memory(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_compressed_bodies_are_refused(server, jpeg):
    answer = server.predict(zlib.compress(jpeg), headers={"Content-Encoding": "deflate"})
    assert answer.status == 415 and answer.problem


def test_what_is_not_http(server):
    for data in (
        b"\0" * 100,
        b"\x16\x03\x01" + bytes(200),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        assert server.raw(data).startswith(b"HTTP/1.1 400 ")
    both = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert server.raw(both).startswith(b"HTTP/1.1 400 ")
    for length in (b"-1", b"x", b"1, 2", b"99999999999999999999999999"):
        head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n"
        assert server.raw(head).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
    upgrade = b"POST /v1/predict HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx"
    assert server.raw(upgrade).startswith(b"HTTP/1.1 400 ")
