"""S5 and S7: who may ask, and what a browser is told to keep to."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from clients import CLASSES, Running, Start, form

import alexnet.use

PATHS = ("/", "/docs", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/model", "/nothing")
STRICT = ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_tells_browsers_what_to_keep_to(server, path):
    headers = server.ask("GET", path, headers={"Origin": "https://example.org"}).headers
    policy = headers["content-security-policy"]
    assert all(part in policy for part in STRICT) and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("access-control-")]
    assert "server" not in headers


def test_no_other_site_may_ask(server, jpeg):
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    answer = server.ask("OPTIONS", "/v1/predict", headers=headers)
    assert answer.status == 405 and not [name for name in answer.headers if name.startswith("access-control-")]


def test_names_come_back_as_they_were_and_as_json_only(server, jpeg):
    names = ["<script>alert(1)</script>.jpg", "é☃.jpg", "../../etc/passwd", "a&b'c.jpg"]
    body, kind = form(*[(name, jpeg) for name in names])
    answer = server.predict(body, headers=kind)
    assert answer.headers["content-type"] == "application/json"
    assert [entry["name"] for entry in answer.json["predictions"]] == names
    assert {entry["label"] for entry in answer.json["predictions"]} <= set(CLASSES)


def test_the_description_loads_nothing_from_elsewhere(server):
    page = server.ask("GET", "/docs")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    own = set(re.findall(r"""(?:src|href)=["']([^"'#]+)""", page.body.decode()))
    assert own and all(target.startswith("/") and not target.startswith("//") for target in own)
    for target in own:
        assert server.ask("GET", target).status in (200, 404)
    folder = Path(alexnet.use.__file__).parent / "page"
    for file in folder.iterdir():
        if file.suffix in (".html", ".js", ".css"):
            found = re.findall(r"https?://[\w.-]+", file.read_text("utf-8"))
            assert set(found) <= {"http://www.w3.org"}, (file.name, found)  # names of XML, which nobody fetches


TRAVERSALS = (
    "/page/../server/app.py",
    "/page/..%2fserver%2fapp.py",
    "/page/%2e%2e/%2e%2e/errors.py",
    "/page//etc/passwd",
    "/page/....//app.py",
    "/page/%00",
    "//etc/passwd",
    "/page/",
    "/page",
)


@pytest.mark.parametrize("path", TRAVERSALS)
def test_only_the_pages_own_files_can_be_asked_for(server, path):
    answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"404", b"400") and b"import" not in answer and b"root:" not in answer


def test_no_endpoint_takes_weights_paths_code_or_addresses(server):
    """What there is to ask, listed: nothing but numbers and names of layers, methods and outputs."""
    document = server.ask("GET", "/openapi.json").json
    asked = {
        (path, parameter["name"])
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
    }
    assert {name for _, name in asked} <= {"top", "views", "method", "layer", "target", "output", "count", "row"}
    with_body = {path for path, operations in document["paths"].items() if "post" in operations}
    assert with_body <= {"/v1/predict", "/v1/explain", "/v1/features", "/v1/neighbours"}


def test_a_picture_that_names_files_and_addresses_is_none(server):
    for text in (b"http://127.0.0.1:9/a.jpg", b"file:///etc/passwd", b"/etc/passwd", b"@/etc/passwd"):
        assert server.predict(text).status == 415


def test_listens_at_this_machine_only(server):
    """Of the addresses of this machine, only 127.0.0.1 answers."""
    inode = {line.split()[9]: line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    listening = [address for address in inode.values() if int(address.split(":")[1], 16) == server.port]
    assert listening and all(address.startswith("0100007F:") for address in listening)
    assert not [
        line
        for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]
        if int(line.split()[1].split(":")[1], 16) == server.port and line.split()[3] == "0A"
    ]


def test_the_token(start: Start, tmp_path, jpeg):
    (tmp_path / "token").write_text("a-secret.1\n")
    server = start("--workers", "1", "--token-file", str(tmp_path / "token"))
    good = {"Authorization": "Bearer a-secret.1"}
    wrong = [
        "Bearer a-secret.2",
        "Bearer a-secret.1x",
        "Bearer a-secret.",
        "Bearer ",
        "a-secret.1",
        "Basic a-secret.1",
        "é",
    ]
    for path in ("/v1/model", "/metrics"):
        assert server.ask("GET", path, headers=good).status == 200
        refused = server.ask("GET", path)
        assert refused.status == 401 and refused.headers["www-authenticate"] == "Bearer" and refused.problem
    assert server.predict(jpeg, headers=good).status == 200
    assert [server.predict(jpeg, headers={"Authorization": text}).status for text in wrong] == [401] * len(wrong)
    assert server.ask("GET", "/healthz").status == server.ask("GET", "/readyz").status == 200
    document = server.ask("GET", "/openapi.json").json
    assert document["paths"]["/v1/predict"]["post"]["security"] == [{"token": []}]


def test_wrong_ways_and_methods_are_problems(server: Running):
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/predict/", 404),
        ("GET", "/v1/predict", 405),
        ("DELETE", "/v1/model", 405),
        ("PUT", "/", 405),
    ):
        answer = server.ask(method, path)
        assert (answer.status, answer.problem) == (status, True), (method, path)
        assert status != 405 or answer.headers["allow"]


def test_the_address_can_be_another(start: Start):
    server = start("--workers", "1", "--host", "127.0.0.2")
    with socket.create_connection(("127.0.0.2", server.port), 5):
        pass
    with pytest.raises(ConnectionRefusedError):
        server.connect()
