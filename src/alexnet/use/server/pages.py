"""The page, served from the package itself."""

from __future__ import annotations

from importlib import resources
from pathlib import PurePath

from fastapi import FastAPI
from fastapi.responses import Response

from alexnet.use.server.problems import Problem

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}


def add(app: FastAPI) -> None:
    """Routes to the page and its files: only those that are there when the server starts can be asked for."""
    folder = resources.files("alexnet.use").joinpath("page")
    files = {
        file.name: (file.read_bytes(), MEDIA_TYPES[PurePath(file.name).suffix])
        for file in (folder.iterdir() if folder.is_dir() else ())
        if PurePath(file.name).suffix in MEDIA_TYPES
    }

    def found(name: str) -> Response:
        if name not in files:
            raise Problem(404, "there is nothing here")
        content, media_type = files[name]
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return found("index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return found("docs.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        return found(name)
