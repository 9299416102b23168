"""Request models of /predict, /compare and /explain; parsing of bodies.

The pydantic models validate a request, and `docs.openapi` describes the request with their JSON schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from starlette.exceptions import HTTPException

from emotion_hub.errors import InputError, shown
from emotion_hub.explainers import METHODS, METRICS
from emotion_hub.explainers.registry import Option, public_options
from emotion_hub.interop.json_bodies import decode_base64, load_json
from emotion_hub.labels import LABEL_SETS, LabelSet, label_set
from emotion_hub.serve.forms import read_form

__all__ = [
    "IMAGE_TYPES",
    "CompareRequest",
    "ExplainRequest",
    "PhotoRequest",
    "PredictRequest",
    "parse_request",
]

#: Content types of a body that is the image file itself.
IMAGE_TYPES = ("application/octet-stream", "image/*")

#: Maximum number of wrong fields that one message lists.
MAX_LISTED = 5

#: Rules of pydantic's errors whose own message does not name the accepted values.
RULES = {"bool_type": "use true or false"}


def _parse_flag(value: Any) -> Any:
    """The boolean of a form's or query's text; other values unchanged, for pydantic to check."""
    words = {"true": True, "1": True, "false": False, "0": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value


def _parse_integer(value: Any) -> Any:
    """The integer of a form's or query's digits, or of 3.0, since JSON has one type of number; others unchanged."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_labels(value: Any) -> LabelSet:
    if not isinstance(value, str | list):
        raise InputError(
            f"labels={shown(value)}: one of {', '.join(LABEL_SETS)}, or labels separated by commas "
            "(in JSON also a list)"
        )
    return label_set(value)


_NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 200}
_NAME_LIST_SCHEMA = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Flag = Annotated[bool, BeforeValidator(_parse_flag)]
Labels = Annotated[
    LabelSet, PlainValidator(_parse_labels), WithJsonSchema({"anyOf": [_NAME_SCHEMA, _NAME_LIST_SCHEMA]})
]
if TYPE_CHECKING:  # type checkers do not accept a computed Literal
    MethodName = str
    MetricsName = str
else:
    MethodName = Literal[tuple(METHODS)]
    MetricsName = Literal[tuple(METRICS)]

_LABELS = (
    f"The labels to predict: {' or '.join(LABEL_SETS)}, or names separated by commas such as "
    "`angry,fearful,happy,neutral,sad,surprised`. The probabilities of other labels are dropped, and the rest is "
    "rescaled to a sum of 1."
)


class PhotoRequest(BaseModel):
    """The fields that every request with a photo has. Unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    image: bytes = Field(min_length=1, repr=False, description="The image file.")
    whole: Flag = Field(False, description="Take the whole image as the face, without face detection.")


class PredictRequest(PhotoRequest):
    """The expression of every face, predicted by one model."""

    model: Name | None = Field(None, description="The model that predicts; see GET /models.")
    labels: Labels | None = Field(None, description=_LABELS)


class CompareRequest(PhotoRequest):
    """The predictions of two models for the same faces."""

    native48: Name | None = Field(
        None, description="The model on the native 48-pixel face; native48 unless it is given."
    )
    upscale224: Name | None = Field(
        None, description="The model on the face upscaled to 224 pixels; upscale224 unless it is given."
    )
    labels: Labels | None = Field(None, description=_LABELS)


class _ExplainRequest(PhotoRequest):
    """The explanation of a model's prediction for the largest face."""

    model: Name | None = Field(None, description="The model that is explained; see GET /models.")
    method: MethodName = Field("gradcam", description="The explanation method.")
    target: Name | None = Field(None, description="The expression to explain; the predicted one unless it is given.")
    versus: Name | None = Field(None, description="Explain the target in contrast to this expression.")
    metrics: MetricsName = Field("fast", description="The metrics of the map; full takes longest.")

    @property
    def options(self) -> dict[str, Any]:
        """The method's options that the request gives; raises InputError for one that the method does not have."""
        method = METHODS[self.method]
        values = {name: getattr(self, name) for name in public_options()}
        given = {name: value for name, value in values.items() if value is not None}
        for name, value in given.items():
            if name not in method.public_options:
                raise InputError(f"{name}={shown(value)}: {method.title} has no option {name}; leave it out")
        return given


