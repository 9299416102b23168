"""Boxes with a line of text, drawn over a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Box", "colour_of", "draw_boxes"]

#: Light enough for dark letters; one per face or track.
_COLOURS = ("#ffd166", "#06d6a0", "#8ecae6", "#ff99c8", "#f4a261", "#cdb4db", "#b5e48c", "#ffffff")


@dataclass(frozen=True)
class Box:
    """A box, xyxy in whole pixels, the text at its top and its colour."""

    bbox: tuple[int, int, int, int]
    text: str
    colour: str


def colour_of(number: int) -> str:
    """The colour of a face or track of this number."""
    return _COLOURS[number % len(_COLOURS)]


def draw_boxes(image: Image.Image, boxes: Iterable[Box]) -> Image.Image:
    """A copy of the upright RGB image with the boxes drawn on it; texts stay inside the image."""
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    size = max(11, round(min(image.size) / 28))
    font, line = ImageFont.load_default(size), max(2, size // 6)
    for box in boxes:
        left, top, right, bottom = box.bbox
        pen.rectangle((left, top, right - 1, bottom - 1), outline=box.colour, width=line)
        width, height = round(pen.textlength(box.text, font)) + 2 * line, size + 2 * line
        x = min(max(0, left), max(0, image.width - width))
        y = top - height if top >= height else min(bottom, max(0, image.height - height))
        pen.rectangle((x, y, x + width, y + height), fill=box.colour)
        pen.text((x + line, y + line), box.text, fill="black", font=font)
    return drawn
