"""HTML tables of JSON schemas: one row per field, with its type in words.

Every text from a schema is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["field_table", "prose", "table", "type_html"]

_LINK = '<a href="#schema-{0}">{0}</a>'


def prose(text: str) -> str:
    """The text as HTML; `code` between backticks becomes a code element."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """An HTML table; `head` is plain text, the cells of `rows` are HTML."""
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def field_table(schema: Mapping[str, Any]) -> str:
    """The table of an object's fields; a nested object's fields are named like parameters.top_k."""
    return table(("field", "type", "description"), _rows(schema, ""))


def type_html(schema: Mapping[str, Any]) -> str:
    """The type in words, such as "list of FaceResponse" with a link, "integer, 10 to 5000" or "text or null"."""
    if "$ref" in schema:
        return _LINK.format(escape(schema["$ref"].rpartition("/")[2]))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_html(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(type_html({**schema, "type": each}) for each in kind)
    return _WORDS[kind](schema) if kind in _WORDS else escape(kind)


def _rows(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        about = [prose(field["description"])] if "description" in field else []
        if "default" in field:
            about.append(f"Default: <code>{escape(json.dumps(field['default']))}</code>.")
        mark = " <b>required</b>" if name in required else ""
        yield f"<code>{escape(prefix + name)}</code>{mark}", type_html(field), " ".join(about)
        yield from _rows(field, f"{prefix}{name}.")


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "binary":
        return "file"
    if schema.get("contentEncoding") == "base64":
        return "base64 text"
    minimum, maximum = schema.get("minLength"), schema.get("maxLength")
    return f"text, {minimum or 0} to {maximum} characters" if maximum else "text"


def _number(schema: Mapping[str, Any]) -> str:
    kind, minimum, maximum = schema["type"], schema.get("minimum"), schema.get("maximum")
    if minimum is None:
        return kind
    return f"{kind}, at least {minimum:.10g}" if maximum is None else f"{kind}, {minimum:.10g} to {maximum:.10g}"


def _list(schema: Mapping[str, Any]) -> str:
    minimum, maximum = schema.get("minItems"), schema.get("maxItems")
    count = f"{minimum} " if minimum is not None and minimum == maximum else ""
    return f"list of {count}{type_html(schema.get('items', {}))}"


def _object(schema: Mapping[str, Any]) -> str:
    values = schema.get("additionalProperties")
    return f"object of {type_html(values)}" if isinstance(values, dict) and values else "object"


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "string": _text,
    "integer": _number,
    "number": _number,
    "array": _list,
    "object": _object,
    "boolean": lambda _: "true or false",
}
