"""Building blocks of the page's HTML: notes, folds, lists, pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import Any

from PIL import Image

__all__ = ["data_url", "definitions", "face_url", "factor", "fold", "message", "paragraph"]


def message(text: str, *, kind: str = "info", title: str = "") -> str:
    """A note; `kind` is info or error. An error is announced by screen readers."""
    role = ' role="alert"' if kind == "error" else ""
    heading = f"<strong>{escape(title)}</strong> " if title else ""
    return f'<div class="eh-note eh-{kind}"{role}>{heading}{escape(text)}</div>'


def fold(summary: str, body: str, *, is_open: bool = False, name: str = "") -> str:
    """A section that opens on a click. `summary` and `body` are HTML; `name` is its value of `data-fold`."""
    opened = " open" if is_open else ""
    return f'<details class="eh-fold" data-fold="{escape(name)}"{opened}><summary>{summary}</summary>{body}</details>'


def paragraph(text: str, css: str) -> str:
    """A paragraph of that class; empty without a text."""
    return f'<p class="{css}">{escape(text)}</p>' if text else ""


def definitions(values: Mapping[str, str]) -> str:
    """The rows of a definition list, <dt> and <dd>; names and values are escaped."""
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in values.items())


def data_url(image: Image.Image, image_format: str = "PNG", *, quality: int = 88, **options: Any) -> str:
    """The picture as a data URL; `options` are Pillow's for the format."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, quality=quality, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def face_url(image: Image.Image) -> str:
    """A face as a data URL: a face of at most 64 pixels without loss, larger ones as WEBP."""
    if max(image.size) <= 64:
        return data_url(image, "PNG")
    return data_url(image if image.mode in ("L", "RGB") else image.convert("RGB"), "WEBP", quality=85)


def factor(ratio: float) -> str:
    """A ratio in words' digits: 65, 2.5, 0.84."""
    if ratio >= 9.95:
        return f"{ratio:.0f}"
    return f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2g}"
