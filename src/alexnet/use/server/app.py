"""The routes: what a program or the page can ask."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

import alexnet
from alexnet.use.server import metrics, pages, schemas
from alexnet.use.server.problems import MEDIA_TYPE, Problem, busy
from alexnet.use.server.service import Service
from alexnet.use.server.uploads import Upload, one, pictures, received

DRAWN: dict[str, Any] = {"response_class": Response}
Method = Literal["grad-cam", "occlusion", "saliency", "activations", "input"]
Output = Literal["overlay", "map"]


class Views(IntEnum):
    """The centre view, or the paper's ten averaged."""

    ONE = 1
    TEN = 10


async def known_questions(request: Request) -> None:
    """A misspelt question is not passed over in silence."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    if unknown := sorted(request.query_params.keys() - known):
        raise Problem(
            400, f"{', '.join(unknown)}: not asked here; there is {', '.join(sorted(known)) or 'nothing'} to ask"
        )


def make_app(service: Service) -> FastAPI:
    """The application of one server."""
    app = FastAPI(
        title="alexnet",
        version=alexnet.__version__,
        description="What is on pictures, and why a network thinks so.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(known_questions)],
    )
    _problems(app)
    _pictures(app, service)
    _insight(app, service)
    _alike(app, service)
    _about(app, service)
    pages.add(app)
    app.openapi = lambda: schemas.described(FastAPI.openapi(app), service)  # type: ignore[method-assign]
    return app


def _problems(app: FastAPI) -> None:
    """Whatever goes wrong is answered in one form."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return Response(error.body(), error.status, error.headers, MEDIA_TYPE)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = {404: "there is nothing here", 405: "not with this method"}.get(error.status_code, error.detail)
        return await problem(request, Problem(error.status_code, detail, dict(error.headers or {})))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = "; ".join(f"{entry['loc'][-1]}: {entry['msg']}" for entry in error.errors())
        return await problem(request, Problem(400, found))

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return await problem(request, Problem(500, "a fault of the server; its log says more"))


