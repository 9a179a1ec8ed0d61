"""Refusals in the form of RFC 9457: application/problem+json with type, title, status and detail."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1


class Problem(Exception):
    """Ends a request: a status of HTTP and, in words, what is wrong and what to do."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    def body(self) -> bytes:
        return json.dumps(document(self.status, self.detail)).encode()


def busy(detail: str) -> Problem:
    """503, which asks to come again."""
    return Problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})


def document(status: int, detail: str) -> dict[str, Any]:
    """The members of a problem as JSON values."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
