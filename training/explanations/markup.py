"""HTML of the explanation report: intervals, verdicts, relevance maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from emotion_hub.explainers.base import GRID
from emotion_hub.explainers.overlay import COLOUR_MAPS
from emotion_hub.explainers.regions import region_masks
from emotion_hub.explainers.shap_torch import background_faces
from training.data.html_page import image_uri

__all__ = [
    "STYLE",
    "average_face",
    "colour_bar",
    "drawn",
    "heat",
    "interval",
    "mark",
    "number",
    "strongest",
    "track",
]

STYLE = """
:root { --good: #2c6e49; --bad: #a23b2a; }
@media (prefers-color-scheme: dark) { :root { --good: #8fcaa6; --bad: #eb9a8b; } }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .6rem 0; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
td small { display: block; color: var(--soft); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.track { position: relative; display: block; width: 11rem; height: 1rem; }
.track i { position: absolute; top: .38rem; height: .24rem; border-radius: .12rem; background: var(--one); }
.track i { opacity: .6; }
.track b { position: absolute; top: .22rem; width: .56rem; height: .56rem; margin-left: -.28rem; border-radius: 50%; }
.track b { background: var(--one); }
.track u { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .7rem; max-width: 62rem; }
.map { position: relative; display: block; aspect-ratio: 1; border-radius: 4px; overflow: hidden; }
.map img, .map svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.map img, .map svg { image-rendering: pixelated; }
#parts { fill: none; stroke: #fff; stroke-opacity: .75; stroke-width: .3; }
.map.none { border: 1px dashed var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: 1rem; align-items: end; margin: .8rem 0; }
.legend .map { flex: 0 0 13rem; } .legend figcaption { flex: 0 1 22rem; }
.bar { display: flex; align-items: center; gap: .5rem; max-width: 22rem; margin: .4rem 0; font-size: .85rem; }
.bar { color: var(--soft); }
.bar span:nth-child(2) { flex: 1; height: .7rem; border: 1px solid var(--line); }
@media (min-width: 52rem) { .maps { grid-template-columns: repeat(7, 1fr); } }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin: 0 0 .3rem .8rem; } }
"""


def number(value: float | None, digits: int = 2) -> str:
    """The number as text with a minus sign; no sign before a rounded zero, and a dash for None."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def interval(estimate: Mapping[str, Any] | None, digits: int = 2, *, percent: bool = False) -> str:
    """HTML of a mean with its interval below it, in per cent with `percent`; a dash for None."""
    if estimate is None:
        return "–"
    mean, low, high = (
        number(100 * estimate[key], 0) if percent else number(estimate[key], digits) for key in ("mean", "low", "high")
    )
    return f"{mean}<small>{low} to {high}</small>"


def track(estimate: Mapping[str, Any] | None, reach: float) -> str:
    """HTML that draws an interval on a line from -`reach` to `reach`; the table beside it has the numbers."""
    if estimate is None:
        return ""
    low, mean, high = (50 + 50 * estimate[key] / reach for key in ("low", "mean", "high"))
    bar = f'<i style="left:{low:.1f}%;width:{high - low:.1f}%"></i><b style="left:{mean:.1f}%"></b>'
    return f'<span class="track" aria-hidden="true"><u style="left:50%"></u>{bar}</span>'


def heat(value: float | None) -> str:
    """HTML of a number on a background whose strength grows with the number; a dash for None."""
    return "–" if value is None else f'<span class="heat" style="--share:{max(0.0, value):.3f}">{number(value)}</span>'


def mark(text: str, tone: str = "") -> str:
    """HTML of a verdict, coloured where `tone` is "good" or "bad"."""
    return f'<span class="{tone}">{escape(text)}</span>' if tone else escape(text)


def strongest(maps: Iterable[np.ndarray | None]) -> float:
    """The end of a common colour scale: the largest 99.5th percentile of the maps; 0 for no map."""
    return max((float(np.percentile(cells, 99.5)) for cells in maps if cells is not None), default=0.0)


def drawn(cells: np.ndarray | None, top: float, alt: str) -> str:
    """HTML of a map, (GRID, GRID), coloured from 0 to `top`, with an alternative text; an empty frame for None."""
    if cells is None or not top:
        return '<span class="map none"></span>'
    image = Image.fromarray((np.clip(cells / top, 0, 1) * 255).round().astype(np.uint8))
    image.putpalette(_colours(256).astype(np.uint8).tobytes())
    return _framed(image, alt, '<use href="#parts"/>')


def average_face() -> str:
    """HTML of the package's average neutral face with the outlines of its parts, which the other maps refer to."""
    mean = np.mean([np.asarray(face, dtype=np.float64) for face in background_faces()], axis=0)
    alt = "average neutral face with the outlines of its parts"
    return _framed(Image.fromarray(mean.round().astype(np.uint8)), alt, f'<path id="parts" d="{_outlines()}"/>')


def colour_bar(top: float) -> str:
    """HTML of the colour scale from 0 to `top` times an even map; empty where no map is drawn."""
    if not top:
        return ""
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in _colours(17))
    bar = (
        f'<span role="img" aria-label="colours from 0 to {top:.1f}" style="background:linear-gradient(to '
        f'right,{stops})"></span>'
    )
    return f'<p class="bar"><span>0</span>{bar}<span>{top:.1f} ×</span></p>'


def _framed(image: Image.Image, alt: str, outlines: str) -> str:
    svg = f'<svg viewBox="0 0 {GRID} {GRID}" aria-hidden="true">{outlines}</svg>'
    return f'<span class="map"><img src="{image_uri(image)}" alt="{escape(alt)}">{svg}</span>'


def _colours(count: int) -> np.ndarray:
    """int, (count, 3), 0..255."""
    return (colormaps[COLOUR_MAPS[0]](np.linspace(0, 1, count))[:, :3] * 255).round().astype(int)


def _outlines() -> str:
    """The SVG path along the edges of every part of the face."""
    path: list[str] = []
    for name, mask in region_masks().items():
        if name == "background":
            continue  # its edge is the outline of the face
        padded = np.pad(mask, 1)
        path += [f"M{x} {y}h1" for y, x in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])]
        path += [f"M{x} {y}v1" for y, x in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])]
    return "".join(dict.fromkeys(path))
