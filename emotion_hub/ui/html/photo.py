"""The photo with numbered face boxes, and thumbnails of faces.

Boxes and tags are HTML elements over the picture, placed in percent: their text keeps its size on a narrow screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from PIL import Image

from emotion_hub.results import Prediction
from emotion_hub.ui.html.basics import data_url
from emotion_hub.ui.html.notices import is_doubtful

__all__ = ["photo_with_tags", "shown_label", "thumbnail"]

#: Maximum side in pixels of the photo as it is shown.
SHOWN_SIDE = 800

#: Side of a thumbnail in pixels; it is shown at half this size, for high-resolution screens.
THUMBNAIL = 112

#: With more faces, a tag has only the number: labels would cover the neighbours.
MAX_LABELS = 6


def shown_label(face: Prediction) -> str:
    """The label, or "no face?" for what is probably not a face."""
    return "no face?" if is_doubtful(face.warnings) else face.label


def photo_with_tags(photo: Image.Image, predictions: Sequence[Prediction], labels: Sequence[str] = ()) -> str:
    """The photo with a numbered box for each face, the largest face being number 1.

    `labels` are the texts of the tags, by default the predicted labels.
    """
    texts = list(labels) or [shown_label(face) for face in predictions]
    scale = min(1.0, SHOWN_SIDE / max(photo.size))
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    shown = photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    numbered = list(enumerate(zip(predictions, texts, strict=True), 1))
    boxes = "".join(_box(number, face, text, photo, len(numbered)) for number, (face, text) in reversed(numbered))
    names = ", ".join(f"face {number}: {text}" for number, (_, text) in numbered)
    url = data_url(shown.convert("RGB"), "WEBP", quality=80, method=2)
    width, height = size
    return (
        f'<figure class="eh-tagged" style="--eh-ratio:{width / height:.4f}"><img class="eh-photo" width="{width}"'
        f' height="{height}" src="{url}" alt="{escape(f"The photo; {names}")}">{boxes}</figure>'
    )


def _box(number: int, face: Prediction, text: str, photo: Image.Image, count: int) -> str:
    """The box of one face with its tag: above the box, or inside where there is no space above."""
    left, top, right, bottom = face.bbox
    place = {
        "left": left / photo.width,
        "top": top / photo.height,
        "width": (right - left) / photo.width,
        "height": (bottom - top) / photo.height,
    }
    style = ";".join(f"{name}:{100 * share:.2f}%" for name, share in place.items())
    words = text
    if count > 1:
        words = f"{number} {text}" if count <= MAX_LABELS else str(number)
    inside = " eh-inside" if top < 0.09 * photo.height else ""
    right_half = " eh-right" if left > 0.7 * photo.width else ""
    tag = f'<span class="eh-tag{inside}{right_half}">{escape(words)}</span>'
    return f'<span class="eh-box" aria-hidden="true" data-box="{number}" style="{style}">{tag}</span>'


def thumbnail(photo: Image.Image, face: Prediction, number: int) -> str:
    """The face cut out of the photo, small and square; its number is the alternative text."""
    left, top, right, bottom = face.bbox
    half = max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    # edges that lie outside the photo become black
    square = photo.convert("RGB").crop((round(x - half), round(y - half), round(x + half), round(y + half)))
    small = square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    url = data_url(small, "WEBP", quality=75, method=2)
    return f'<img class="eh-thumb" width="56" height="56" src="{url}" alt="Face {number}">'
