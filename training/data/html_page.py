"""HTML helpers of the report pages: style, frame, sections, tables.

A page is one file without scripts and external resources, readable on a phone, in light and dark mode.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

__all__ = ["image_uri", "render_html", "section", "table"]

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --ink: #23252b; --soft: #5d6069; --line: #dcd9d2; --one: #2f6d8f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e7e5e0; --soft: #a3a6ae; --line: #363a42; --one: #6fb3d6; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.2rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .3rem; }
p, ul { max-width: 46rem; margin: .5rem 0; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; }
code { overflow-wrap: anywhere; }
figure { margin: 0; }
.soft, caption, figcaption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
caption span { display: block; position: sticky; left: 0; width: max-content; }
caption span { max-width: min(46rem, calc(100vw - 2rem)); }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
tbody th, thead th:first-child { text-align: left; position: sticky; left: 0; z-index: 1; padding-left: 0; }
tbody th, thead th:first-child { background: var(--paper); }
tbody th { vertical-align: middle; }
.heat { display: block; margin: -.25rem -.6rem; padding: .3rem .6rem; }
.heat { background: color-mix(in srgb, var(--one) calc(var(--share) * 55%), transparent); }
@media (max-width: 40rem) { tbody th { white-space: normal; max-width: 8rem; } }
"""


def render_html(title: str, introduction: str, parts: Iterable[str], style: str = "") -> str:
    """A whole page: `title` is text, `introduction` and `parts` are HTML, `style` is CSS added to the common one."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n"
        f'<body><main>\n<h1>{escape(title)}</h1>\n<p class="soft">{introduction}</p>\n'
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """HTML of a section with its heading; empty parts are left out."""
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """HTML of a table; a row's first cell is its heading, as text, and the others are HTML.

    A table that is too wide for the screen scrolls horizontally.
    """
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><caption><span>{escape(caption)}</span></caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def image_uri(image: Image.Image) -> str:
    """A data URI with the image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
