"""What the OpenAPI document says about requests and answers."""

from __future__ import annotations

from typing import Any

from alexnet.use.server.limits import Limits
from alexnet.use.server.problems import MEDIA_TYPE
from alexnet.use.server.service import Service

Responses = dict[int | str, dict[str, Any]]

TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
FILE = {"type": "string", "format": "binary"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


PROBLEM = _object(type=TEXT, title=TEXT, status=WHOLE, detail=TEXT)
ENTRY = _object(label=TEXT, index=WHOLE, probability={"type": "number", "minimum": 0, "maximum": 1})
PREDICTION = _object(name=TEXT, label=TEXT, probability=NUMBER, top=_list(ENTRY))
REFUSAL = _object(name=TEXT, type=TEXT, title=TEXT, status=WHOLE, detail=TEXT)
LAYER = _object(name=TEXT, type=TEXT, output=_list(WHOLE))
INPUT = _object(size=WHOLE, stored=WHOLE, resize=TEXT, order=TEXT, decode=TEXT)
ABOUT = _object(
    name=TEXT,
    variant=TEXT,
    title=TEXT,
    parameters=WHOLE,
    classes=_list(TEXT),
    input=INPUT,
    scores={"type": "object"},
    trained_on={},
    layers=_list(LAYER),
    methods=_list(TEXT),
    index={"type": "boolean"},
    limits=_object(body_bytes=WHOLE, files=WHOLE, pixels=WHOLE),
)


def _json(schema: dict[str, Any], description: str = "The answer.") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str, **headers: str) -> dict[str, Any]:
    stated = {name.replace("_", "-"): {"schema": {"type": kind}, "required": True} for name, kind in headers.items()}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": PROBLEM}}, "headers": stated}


SAID: Responses = {200: _json(_object(status=TEXT))}
BUSY: Responses = {503: _problem("Busy; come again.", Retry_After="integer")}
METRICS: Responses = {200: {"description": "The figures.", "content": {"text/plain": {"schema": TEXT}}}}
MODEL: Responses = {200: _json(ABOUT)}
REFUSALS: Responses = {
    400: _problem("The request is malformed."),
    408: _problem("The request came too slowly."),
    413: _problem("The request is too large."),
    415: _problem("No picture of a known format."),
    422: _problem("A picture that cannot be decoded."),
    431: _problem("The request's head is too long."),
}
PREDICTIONS: Responses = {
    200: _json(_object(predictions=_list({"anyOf": [PREDICTION, REFUSAL]}))),
    **REFUSALS,
    **BUSY,
}

_PNG: Responses = {200: {"description": "The drawing.", "content": {"image/png": {"schema": FILE}}}}
MISSING: Responses = {404: _problem("There is no such layer or class.")}
NO_INDEX: Responses = {404: _problem("There is no such row, or no index.")}
DRAWN: Responses = {**_PNG, **MISSING, **REFUSALS, **BUSY}
KERNELS: Responses = {**_PNG, **MISSING, **BUSY}
FEATURES: Responses = {
    200: _json(
        _object(
            features=_list(
                {"anyOf": [_object(name=TEXT, layer=TEXT, shape=_list(WHOLE), values=_list(NUMBER)), REFUSAL]}
            )
        )
    ),
    **MISSING,
    **REFUSALS,
    **BUSY,
}
NEIGHBOUR = _object(row=WHOLE, name=TEXT, label={"type": ["string", "null"]}, distance=NUMBER)
NEIGHBOURS: Responses = {200: _json(_object(neighbours=_list(NEIGHBOUR))), **NO_INDEX, **REFUSALS, **BUSY}
THUMBNAIL: Responses = {
    200: {"description": "The picture.", "content": {"image/jpeg": {"schema": FILE}}},
    400: _problem("The row is no number."),
    **NO_INDEX,
    **BUSY,
}


def _sent(most: int) -> dict[str, Any]:
    """A body that is a picture, or a form with up to `most` files."""
    form = _object(file={**_list(FILE), "minItems": 1, "maxItems": most})
    return {
        "requestBody": {
            "required": True,
            "description": "A picture as it is, under any media type, or a form with files; content tells the format.",
            "content": {
                "image/*": {"schema": FILE},
                "application/octet-stream": {"schema": FILE},
                "multipart/form-data": {"schema": form},
            },
        }
    }


PICTURES, ONE = _sent(Limits.files), _sent(1)
TOKEN = {"type": "http", "scheme": "bearer"}


def described(document: dict[str, Any], service: Service) -> dict[str, Any]:
    """FastAPI's document with what only this server knows: how many files it takes, what its model allows, whether it
    wants a token."""
    for path in ("/v1/predict", "/v1/features"):
        form = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        form["properties"]["file"]["maxItems"] = service.limits.files
    if service.workers.about is not None:
        for path in ("/v1/explain", "/v1/features"):
            _narrowed(document["paths"][path]["post"]["parameters"], service.workers.about)
    if service.token is not None:
        document.setdefault("components", {})["securitySchemes"] = {"token": TOKEN}
        for path, operations in document["paths"].items():
            if path.startswith("/v1/") or path == "/metrics":
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
                    operation["responses"]["401"] = _problem("The token is missing or wrong.")
    return document


def _narrowed(parameters: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Layers, classes and methods are those of the model."""
    allowed = {
        "method": {"enum": about["methods"]},
        "layer": {"enum": [layer["name"] for layer in about["layers"]]},
        "target": {"minimum": 0, "maximum": len(about["classes"]) - 1},
    }
    for parameter in parameters:
        schema = parameter["schema"]
        (schema["anyOf"][0] if "anyOf" in schema else schema).update(allowed.get(parameter["name"], {}))
