"""What may be asked, field by field: the same objects read a request and describe it in the OpenAPI document."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.exceptions import HTTPException

from emotion_hub.errors import InputError, shown
from emotion_hub.explainers import METHODS, METRICS
from emotion_hub.interop.json_bodies import decode_base64, load_json
from emotion_hub.labels import LABEL_SETS, LabelSet, label_set
from emotion_hub.serve.forms import read_form

__all__ = ["MAX_SAMPLES", "RAW_TYPES", "CompareRequest", "ExplainRequest", "PredictRequest", "read"]

#: LIME's samples a request may ask for.
MAX_SAMPLES = 5000


#: Content types of a body that is the picture itself.
RAW_TYPES = ("application/octet-stream", "image/*")

R = TypeVar("R")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 200:
        raise InputError(f"{name}={shown(value)}: a text of 1 to 200 characters")
    return value


def _flag(name: str, value: Any) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in words:
        raise InputError(f"{name}={shown(value)}: true or false")
    return words[value.lower()]


def _count(least: int, most: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        number = (
            int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value
        )
        if isinstance(number, float) and number.is_integer():  # JSON knows one kind of number: 3.0 is 3
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise InputError(f"{name}={shown(value)}: a whole number from {least} to {most}")
        return number

    return read


def _choice(options: Sequence[str]) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if value not in tuple(options):
            raise InputError(f"{name}={shown(value)}; choose from {', '.join(options)}")
        return value

    return read


def _labels(name: str, value: Any) -> LabelSet:
    """A known set's name, or expressions, which the answer then uses as they are spelled."""
    if not isinstance(value, str | list):
        raise InputError(
            f"{name}={shown(value)}: one of {', '.join(LABEL_SETS)}, or expressions separated by commas (in JSON also a list)"
        )
    return label_set(value)


def _option(
    read: Callable[[str, Any], Any],
    about: str,
    schema: Mapping[str, Any],
    default: Any = None,
    in_json: Mapping[str, Any] | None = None,
) -> Any:
    """A field of a request: how its value is read, and how the OpenAPI document describes it; `in_json` is another type it may have there."""
    described = {**schema, "description": about} | ({} if default is None else {"default": default})
    return dataclasses.field(default=default, metadata={"read": read, "schema": described, "in_json": in_json})


#: What `labels` may be, in the OpenAPI document.
_NAMES = f"""Answer over these expressions: {" or ".join(LABEL_SETS)}, or names separated by commas such as `angry,fearful,happy,neutral,sad,surprised`. \
Probabilities of expressions left out are dropped and the rest adds up to 1 again."""


_NAMED = {"type": "string", "minLength": 1, "maxLength": 200}
_LISTED = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}


def _model(about: str) -> Any:
    return _option(_text, about, {"type": "string", "minLength": 1, "maxLength": 200})


def _whole() -> Any:
    return _option(_flag, "Take the whole picture as the face; nothing is detected.", {"type": "boolean"}, False)


@dataclass(frozen=True)
class PredictRequest:
    """Every face's expression by one model."""

    image: bytes = dataclasses.field(repr=False)
    model: str | None = _model("Which model answers; see GET /models.")
    whole: bool = _whole()
    labels: LabelSet | None = _option(_labels, _NAMES, _NAMED, in_json=_LISTED)  # noqa: RUF009  a field, not a value


@dataclass(frozen=True)
class CompareRequest:
    """Two models' answers for the same faces."""

    image: bytes = dataclasses.field(repr=False)
    native48: str | None = _model("The model on the native 48-pixel face; native48 unless given.")
    upscale224: str | None = _model("The model on the face upscaled to 224 pixels; upscale224 unless given.")
    whole: bool = _whole()
    labels: LabelSet | None = _option(_labels, _NAMES, _NAMED, in_json=_LISTED)  # noqa: RUF009  a field, not a value


@dataclass(frozen=True)
class ExplainRequest:
    """Why a model gave the largest face a label."""

    image: bytes = dataclasses.field(repr=False)
    model: str | None = _model("Which model is explained; see GET /models.")
    whole: bool = _whole()
    method: str = _option(
        _choice(tuple(METHODS)), "How to explain.", {"type": "string", "enum": list(METHODS)}, "gradcam"
    )
    target: str | None = _option(
        _text,
        "The expression to explain; the predicted one unless given.",
        {"type": "string", "minLength": 1, "maxLength": 200},
    )
    versus: str | None = _option(
        _text, "Explain why the target rather than this.", {"type": "string", "minLength": 1, "maxLength": 200}
    )
    samples: int | None = _option(
        _count(10, MAX_SAMPLES), "LIME's samples.", {"type": "integer", "minimum": 10, "maximum": MAX_SAMPLES}
    )
    seed: int = _option(
        _count(0, 2**32 - 1), "The seed of LIME and SHAP.", {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}, 0
    )
    metrics: str = _option(
        _choice(METRICS),
        "What is measured of the map; full takes longest.",
        {"type": "string", "enum": list(METRICS)},
        "fast",
    )


def read(kind: type[R], body: bytes, content_type: str, query: Sequence[tuple[str, str]] = ()) -> R:
    """The request in a body: a multipart form, JSON, or the picture itself with the options in the query. A body's option goes before the query's.

    Raises HTTPException 400 for a body that cannot be read as what it says it is and 415 for another type, InputError for a field that is missing,
    unknown or wrong.
    """
    given: dict[str, Any] = {}
    for name, value in query:
        if name == "image" or name in given:
            raise InputError(
                "the picture belongs in the body"
                if name == "image"
                else f"the option {shown(name)} came twice; send it once"
            )
        given[name] = value
    given |= _fields(body, content_type)
    options = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(given) - set(options)):
        raise InputError(f"no field {', '.join(shown(name) for name in unknown[:5])}; there are {', '.join(options)}")
    image = given.pop("image", None)
    if not image:
        raise InputError(
            "there is no picture; send it as the form's field image, or as base64 text in the JSON's image"
        )
    values = {name: options[name].metadata["read"](name, value) for name, value in given.items() if value is not None}
    return kind(image=image, **values)


def _fields(body: bytes, content_type: str) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        try:
            form = read_form(body, content_type)
        except InputError as error:
            raise HTTPException(400, str(error)) from error
        image = form.pop("image", b"")
        return {"image": image, **{name: value.decode("utf-8", "replace") for name, value in form.items()}}
    if kind == "application/json":
        return _json_fields(body)
    if kind == RAW_TYPES[0] or kind.startswith("image/"):
        return {"image": body}
    raise HTTPException(
        415,
        f"the content type {shown(kind)} is not read here; send multipart/form-data, application/json or a picture's own type",
    )


def _json_fields(body: bytes) -> dict[str, Any]:
    try:
        values = load_json(body)
    except InputError as error:
        raise HTTPException(400, str(error)) from error
    if not isinstance(values, dict):
        raise InputError(f'the body is a JSON {type(values).__name__}; send {{"image": base64, ...}}')
    image = values.get("image")
    if image is None:
        return values
    if not isinstance(image, str):
        raise InputError(f"image is a JSON {type(image).__name__}; send the picture as base64 text")
    try:
        return {**values, "image": decode_base64(image)}
    except InputError as error:
        raise HTTPException(400, f"image {error}") from error
