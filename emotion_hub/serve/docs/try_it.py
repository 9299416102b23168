"""How to call an operation: curl commands, and a form that docs.js sends from the page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["KEY_HEADER", "curl_commands", "try_form"]

#: The shell puts the key in: a command with the key itself would stay in its history.
KEY_HEADER = '-H "Authorization: Bearer $EMOTION_HUB_API_KEY"'

#: An example's text longer than this is a picture in base64; commands read it from a file instead.
_LONG, _PICTURE = 60, "PICTURE"

_FORM, _JSON, _RAW = "multipart/form-data", "application/json", "image/*"


def curl_commands(url: str, method: str, operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(what is sent, command) for each kind of body the operation reads; one pair without a body."""
    content = operation.get("requestBody", {}).get("content", {})
    start = f"curl {KEY_HEADER}" if operation.get("security") else "curl"
    address = shlex.quote(url)
    if not content:
        yield "", f"{start} {'' if method == 'get' else f'-X {method.upper()} '}{address}"
    if _FORM in content:
        yield "form", f"{start} -F image=@photo.jpg {address}"
    if _RAW in content:
        yield "the picture's bytes", f"{start} -H 'Content-Type: image/jpeg' --data-binary @photo.jpg {address}"
    if _JSON in content:
        body = json.dumps(_shortened(content[_JSON].get("example", {})))
        sent = body.replace("%", "%%").replace(
            _PICTURE, "%s"
        )  # printf's format; the picture would be too long for an argument of curl
        yield (
            "JSON",
            f"printf '{sent}' \"$(base64 < photo.jpg | tr -d '\\n')\" \\\n  | {start} -H 'Content-Type: application/json' -d @- {address}",
        )


def try_form(path: str, method: str, operation: Mapping[str, Any], examples: Mapping[str, str]) -> str:
    """A form for docs.js, which shows it; `examples` are values of path parameters."""
    content = operation.get("requestBody", {}).get("content", {})
    fields = [
        _input(each["name"], each["schema"], "path", examples.get(each["name"], ""))
        for each in operation.get("parameters", ())
        if each["in"] == "path"
    ]
    kind = "form" if _FORM in content else "raw" if _RAW in content else "none"
    if kind == "form":
        fields += [_input(name, schema, "form") for name, schema in content[_FORM]["schema"]["properties"].items()]
    elif kind == "raw":
        fields.append(_input("image", {"format": "binary"}, "raw"))
    start = f'<form class="try" hidden data-path="{escape(path)}" data-method="{method.upper()}" data-body="{kind}">'
    return f'{start}{"".join(fields)}<button type="submit">Send</button><div class="answer" aria-live="polite"></div></form>'


def _input(name: str, schema: Mapping[str, Any], where: str, value: str = "") -> str:
    """A field whose empty value means that the option is left out."""
    name, attributes = escape(name), f'name="{escape(name)}" data-in="{where}"'
    default = schema.get("default")
    hint = escape("" if default is None else default if isinstance(default, str) else json.dumps(default))
    if schema.get("format") == "binary":
        field = f'<input type="file" accept="image/*" required {attributes}>'
    elif "enum" in schema or schema.get("type") == "boolean":
        choices = schema.get("enum", ("true", "false"))
        options = "".join(f"<option>{escape(choice)}</option>" for choice in choices)
        field = f'<select {attributes}><option value="">{f"({hint})" if hint else ""}</option>{options}</select>'
    elif schema.get("type") == "integer":
        limits = "".join(
            f' {limit}="{schema[key]:.10g}"' for limit, key in (("min", "minimum"), ("max", "maximum")) if key in schema
        )
        field = f'<input type="number" placeholder="{hint}"{limits} {attributes}>'
    else:
        field = f'<input type="text" value="{escape(value)}" placeholder="{hint}"{" required" if where == "path" else ""} {attributes}>'
    return f"<label>{name} {field}</label>"


def _shortened(value: Any) -> Any:
    """The example with PICTURE in place of its picture."""
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    return _PICTURE if isinstance(value, str) and len(value) > _LONG else value
