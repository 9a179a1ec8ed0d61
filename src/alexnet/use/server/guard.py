"""What holds for every request before a route sees it: headers for browsers, the token, the line, the figures."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Any

from alexnet.use.server.problems import MEDIA_TYPE, Problem, busy
from alexnet.use.server.service import Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
]
QUICK = {"/v1/predict"}
SLOW = {"/v1/explain", "/v1/features", "/v1/neighbours"}
COUNTED = QUICK | SLOW | {"/", "/v1/model", "/v1/kernels", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}


def guarded(app: ASGIApp, service: Service) -> ASGIApp:
    """The application behind what all requests have to pass."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        began, path, status = time.perf_counter(), scope["path"], 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        problem = _refused(scope, service)
        if problem:
            await respond(problem, answer)
        else:
            await app(scope, receive, answer)
        known = path if path in COUNTED else "other"
        service.metrics.requests.labels(known, status).inc()
        service.metrics.seconds.labels(known).observe(time.perf_counter() - began)

    return guard


def _refused(scope: Scope, service: Service) -> Problem | None:
    """Why a request is not looked at further: no token, or a line that is full before the picture is received."""
    path = scope["path"]
    if service.token is not None and (path.startswith("/v1/") or path == "/metrics"):
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + service.token.encode()):
            return Problem(401, "this server wants its token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
    line = service.line
    full = (path in QUICK and line.full()) or (path in SLOW and line.full(slow=True))
    return busy("too many pictures are waiting") if full and scope["method"] == "POST" else None


async def respond(problem: Problem, send: Any) -> None:
    """Send a problem, without more."""
    body = problem.body()
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