def _about(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["server"], responses=schemas.SAID)
    async def healthz() -> JSONResponse:
        """Whether the server runs."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", tags=["server"], responses=schemas.SAID | schemas.BUSY)
    async def readyz() -> JSONResponse:
        """Whether it takes pictures: a model process is ready, and it was not told to end."""
        if service.draining:
            raise busy("the server is ending")
        if not service.workers.ready():
            raise busy("the model is being loaded")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", tags=["server"], response_class=Response, responses=schemas.METRICS)
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(service.figures(), media_type=metrics.MEDIA_TYPE)

    @app.get("/v1/model", tags=["model"], responses=schemas.MODEL | schemas.BUSY)
    async def model() -> JSONResponse:
        """What the model is: its classes, layers, input rule and scores, and what this server takes."""
        about = service.workers.about
        if about is None:
            raise busy("the model is being loaded")
        limits = service.limits
        taken = {"body_bytes": limits.body_bytes, "files": limits.files, "pixels": limits.pixels}
        return JSONResponse({**about, "index": service.index is not None, "limits": taken})


def _pictures(app: FastAPI, service: Service) -> None:
    @app.post("/v1/predict", tags=["pictures"], responses=schemas.PREDICTIONS, openapi_extra=schemas.PICTURES)
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, le=1000, description="How many classes to name.")] = 5,
        views: Annotated[Views, Query(description="Views of each picture.")] = Views.ONE,
    ) -> JSONResponse:
        """What is on pictures: one as the body, or several files in a form.

        Entries come in the order sent. A picture that is refused never loses the others; where all are refused, the
        status is that of the first.
        """
        async with received(request, service.limits, service.budget) as body:
            uploads = pictures(body, request.headers.get("content-type", ""), service.limits)
            asked = {"work": "predict", "top": top, "views": int(views)}
            answered = await service.ask(asked, [upload.data for upload in uploads])
        return _predictions(service, uploads, [answer for answer, _ in answered])


def _insight(app: FastAPI, service: Service) -> None:
    drawn: dict[str, bytes] = {}

    @app.post("/v1/explain", tags=["pictures"], responses=schemas.DRAWN, openapi_extra=schemas.ONE, **DRAWN)
    async def explain(
        request: Request,
        method: Annotated[
            Method | None,
            Query(description="Unless given, grad-cam; occlusion for an ONNX file, which has no gradients."),
        ] = None,
        layer: Annotated[str | None, Query(description="Of Grad-CAM and activations.")] = None,
        target: Annotated[int | None, Query(ge=0, description="The class; the one predicted, unless given.")] = None,
        output: Annotated[Output, Query(description="Heat over the picture, or alone.")] = "overlay",
    ) -> Response:
        """Where the evidence for a class lies in a picture, or what a layer makes of it, as a PNG."""
        asked = {"work": "explain", "method": method, "layer": layer, "target": target, "output": output}
        async with received(request, service.limits, service.budget) as body:
            upload = one(pictures(body, request.headers.get("content-type", ""), service.limits))
            ((answer, image),) = await service.ask(asked, [upload.data])
        return _drawn(answer, image)

    @app.get("/v1/kernels", tags=["model"], responses=schemas.KERNELS, **DRAWN)
    async def kernels() -> Response:
        """The kernels of the first convolution, as a PNG."""
        if "kernels" not in drawn:
            ((answer, image),) = await service.ask({"work": "kernels"}, [b""])
            drawn["kernels"] = _drawn(answer, image).body  # type: ignore[assignment]
        return Response(drawn["kernels"], media_type="image/png")


def _alike(app: FastAPI, service: Service) -> None:
    @app.post("/v1/features", tags=["pictures"], responses=schemas.FEATURES, openapi_extra=schemas.PICTURES)
    async def features(
        request: Request,
        layer: Annotated[
            str | None, Query(description="The last hidden one, `fc7` in an AlexNet, unless given.")
        ] = None,
    ) -> Response:
        """What a layer makes of pictures, as numbers, in the order sent."""
        async with received(request, service.limits, service.budget) as body:
            uploads = pictures(body, request.headers.get("content-type", ""), service.limits)
            asked = {"work": "features", "layer": layer}
            answered = await service.ask(asked, [upload.data for upload in uploads])
        _some(answer for answer, _ in answered)
        written = [
            json.dumps({"name": upload.name, **answer}).encode()[:-1] + (b', "values": [%b]}' % text if text else b"}")
            for upload, (answer, text) in zip(uploads, answered, strict=True)
        ]
        return Response(b'{"features": [%b]}' % b", ".join(written), media_type="application/json")

    @app.post("/v1/neighbours", tags=["pictures"], responses=schemas.NEIGHBOURS, openapi_extra=schemas.ONE)
    async def neighbours(
        request: Request, count: Annotated[int, Query(ge=1, le=100, description="How many.")] = 8
    ) -> JSONResponse:
        """The nearest pictures of the server's index, nearest first."""
        async with received(request, service.limits, service.budget) as body:
            upload = one(pictures(body, request.headers.get("content-type", ""), service.limits))
            ((answer, _),) = await service.ask({"work": "neighbours", "count": count}, [upload.data])
        _some([answer])
        return JSONResponse(answer)

    @app.get("/v1/neighbours/{row}", tags=["pictures"], responses=schemas.THUMBNAIL, **DRAWN)
    async def thumbnail(row: Annotated[int, Path(ge=0, le=2**53)]) -> Response:
        """A picture of the index, small, as a JPEG."""
        ((answer, image),) = await service.ask({"work": "thumbnail", "row": row}, [b""])
        _some([answer])
        return Response(image, media_type="image/jpeg")


def _some(answers: Iterable[dict[str, Any]]) -> None:
    """Raise the first refusal as a Problem where there is nothing but refusals."""
    found = list(answers)
    if all("status" in answer for answer in found):
        raise Problem(found[0]["status"], found[0]["detail"])


def _drawn(answer: dict[str, Any], image: bytes) -> Response:
    _some([answer])
    return Response(image, media_type="image/png")


def _predictions(service: Service, uploads: list[Upload], answers: list[dict[str, Any]]) -> JSONResponse:
    for answer in answers:
        service.metrics.pictures.labels(answer.get("status", 200)).inc()
    _some(answers)
    entries = [{"name": upload.name, **answer} for upload, answer in zip(uploads, answers, strict=True)]
    return JSONResponse({"predictions": entries})
