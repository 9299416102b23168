"""What the explanation report's page is built of: style, tables, figures with intervals, maps in colour under the outlines of the face's parts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from emotion_hub.explainers.base import GRID
from emotion_hub.explainers.overlay import COLOUR_MAPS
from emotion_hub.explainers.regions import region_masks
from emotion_hub.explainers.shap_torch import background_faces

__all__ = [
    "STYLE",
    "average_face",
    "colour_bar",
    "drawn",
    "heat",
    "interval",
    "mark",
    "number",
    "section",
    "strongest",
    "table",
    "track",
]

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --ink: #23252b; --soft: #5d6069; --line: #dcd9d2; --one: #2f6d8f; --good: #2c6e49; --bad: #a23b2a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e7e5e0; --soft: #a3a6ae; --line: #363a42; --one: #6fb3d6; --good: #8fcaa6; --bad: #eb9a8b; }
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
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .6rem 0; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
code { overflow-wrap: anywhere; }
.soft, caption, figcaption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
caption span { display: block; position: sticky; left: 0; width: max-content; max-width: min(46rem, calc(100vw - 2rem)); }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
tbody th, thead th:first-child { text-align: left; position: sticky; left: 0; z-index: 1; background: var(--paper); padding-left: 0; }
tbody th { vertical-align: middle; }
td small { display: block; color: var(--soft); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.heat { display: block; margin: -.25rem -.6rem; padding: .3rem .6rem; background: color-mix(in srgb, var(--one) calc(var(--share) * 55%), transparent); }
.track { position: relative; display: block; width: 11rem; height: 1rem; }
.track i { position: absolute; top: .38rem; height: .24rem; border-radius: .12rem; background: var(--one); opacity: .6; }
.track b { position: absolute; top: .22rem; width: .56rem; height: .56rem; margin-left: -.28rem; border-radius: 50%; background: var(--one); }
.track u { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .7rem; max-width: 62rem; }
figure { margin: 0; }
.map { position: relative; display: block; aspect-ratio: 1; border-radius: 4px; overflow: hidden; }
.map img, .map svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; image-rendering: pixelated; }
#parts { fill: none; stroke: #fff; stroke-opacity: .75; stroke-width: .3; }
.map.none { border: 1px dashed var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: 1rem; align-items: end; margin: .8rem 0; }
.legend .map { flex: 0 0 13rem; } .legend figcaption { flex: 0 1 22rem; }
.bar { display: flex; align-items: center; gap: .5rem; max-width: 22rem; margin: .4rem 0; font-size: .85rem; color: var(--soft); }
.bar span:nth-child(2) { flex: 1; height: .7rem; border: 1px solid var(--line); }
@media (min-width: 52rem) { .maps { grid-template-columns: repeat(7, 1fr); } }
@media (max-width: 40rem) { tbody th { white-space: normal; max-width: 8rem; } dl { grid-template-columns: 1fr; } dd { margin: 0 0 .3rem .8rem; } }
"""


def section(title: str, *parts: str) -> str:
    """A part of the page under its heading; empty parts are left out."""
    return f"<section><h2>{escape(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows whose first cell is their head, as text; the other cells are HTML. Too wide for the screen, it scrolls by itself."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    inner = f"<table><caption><span>{escape(caption)}</span></caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">{inner}</div>'


def number(value: float | None, digits: int = 2) -> str:
    """With a real minus, none before a zero; a dash for what was not measured."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def interval(found: Mapping[str, Any] | None, digits: int = 2, *, percent: bool = False) -> str:
    """HTML of a mean with its interval under it, in per cent with `percent`; a dash for None."""
    if found is None:
        return "–"
    mean, low, high = (
        number(100 * found[key], 0) if percent else number(found[key], digits) for key in ("mean", "low", "high")
    )
    return f"{mean}<small>{low} to {high}</small>"


def track(found: Mapping[str, Any] | None, reach: float) -> str:
    """HTML of an interval on a line from -`reach` to `reach`; the table beside it has the numbers."""
    if found is None:
        return ""
    low, mean, high = (50 + 50 * found[key] / reach for key in ("low", "mean", "high"))
    bar = f'<i style="left:{low:.1f}%;width:{high - low:.1f}%"></i><b style="left:{mean:.1f}%"></b>'
    return f'<span class="track" aria-hidden="true"><u style="left:50%"></u>{bar}</span>'


def heat(value: float | None) -> str:
    """HTML of a number on a ground that is stronger the nearer it is to 1."""
    return "–" if value is None else f'<span class="heat" style="--share:{max(0.0, value):.3f}">{number(value)}</span>'


def mark(words: str, tone: str = "") -> str:
    """HTML of a verdict, in colour where its `tone` is "good" or "bad"."""
    return f'<span class="{tone}">{escape(words)}</span>' if tone else escape(words)


def strongest(maps: Iterable[np.ndarray | None]) -> float:
    """Where a common colour scale ends: what all but one cell in two hundred of every map stay under; 0 for no map."""
    return max((float(np.percentile(cells, 99.5)) for cells in maps if cells is not None), default=0.0)


def drawn(cells: np.ndarray | None, top: float, words: str) -> str:
    """HTML of a map, (GRID, GRID), from 0 to `top`, `words` for who cannot see it; an empty frame for None."""
    if cells is None or not top:
        return '<span class="map none"></span>'
    image = Image.fromarray((np.clip(cells / top, 0, 1) * 255).round().astype(np.uint8))
    image.putpalette(_colours(256).astype(np.uint8).tobytes())
    return _framed(image, words, '<use href="#parts"/>')


def average_face() -> str:
    """HTML of the package's average neutral face with the outlines, which the other pictures on the page take from here."""
    mean = np.mean([np.asarray(face, dtype=np.float64) for face in background_faces()], axis=0)
    words = "average neutral face with the outlines of its parts"
    return _framed(Image.fromarray(mean.round().astype(np.uint8)), words, f'<path id="parts" d="{_outlines()}"/>')


def colour_bar(top: float) -> str:
    """HTML of the scale from 0 to `top` times an even map; nothing where no map is drawn."""
    if not top:
        return ""
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in _colours(17))
    bar = f'<span role="img" aria-label="colours from 0 to {top:.1f}" style="background:linear-gradient(to right,{stops})"></span>'
    return f'<p class="bar"><span>0</span>{bar}<span>{top:.1f} ×</span></p>'


def _framed(image: Image.Image, words: str, outlines: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    lines = f'<svg viewBox="0 0 {GRID} {GRID}" aria-hidden="true">{outlines}</svg>'
    return f'<span class="map"><img src="data:image/png;base64,{data}" alt="{escape(words)}">{lines}</span>'


def _colours(count: int) -> np.ndarray:
    """int, (count, 3), 0..255."""
    return (colormaps[COLOUR_MAPS[0]](np.linspace(0, 1, count))[:, :3] * 255).round().astype(int)


def _outlines() -> str:
    """The SVG path along the edges of every part's cells."""
    path = []
    for name, mask in region_masks().items():
        if name == "background":
            continue  # its edge is the face's
        padded = np.pad(mask, 1)
        path += [f"M{x} {y}h1" for y, x in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])]
        path += [f"M{x} {y}v1" for y, x in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])]
    return "".join(dict.fromkeys(path))
