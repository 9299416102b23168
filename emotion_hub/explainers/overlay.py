"""Overlays of relevance maps on the face, colour bar, sheet of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emotion_hub.errors import InputError
from emotion_hub.explainers import metrics
from emotion_hub.explainers.base import Explanation, on_grid
from emotion_hub.explainers.registry import METHODS

__all__ = ["COLOUR_MAPS", "colour_bar", "overlay", "sheet"]

#: matplotlib's names of the colour maps: for heatmaps (0..1) and for signed maps (-1..1), which is dark at 0. Both
#: are perceptually uniform: equal steps of relevance look equally large, also in gray and with a colour-vision
#: deficiency.
COLOUR_MAPS = ("inferno", "vanimo")

_BACKGROUND, _TEXT, _MUTED, _BORDER = "#ffffff", "#1c222b", "#5d6673", "#d9dde3"


def overlay(
    explanation: Explanation, size: int | None = None, *, signed: bool = False, opacity: float = 0.65
) -> Image.Image:
    """RGB, `size` pixels per side: the map in colour over the prepared face in gray.

    `size` defaults to the network's input. The opacity grows with the relevance, so that pixels without relevance
    show the bare face. `signed` also shows contributions against the class, in another colour. Raises InputError for
    `signed` with a method that has no sign, and for an opacity outside 0..1.
    """
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity={opacity}: give a number from 0 (the face alone) to 1 (opaque at the maximum)")
    if not signed:
        values = explanation.heatmap
    elif explanation.signed is None:
        raise InputError(
            f"{METHODS[explanation.method].title} has no signed map; leave signed out, or use LIME or SHAP"
        )
    else:
        values = explanation.signed
    side, prepared = size or explanation.prepared.width, explanation.prepared
    # superpixels of LIME and pixels of SHAP keep their edges
    map_filter = Image.Resampling.BICUBIC if explanation.signed is None else Image.Resampling.NEAREST
    resized = Image.fromarray(_display_values(values)).resize((side, side), map_filter)
    values = np.clip(np.asarray(resized), -1 if signed else 0, 1)
    face_filter = Image.Resampling.NEAREST if prepared.width < side else Image.Resampling.LANCZOS
    face = np.asarray(prepared.convert("L").resize((side, side), face_filter), dtype=np.float32)[..., None] / 255
    colours = _colours(values, signed)
    alpha = opacity * np.sqrt(np.abs(values))[..., None]
    return Image.fromarray(((face * (1 - alpha) + colours * alpha) * 255).round().astype(np.uint8))


def colour_bar(width: int, height: int = 12, *, signed: bool = False) -> Image.Image:
    """RGB: the colours from no relevance (left) to the strongest (right).

    With `signed` the left end is the strongest contribution against the class.
    """
    values = np.linspace(-1 if signed else 0, 1, width, dtype=np.float32)
    return Image.fromarray(
        (np.broadcast_to(_colours(values, signed), (height, width, 3)) * 255).round().astype(np.uint8)
    )


def sheet(
    explanations: Sequence[Explanation], *, title: str = "", size: int = 224, columns: int | None = None
) -> Image.Image:
    """RGB: one row per network with the prepared face and its maps, `size` pixels each, and the metrics below each map.

    `columns` widens the sheet; it defaults to the longest row. Raises InputError for an empty sequence.
    """
    if not explanations:
        raise InputError("a sheet needs at least one explanation")
    rows: dict[str, list[Explanation]] = {}
    for explanation in explanations:
        rows.setdefault(explanation.model, []).append(explanation)
    columns = columns or 1 + max(len(row) for row in rows.values())
    lines = max(len(_metric_lines(e)) for e in explanations)
    gap, cell_height = 18, size + 26 + 17 * lines
    top = 44 if title else gap
    height = top + len(rows) * (cell_height + 34 + gap) + 44
    width = gap + columns * (size + gap)
    page = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((gap, 14), title, fill=_TEXT, font=_font(20))
    y = top
    for row in rows.values():
        draw.text((gap, y), _heading(row[0]), fill=_TEXT, font=_font(16))
        y += 30
        _draw_input(page, draw, row[0], (gap, y), size)
        for i, explanation in enumerate(row, 1):
            _draw_map(page, draw, explanation, (gap + i * (size + gap), y), size)
        y += cell_height + 4 + gap
    page.paste(colour_bar(size), (gap, height - 36))
    draw.rectangle((gap, height - 36, gap + size - 1, height - 25), outline=_BORDER)
    draw.text((gap, height - 21), "no relevance", fill=_MUTED, font=_font(12))
    draw.text((gap + size, height - 21), "strongest", fill=_MUTED, font=_font(12), anchor="ra")
    return page


def _draw_input(
    page: Image.Image, draw: ImageDraw.ImageDraw, explanation: Explanation, corner: tuple[int, int], size: int
) -> None:
    """Draw the prepared face with its left top corner at `corner`, and its size in pixels below."""
    prepared, (x, y) = explanation.prepared, corner
    page.paste(prepared.convert("RGB").resize((size, size), Image.Resampling.NEAREST), corner)
    caption = f"network input, {prepared.width} by {prepared.height} pixels"
    draw.text((x, y + size + 4), caption, fill=_MUTED, font=_font(13))


def _draw_map(
    page: Image.Image, draw: ImageDraw.ImageDraw, explanation: Explanation, corner: tuple[int, int], size: int
) -> None:
    """Draw an overlay with its left top corner at `corner`, and its method, time and metrics below."""
    x, y = corner
    page.paste(overlay(explanation, size), corner)
    caption = f"{METHODS[explanation.method].title}  {_duration(explanation.milliseconds)}"
    draw.text((x, y + size + 4), caption, fill=_TEXT, font=_font(14))
    for n, line in enumerate(_metric_lines(explanation)):
        draw.text((x, y + size + 24 + 17 * n), line, fill=_MUTED, font=_font(13))


def _heading(explanation: Explanation) -> str:
    versus = f"; why not {explanation.versus}?" if explanation.versus else ""
    return f"{explanation.model}: {explanation.target} {explanation.confidence:.0%}{versus}"


def _metric_lines(explanation: Explanation) -> list[str]:
    """One line per metric, then the two regions with the largest shares."""
    lines = [f"{name} {value}" for name, value, _ in metrics.describe(explanation.scores)]
    regions: Mapping[str, float] = explanation.scores.get("regions", {})
    if regions and not explanation.empty:
        largest = sorted(regions, key=lambda name: regions[name], reverse=True)[:2]
        lines.append(", ".join(f"{name} {regions[name]:.0%}" for name in largest))
    return lines


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _display_values(values: np.ndarray) -> np.ndarray:
    """float32, (GRID, GRID), -1..1: the map on the grid, divided by the 99.5th percentile of its absolute values.

    The percentile, not the maximum, so that one outlier does not darken the rest of the map.
    """
    cells = on_grid(values)
    top = float(np.percentile(np.abs(cells), 99.5)) or float(np.abs(cells).max())
    return np.clip(cells / top, -1, 1).astype(np.float32) if top else np.zeros_like(cells)


def _colours(values: np.ndarray, signed: bool) -> np.ndarray:
    """float64, (..., 3), 0..1."""
    from matplotlib import colormaps

    return colormaps[COLOUR_MAPS[signed]]((values + 1) / 2 if signed else values)[..., :3]


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
