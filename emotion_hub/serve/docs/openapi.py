"""What the OpenAPI document says of requests and refusals, made from the objects that read them."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

from PIL import Image

from emotion_hub.interop.inference_api import FUNCTIONS
from emotion_hub.serve.request_log import REQUEST_ID
from emotion_hub.serve.requests import RAW_TYPES
from emotion_hub.serve.schemas import ErrorAnswer

__all__ = ["inference_body", "photo_body", "refusals"]

_HEADERS = {
    REQUEST_ID: {
        "description": "The request's id: yours where you sent one, else made here.",
        "schema": {"type": "string"},
    }
}
_RETRY = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}
_WHY = {
    400: "The body cannot be read, or is no picture.",
    401: "The API key is missing or wrong.",
    404: "There is no such model.",
    405: "Another method.",
    408: "The body did not arrive in time.",
    413: "The body or the picture is too large.",
    415: "The body's content type is not read here.",
    422: "A field is missing, unknown or wrong.",
    500: "Something broke; the log has it under the request's id.",
    501: "A package that this method needs is not installed.",
    503: "Too many requests wait, the models are still loading, or the server is stopping.",
    504: "The answer took too long.",
}


def refusals(*statuses: int, locked: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: the statuses, 401 where a key is asked for, and 500."""
    found: dict[int | str, dict[str, Any]] = {200: {"description": "The result.", "headers": _HEADERS}}
    for status in sorted({*statuses, *([401] if locked else []), 500}):
        headers = _HEADERS | (_RETRY if status == 503 else {})
        found[status] = {"model": ErrorAnswer, "description": _WHY[status], "headers": headers}
    return found


def photo_body(kind: type, example: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that takes a photo: a form, JSON or the picture itself, its options described from the fields of `kind`."""
    fields = [field for field in dataclasses.fields(kind) if field.metadata]
    options = {field.name: dict(field.metadata["schema"]) for field in fields}
    words = {
        "type": "string",
        "contentEncoding": "base64",
        "description": "The picture's file in base64, or a data URL.",
        "minLength": 4,
    }
    in_json = {
        "image": words,
        **{field.name: _in_json(options[field.name], field.metadata["in_json"]) for field in fields},
    }
    in_form = {"image": {"type": "string", "format": "binary", "description": "The picture's file."}, **options}
    as_object = {"type": "object", "required": ["image"], "additionalProperties": False}
    content: dict[str, Any] = {
        "multipart/form-data": {
            "schema": {**as_object, "properties": in_form},
            "encoding": {"image": {"contentType": ", ".join(RAW_TYPES)}},
        },
        "application/json": {
            "schema": {**as_object, "properties": in_json},
            "example": {"image": _picture(), **example},
        },
    }
    content |= {name: {"schema": {"type": "string", "format": "binary"}} for name in RAW_TYPES}
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": _bare(schema),
                "description": schema["description"],
            }
            for name, schema in options.items()
        ],
    }


def inference_body() -> dict[str, Any]:
    """`openapi_extra` of a route in the shape of the Hub's Inference API."""
    parameters = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "top_k": {"type": ["integer", "null"], "minimum": 1},
            "function_to_apply": {"enum": [*FUNCTIONS, None]},
            "whole": {"type": ["boolean", "null"]},
        },
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": {"type": "string", "contentEncoding": "base64"}, "parameters": parameters},
    }
    example = {"inputs": _picture(), "parameters": {"top_k": 3}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema, "example": example},
                **{name: binary for name in RAW_TYPES},
            },
        }
    }


def _in_json(schema: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any]:
    """JSON clients send null for what they leave out, and lists where a form has commas."""
    plain = {key: value for key, value in schema.items() if key not in ("description", "default")}
    kinds = [plain, *([other] if other else []), {"type": "null"}]
    return {"anyOf": kinds, **{key: value for key, value in schema.items() if key in ("description", "default")}}


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "description"}


def _picture() -> str:
    """A gray 48-pixel square, which is taken as a ready-made face: the smallest example that every route answers."""
    buffer = io.BytesIO()
    Image.new("L", (48, 48), 128).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