def _option_field(name: str, option: Option) -> tuple[Any, Any]:
    """The type and the field of a method's option, as pydantic's `create_model` takes them."""
    methods = ", ".join(method.title for method in METHODS.values() if name in method.public_options)
    about = f"Option of {methods}: {option.summary}."
    if isinstance(option.default, int):
        kind: Any = Annotated[int, Field(ge=option.low, le=option.high), BeforeValidator(_parse_integer)]
    else:
        kind = Name
    return kind | None, Field(None, description=about)


_OPTION_FIELDS: dict[str, Any] = {name: _option_field(name, option) for name, option in public_options().items()}

if TYPE_CHECKING:  # type checkers do not know the fields of a computed model
    ExplainRequest = _ExplainRequest
else:
    ExplainRequest = create_model(
        "ExplainRequest", __base__=_ExplainRequest, __doc__=_ExplainRequest.__doc__, **_OPTION_FIELDS
    )


R = TypeVar("R", bound=PhotoRequest)


def parse_request(model: type[R], body: bytes, content_type: str, query: Sequence[tuple[str, str]] = ()) -> R:
    """The request in a multipart form, in JSON, or in an image file with the options in the query.

    An option of the body takes precedence over the query's. In JSON, null is the same as an option left out. Raises
    HTTPException 400 for a body that its content type does not describe, 415 for another content type, and InputError
    for a field that is missing, unknown or wrong.
    """
    values: dict[str, Any] = {}
    for name, text in query:
        if name == "image":
            raise InputError("the query has a field 'image'; send the image in the body")
        if name in values:
            raise InputError(f"the option {shown(name)} was sent twice; send it once")
        values[name] = text
    values |= _body_values(body, content_type)
    given = {name: value for name, value in values.items() if value is not None or name not in model.model_fields}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _input_error(model, given, error) from error


def _input_error(model: type[PhotoRequest], values: Mapping[str, Any], error: ValidationError) -> InputError:
    """The error that names each wrong field, its value and the rule."""
    if unknown := sorted(set(values) - set(model.model_fields)):
        field = "field" if len(unknown) == 1 else "fields"
        names = ", ".join(shown(name) for name in unknown[:MAX_LISTED])
        return InputError(f"unknown {field} {names}; the fields are {', '.join(model.model_fields)}")
    if not values.get("image"):
        return InputError("there is no image; send it as the form's field image, or as base64 text in the JSON's image")
    texts = []
    for problem in error.errors(include_url=False)[:MAX_LISTED]:
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, InputError):  # of _parse_labels; its message names the field
            texts.append(str(cause))
            continue
        name = str(problem["loc"][0])
        rule = RULES.get(problem["type"], problem["msg"][:1].lower() + problem["msg"][1:])
        texts.append(f"{name}={shown(values[name])}: {rule}")
    return InputError("; ".join(texts))


def _body_values(body: bytes, content_type: str) -> dict[str, Any]:
    """{field: value} of the body; `image` holds the bytes of the file."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        try:
            form = read_form(body, content_type)
        except InputError as error:
            raise HTTPException(400, str(error)) from error
        image = form.pop("image", b"")
        return {"image": image, **{name: value.decode("utf-8", "replace") for name, value in form.items()}}
    if media_type == "application/json":
        return _json_values(body)
    if media_type == IMAGE_TYPES[0] or media_type.startswith("image/"):
        return {"image": body}
    raise HTTPException(
        415,
        f"content type {shown(media_type)} is not supported; "
        "send multipart/form-data, application/json or the image's own type",
    )


def _json_values(body: bytes) -> dict[str, Any]:
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
        raise InputError(f"image is a JSON {type(image).__name__}; send the image as base64 text")
    try:
        return {**values, "image": decode_base64(image, "image")}
    except InputError as error:
        raise HTTPException(400, str(error)) from error
