"""Draw bounding boxes with a line of text on an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Box", "colour_of", "draw_boxes"]

#: Colours of faces or tracks; light, because the text on them is black.
_COLOURS = ("#ffd166", "#06d6a0", "#8ecae6", "#ff99c8", "#f4a261", "#cdb4db", "#b5e48c", "#ffffff")


@dataclass(frozen=True)
class Box:
    """A box: `bbox` (left, top, right, bottom) in whole pixels, the text at its top and its colour."""

    bbox: tuple[int, int, int, int]
    text: str
    colour: str


def colour_of(number: int) -> str:
    """The colour, as "#rrggbb", of the face or track with this number."""
    return _COLOURS[number % len(_COLOURS)]


def draw_boxes(image: Image.Image, boxes: Iterable[Box]) -> Image.Image:
    """A copy of the upright RGB image with the boxes drawn on it; texts stay inside the image."""
    annotated = image.copy()
    draw = ImageDraw.Draw(annotated)
    size = max(11, round(min(image.size) / 28))
    font, line = ImageFont.load_default(size), max(2, size // 6)
    for box in boxes:
        left, top, right, bottom = box.bbox
        draw.rectangle((left, top, right - 1, bottom - 1), outline=box.colour, width=line)
        width, height = round(draw.textlength(box.text, font)) + 2 * line, size + 2 * line
        x = min(max(0, left), max(0, image.width - width))
        y = top - height if top >= height else min(bottom, max(0, image.height - height))
        draw.rectangle((x, y, x + width, y + height), fill=box.colour)
        draw.text((x + line, y + line), box.text, fill="black", font=font)
    return annotated
