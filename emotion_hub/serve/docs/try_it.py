"""Example requests of the API reference: curl commands and HTML forms.

docs.js sends the forms from the page.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["KEY_HEADER", "curl_commands", "try_form"]

#: The shell inserts the key: a command with the key itself would stay in the shell's history.
KEY_HEADER = '-H "Authorization: Bearer $EMOTION_HUB_API_KEY"'

#: A longer text in an example is an image in base64; the curl command reads the image from a file instead.
_MAX_TEXT = 60
_PLACEHOLDER = "IMAGE"

_FORM, _JSON, _FILE = "multipart/form-data", "application/json", "image/*"


def curl_commands(url: str, method: str, operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(what is sent, command) for each kind of body that the operation takes; one pair if it takes none."""
    content = operation.get("requestBody", {}).get("content", {})
    curl = f"curl {KEY_HEADER}" if operation.get("security") else "curl"
    address = shlex.quote(url)
    if not content:
        yield "", f"{curl} {'' if method == 'get' else f'-X {method.upper()} '}{address}"
    if _FORM in content:
        yield "form", f"{curl} -F image=@photo.jpg {address}"
    if _FILE in content:
        yield "image file", f"{curl} -H 'Content-Type: image/jpeg' --data-binary @photo.jpg {address}"
    if _JSON in content:
        body = json.dumps(_without_image(content[_JSON].get("example", {})))
        # printf inserts the image into this format: the image may be longer than the shell allows for an argument
        printf_format = body.replace("%", "%%").replace(_PLACEHOLDER, "%s")
        yield (
            "JSON",
            f"printf '{printf_format}' \"$(base64 < photo.jpg | tr -d '\\n')\" \\\n"
            f"  | {curl} -H 'Content-Type: application/json' -d @- {address}",
        )


def try_form(path: str, method: str, operation: Mapping[str, Any], examples: Mapping[str, str]) -> str:
    """The HTML form of an operation, hidden until docs.js shows it; `examples` are values of path parameters."""
    content = operation.get("requestBody", {}).get("content", {})
    fields = [
        _input(each["name"], each["schema"], "path", examples.get(each["name"], ""))
        for each in operation.get("parameters", ())
        if each["in"] == "path"
    ]
    body = "none"
    if _FORM in content:
        body = "form"
        fields += [_input(name, schema, "form") for name, schema in content[_FORM]["schema"]["properties"].items()]
    elif _FILE in content:
        body = "raw"
        fields.append(_input("image", {"format": "binary"}, "raw"))
    start = f'<form class="try" hidden data-path="{escape(path)}" data-method="{method.upper()}" data-body="{body}">'
    end = '<button type="submit">Send</button><div class="response" aria-live="polite"></div></form>'
    return f"{start}{''.join(fields)}{end}"


def _input(name: str, schema: Mapping[str, Any], place: str, value: str = "") -> str:
    """One labelled input of a form; docs.js does not send an option whose input is empty."""
    name, attributes = escape(name), f'name="{escape(name)}" data-in="{place}"'
    default = schema.get("default", "")
    hint = escape(default if isinstance(default, str) else json.dumps(default))
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
        required = " required" if place == "path" else ""
        field = f'<input type="text" value="{escape(value)}" placeholder="{hint}"{required} {attributes}>'
    return f"<label>{name} {field}</label>"


def _without_image(value: Any) -> Any:
    """The example with a placeholder in place of its image."""
    if isinstance(value, dict):
        return {key: _without_image(item) for key, item in value.items()}
    return _PLACEHOLDER if isinstance(value, str) and len(value) > _MAX_TEXT else value
