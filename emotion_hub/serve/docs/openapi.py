"""OpenAPI descriptions of request bodies, query options and error responses.

Those of photo requests are made from the pydantic models that validate the requests.
"""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

from emotion_hub.interop.inference_api import FUNCTIONS
from emotion_hub.serve.request_log import REQUEST_ID
from emotion_hub.serve.requests import IMAGE_TYPES, PhotoRequest
from emotion_hub.serve.schemas import ErrorResponse

__all__ = ["inference_body", "photo_body", "route_responses"]

_HEADERS = {
    REQUEST_ID: {
        "description": "The request's id: the one that you sent, or one made by the server.",
        "schema": {"type": "string"},
    }
}
_RETRY_HEADER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}
_DESCRIPTIONS = {
    400: "The body cannot be read, or is not an image.",
    401: "The API key is missing or wrong.",
    404: "There is no such model.",
    405: "The path does not take this method.",
    408: "The body did not arrive in time.",
    413: "The body or the image is too large.",
    415: "The content type of the body is not supported.",
    422: "A field is missing, unknown or wrong.",
    500: "Internal error; the log has the details under the request's id.",
    501: "A package that this method needs is not installed.",
    503: "Too many requests are in flight, the models are still loading, or the server is stopping.",
    504: "The request took too long.",
}

#: Keys that describe an option of any type; the others describe its type.
_ABOUT = ("description", "default")

_FILE = {"type": "string", "format": "binary"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}


def route_responses(*statuses: int, requires_key: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: 200, the error statuses, 500, and 401 if the route requires an API key."""
    responses: dict[int | str, dict[str, Any]] = {200: {"description": "The result.", "headers": _HEADERS}}
    for status in sorted({*statuses, *([401] if requires_key else []), 500}):
        headers = _HEADERS | (_RETRY_HEADER if status == 503 else {})
        responses[status] = {"model": ErrorResponse, "description": _DESCRIPTIONS[status], "headers": headers}
    return responses


def photo_body(request: type[PhotoRequest], example: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that takes a photo in a form, in JSON or as the image file itself.

    `example` holds the options of the JSON example. The options are also query parameters.
    """
    schema = request.model_json_schema()
    options = {name: option for name, option in schema["properties"].items() if name != "image"}
    form_options = {name: {**_types(option)[0], **_about(option)} for name, option in options.items()}
    json_options = {
        name: {"anyOf": [*_types(option), {"type": "null"}], **_about(option)} for name, option in options.items()
    }
    form_image = {**_FILE, "description": schema["properties"]["image"]["description"]}
    json_image = {**_BASE64, "minLength": 4, "description": "The image file in base64, or a data URL."}
    request_object = {key: schema[key] for key in ("type", "required", "additionalProperties")}
    content: dict[str, Any] = {
        "multipart/form-data": {
            "schema": {**request_object, "properties": {"image": form_image, **form_options}},
            "encoding": {"image": {"contentType": ", ".join(IMAGE_TYPES)}},
        },
        "application/json": {
            "schema": {**request_object, "properties": {"image": json_image, **json_options}},
            "example": {"image": _example_image(), **example},
        },
    }
    content |= {media_type: {"schema": _FILE} for media_type in IMAGE_TYPES}
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": option["description"],
            "schema": {key: value for key, value in form_options[name].items() if key != "description"},
        }
        for name, option in options.items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


def inference_body() -> dict[str, Any]:
    """`openapi_extra` of a route in the shape of the Hub's Inference API.

    This schema is written by hand: `interop.inference_api` validates these requests without pydantic, because an
    Inference Endpoint's handler runs without the packages of the server.
    """
    parameters = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "top_k": {"type": ["integer", "null"], "minimum": 1},
            "function_to_apply": {"enum": [*FUNCTIONS, None]},
            "whole": {"type": ["boolean", "null"]},
            "prediction_set": {"type": ["boolean", "null"]},
            "warnings": {"type": ["boolean", "null"]},
        },
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": _BASE64, "parameters": parameters},
    }
    example = {"inputs": _example_image(), "parameters": {"top_k": 3}}
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    content |= {media_type: {"schema": _FILE} for media_type in IMAGE_TYPES}
    return {"requestBody": {"required": True, "content": content}}


def _types(option: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of an option's types without null, the type in a form first.

    In JSON every option may be null. A form or a query has no null, and has commas in place of a list.
    """
    plain = {key: value for key, value in option.items() if key not in (*_ABOUT, "title", "anyOf")}
    alternatives = [kind for part in option.get("anyOf", [plain]) for kind in part.get("anyOf", [part])]
    return [kind for kind in alternatives if kind != {"type": "null"}]


def _about(option: dict[str, Any]) -> dict[str, Any]:
    return {key: option[key] for key in _ABOUT if option.get(key) is not None}


def _example_image() -> str:
    """A gray 48-pixel square in base64: the smallest image that every route takes, since it needs no face detection."""
    buffer = io.BytesIO()
    Image.new("L", (48, 48), 128).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
