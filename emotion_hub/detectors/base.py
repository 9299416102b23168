"""What a face detector is: boxes in, scores, and how its boxes frame a face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL import Image

__all__ = ["Box", "Detection", "FaceDetector", "Framing"]

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Framing:
    """How to cut a square around a detector's box so that it shows what the training images show.

    The square's side is `scale` times the box's longer side; its centre lies `down` sides below the box's centre. The
    figures come from `python -m training.studies.framing`, which measures each detector's boxes on FER2013 faces.
    """

    scale: float
    down: float

    def square(self, bbox: tuple[float, float, float, float]) -> Box:
        """The square (left, top, right, bottom) in whole pixels; it may reach over the image's border."""
        left, top, right, bottom = bbox
        side = max(1, round(self.scale * max(right - left, bottom - top)))
        x = (left + right) / 2 - side / 2
        y = (top + bottom) / 2 + self.down * side - side / 2
        return (round(x), round(y), round(x) + side, round(y) + side)


@dataclass(frozen=True)
class Detection:
    """A detector's answer: `bbox` xyxy in pixels of the image, `score` comparable within one detector only.

    `landmarks`, where the detector knows them, are the eye on the image's left, the other eye, the nose tip and the mouth's left and right corners,
    as (x, y) in pixels of the image.
    """

    bbox: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...] | None = None

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.bbox[2] - self.bbox[0]) * (self.bbox[3] - self.bbox[1])


@runtime_checkable
class FaceDetector(Protocol):
    """Anything that finds faces. Detectors must be safe to call from several threads."""

    name: str
    framing: Framing

    def detect(self, image: Image.Image) -> list[Detection]:
        """The faces of an upright RGB image, in any order; an empty list when there is none."""
        ...
