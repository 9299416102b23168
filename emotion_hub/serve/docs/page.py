"""The API reference page at /docs: HTML made from the OpenAPI document.

FastAPI's own page loads Swagger UI, 1.9 MB of scripts and styles, from a CDN, and stays empty without internet. This
page loads nothing from other hosts and is readable without scripts; docs.js adds a form to each operation that sends a
request and shows the response.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from emotion_hub.serve.docs.schema_tables import field_table, prose, table, type_html
from emotion_hub.serve.docs.try_it import KEY_HEADER, curl_commands, try_form
from emotion_hub.serve.request_log import REQUEST_ID

__all__ = ["docs_page"]


def docs_page(document: Mapping[str, Any], base_url: str, *, model: str, requires_key: bool, has_demo: bool) -> str:
    """The page as HTML for an OpenAPI document.

    Links are relative to /docs, so that the page works behind a proxy that adds a path; curl examples call `base_url`.
    `model` replaces {name} in examples. `requires_key` adds how to send the API key, `has_demo` a link to the demo.
    """
    info, base = document["info"], base_url.rstrip("/")
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = ['<a href="openapi.json">openapi.json</a>', *(['<a href="demo/">demo</a>'] if has_demo else [])]
    parts = [
        f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f"<p>{prose(info['description'])}</p>",
        f"<p>Every response has the header <code>{REQUEST_ID}</code>. Every path with GET also answers HEAD.</p>",
        f"<p>{' · '.join(links)}</p>",
        _key_note() if requires_key else "",
        "</header><main><nav aria-label='Operations'>",
        table(("", "path", "description"), (_index_row(*operation) for operation in operations)),
        "</nav>",
        *(_operation(base, model, *operation) for operation in operations),
        "<h2>Types</h2>",
        *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
        "</main>",
    ]
    return _PAGE.format(title=escape(info["title"]), body="\n".join(parts))


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/docs.css">
<script src="docs/docs.js" defer></script>
</head>
<body>
{body}
</body>
</html>
"""


def _key_note() -> str:
    return (
        f"<p class='note'>Requests need the server's API key: <code>{escape(KEY_HEADER)}</code>, or the header "
        "<code>X-API-Key</code>. The forms on this page send the password that you entered in the browser's dialog.</p>"
    )


def _index_row(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield _method(method)
    yield f'<a href="#{_anchor(path, method)}"><code>{escape(path)}</code></a>'
    yield prose(operation["summary"])


def _operation(base: str, model: str, path: str, method: str, operation: Mapping[str, Any]) -> str:
    url = base + path.replace("{name}", model)
    heading = f"<h2>{_method(method)} <code>{escape(path)}</code></h2>"
    parts = [
        f'<section class="operation" id="{_anchor(path, method)}">{heading}',
        f"<p>{prose(operation['summary'])}</p>",
        "".join(_command(sent, command) for sent, command in curl_commands(url, method, operation)),
        try_form(path, method, operation, {"name": model}),
        _request(operation),
        _parameters(operation),
        "<h3>Responses</h3>",
        table(("status", "type", "description"), _responses(operation)),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _command(sent: str, command: str) -> str:
    """A curl command under a caption that names what it sends."""
    caption = f"<figcaption>{escape(sent)}</figcaption>" if sent else ""
    return f"<figure>{caption}<pre><code>{escape(command)}</code></pre></figure>"


def _request(operation: Mapping[str, Any]) -> str:
    """The request body: a table of fields per content type with fields, and the content types of a plain file."""
    content = operation.get("requestBody", {}).get("content", {})
    files = [kind for kind, body in content.items() if body["schema"].get("format") == "binary"]
    objects = [kind for kind in content if kind not in files]
    parts = [f"<h4><code>{escape(kind)}</code></h4>{field_table(content[kind]['schema'])}" for kind in objects]
    if files:
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in files)
        parts.append(f"<h4>{kinds}</h4><p>The image file itself.</p>")
    return f"<h3>Request body</h3>{''.join(parts)}" if parts else ""


def _parameters(operation: Mapping[str, Any]) -> str:
    """A table of path parameters and a list of query options, which the table of the body describes."""
    parameters = operation.get("parameters", ())
    in_path, in_query = ([each for each in parameters if each["in"] == place] for place in ("path", "query"))
    parts = []
    if in_path:
        rows = (
            (
                f"<code>{escape(each['name'])}</code> <b>required</b>",
                type_html(each["schema"]),
                prose(each.get("description", "")),
            )
            for each in in_path
        )
        parts.append(f"<h3>Path</h3>{table(('parameter', 'type', 'description'), rows)}")
    if in_query:
        names = ", ".join(f"<code>{escape(each['name'])}</code>" for each in in_query)
        parts.append(f"<h3>Query</h3><p>{names}: as in the form. A field of the body takes precedence.</p>")
    return "".join(parts)


def _responses(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for status, response in operation["responses"].items():
        types = [type_html(body["schema"]) for body in response.get("content", {}).values()]
        headers = "".join(
            f" Header <code>{escape(name)}</code>." for name in response.get("headers", {}) if name != REQUEST_ID
        )
        yield f"<code>{escape(str(status))}</code>", ", ".join(types), prose(response["description"]) + headers


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    start = f'<section class="schema" id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
    return f"{start}<p>{prose(schema.get('description', ''))}</p>{field_table(schema)}</section>"


def _method(method: str) -> str:
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def _anchor(path: str, method: str) -> str:
    """The id of an operation, such as post-models-name."""
    return "-".join([method, *(part.strip("{}") for part in path.split("/") if part)])
