"""FaceWarning: one reason to doubt a face's prediction, with its message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CODES", "NOT_A_FACE", "FaceWarning"]

#: The code of a warning that says that there is probably no face.
NOT_A_FACE = "not_a_face"

#: {code: (unit of the value, message with the value in braces)}, in the order in which a face's warnings stand.
_MESSAGES: dict[str, tuple[str, str]] = {
    NOT_A_FACE: (
        "score",
        "This is probably not a face, or it can hardly be seen: the face detector gives it a score of {value:.2f}. Use "
        "a photo that shows the whole face from the front, or cut the crop closely around it.",
    ),
    "cut_off": (
        "percent of the crop",
        "The face is cut off: {value:.0f}% of its crop lie outside the photo. Use a photo that shows the whole face.",
    ),
    "small": (
        "pixels",
        "The face has only {value:.0f} pixels per side. Move closer, or use a larger version of the photo.",
    ),
    "dark": (
        "gray level of 255",
        "The face is dark: its brightest parts have gray level {value:.0f} of 255. Light it from the front and take "
        "the photo again.",
    ),
    "overexposed": (
        "percent of the pixels",
        "The face is overexposed: {value:.0f}% of its pixels are white. Reduce the light or the exposure and take the "
        "photo again.",
    ),
    "low_contrast": (
        "gray levels of 255",
        "The face has little contrast: its gray levels vary by {value:.0f} of 255. Avoid light from behind, clean the "
        "lens and take the photo again.",
    ),
    "blurred": (
        "relative sharpness",
        "The face is blurred. Hold the camera still, focus on the face and take the photo again.",
    ),
    "turned": (
        "degrees",
        "The face is turned by about {value:.0f}° to the side. Take the photo from the front.",
    ),
    "tilted": (
        "degrees",
        "The face is tilted by at least {value:.0f}°. Rotate the photo so that the eyes are level.",
    ),
    "occluded": (
        "percent of the face",
        "{value:.0f}% of the face are one flat colour, as if something covered it. Use a photo that shows eyes, nose "
        "and mouth.",
    ),
}

#: The codes of all warnings, in the order in which a face's warnings stand.
CODES: tuple[str, ...] = tuple(_MESSAGES)


@dataclass(frozen=True)
class FaceWarning:
    """A reason to doubt the prediction for a face.

    `value` is what was measured, in `unit`, and `threshold` the limit that it crosses. `message` says what is wrong and
    what to do. `code` is one of `CODES`.
    """

    code: str
    value: float
    unit: str
    threshold: float
    message: str

    @classmethod
    def of(cls, code: str, value: float, threshold: float) -> FaceWarning:
        """The warning of a code in `CODES`, with its unit and message; the value is rounded to four digits."""
        unit, message = _MESSAGES[code]
        return cls(code, round(float(value), 4), unit, threshold, message.format(value=value))

    def to_dict(self) -> dict[str, Any]:
        """The warning as JSON types."""
        return {
            "code": self.code,
            "value": self.value,
            "unit": self.unit,
            "threshold": self.threshold,
            "message": self.message,
        }
