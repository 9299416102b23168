"""Maps as pictures: over the prepared face, with a colour bar, several on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emotion_hub.errors import InputError
from emotion_hub.explainers import metrics
from emotion_hub.explainers.base import Explanation, on_grid
from emotion_hub.explainers.registry import METHODS

__all__ = ["COLOUR_MAPS", "colour_bar", "overlay", "sheet"]

#: Perceptually uniform: equal steps of relevance are equal steps to the eye, also in gray and with a colour-vision deficiency. The first for
#: maps from 0 to 1, the second for signed ones, dark in the middle as where nothing speaks.
COLOUR_MAPS = ("inferno", "vanimo")

_PAPER, _INK, _SOFT, _EDGE = "#ffffff", "#1c222b", "#5d6673", "#d9dde3"


def overlay(
    explanation: Explanation, size: int | None = None, *, signed: bool = False, opacity: float = 0.65
) -> Image.Image:
    """RGB: the prepared face in gray with the map in colour over it, `size` pixels a side (the network's own input unless told).

    Where there is no relevance the face stays bare: opacity grows with the map. `signed` draws what speaks against the class too, in the other
    colour; raises InputError where the method has no sign, and for an opacity outside 0..1.
    """
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity={opacity}: 0 shows the face alone, 1 hides it where relevance is greatest")
    if signed and explanation.signed is None:
        raise InputError(f"{METHODS[explanation.method].title} knows no sign; leave signed out, or use LIME or SHAP")
    side = size or explanation.prepared.width
    values = _shown(explanation.signed if signed else explanation.heatmap)
    smooth = (
        Image.Resampling.BICUBIC if explanation.signed is None else Image.Resampling.NEAREST
    )  # patches and pixels keep their edges
    values = np.clip(np.asarray(Image.fromarray(values).resize((side, side), smooth)), -1 if signed else 0, 1)
    kind = Image.Resampling.NEAREST if explanation.prepared.width < side else Image.Resampling.LANCZOS
    face = np.asarray(explanation.prepared.convert("L").resize((side, side), kind), dtype=np.float32)[..., None] / 255
    colours = _colours(values, signed)
    alpha = opacity * np.sqrt(np.abs(values))[..., None]
    return Image.fromarray(((face * (1 - alpha) + colours * alpha) * 255).round().astype(np.uint8))


def colour_bar(width: int, height: int = 12, *, signed: bool = False) -> Image.Image:
    """RGB: the colours from no relevance (or, `signed`, the strongest against the class) on the left to the strongest for it on the right."""
    values = np.linspace(-1 if signed else 0, 1, width, dtype=np.float32)
    return Image.fromarray(
        (np.broadcast_to(_colours(values, signed), (height, width, 3)) * 255).round().astype(np.uint8)
    )


def sheet(
    explanations: Sequence[Explanation], *, title: str = "", size: int = 224, columns: int | None = None
) -> Image.Image:
    """RGB: the maps side by side, one row a network, the prepared face first; under each map what its scores say.

    Raises InputError for nothing to draw.
    """
    if not explanations:
        raise InputError("a sheet needs at least one explanation")
    rows: dict[str, list[Explanation]] = {}
    for explanation in explanations:
        rows.setdefault(explanation.model, []).append(explanation)
    across = columns or 1 + max(len(row) for row in rows.values())
    lines = max(len(_lines(e)) for e in explanations)
    gap, cell = 18, (size, size + 26 + 17 * lines)
    head = 44 if title else gap
    height = head + len(rows) * (cell[1] + 34 + gap) + 44
    width = gap + across * (size + gap)
    page = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    if title:
        draw.text((gap, 14), title, fill=_INK, font=_font(20))
    y = head
    for model, row in rows.items():
        first = row[0]
        draw.text(
            (gap, y), f"{model} says {first.target} {first.confidence:.0%}{_against(first)}", fill=_INK, font=_font(16)
        )
        y += 30
        page.paste(first.prepared.convert("RGB").resize((size, size), Image.Resampling.NEAREST), (gap, y))
        draw.text(
            (gap, y + size + 4),
            f"what it saw, {first.prepared.width} by {first.prepared.height}",
            fill=_SOFT,
            font=_font(13),
        )
        for i, explanation in enumerate(row, 1):
            x = gap + i * (size + gap)
            page.paste(overlay(explanation, size), (x, y))
            draw.text(
                (x, y + size + 4),
                f"{METHODS[explanation.method].title}  {_duration(explanation.milliseconds)}",
                fill=_INK,
                font=_font(14),
            )
            for n, line in enumerate(_lines(explanation)):
                draw.text((x, y + size + 24 + 17 * n), line, fill=_SOFT, font=_font(13))
        y += cell[1] + 4 + gap
    bar = colour_bar(size)
    page.paste(bar, (gap, height - 36))
    draw.rectangle((gap, height - 36, gap + size - 1, height - 25), outline=_EDGE)
    draw.text((gap, height - 21), "no relevance", fill=_SOFT, font=_font(12))
    draw.text((gap + size, height - 21), "strongest", fill=_SOFT, font=_font(12), anchor="ra")
    return page


def _lines(explanation: Explanation) -> list[str]:
    rows = [f"{name} {value}" for name, value, _ in metrics.describe(explanation.scores)]
    regions: Mapping[str, float] = explanation.scores.get("regions", {})
    top = sorted(regions, key=regions.get, reverse=True)[:2]
    return rows + (
        [", ".join(f"{name} {regions[name]:.0%}" for name in top)]
        if explanation.scores and not explanation.empty
        else []
    )


def _against(explanation: Explanation) -> str:
    return f"; why rather than {explanation.versus}" if explanation.versus else ""


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _shown(values: np.ndarray) -> np.ndarray:
    """float32, (GRID, GRID), -1..1: the native cells over what all but one in two hundred stay under, so that one outlier does not darken the rest."""
    cells = on_grid(values)
    top = float(np.percentile(np.abs(cells), 99.5)) or float(np.abs(cells).max())
    return np.clip(cells / top, -1, 1).astype(np.float32) if top else np.zeros_like(cells)


def _colours(values: np.ndarray, signed: bool) -> np.ndarray:
    """float64, (..., 3), 0..1."""
    from matplotlib import colormaps

    return colormaps[COLOUR_MAPS[signed]]((values + 1) / 2 if signed else values)[..., :3]


def _font(size: int) -> ImageFont.ImageFont:
    return ImageFont.load_default(size)
