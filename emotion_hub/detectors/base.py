"""Interface of face detectors: FaceDetector, Detection, crop framing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL import Image

__all__ = ["Box", "Detection", "FaceDetector", "Framing"]

#: (left, top, right, bottom) in whole pixels.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Framing:
    """The square crop for a detector's box, so that crops show as much of the face as the training images do.

    The square's side is `scale` times the longer side of the box. Its centre is `down` sides below the centre of the
    box. `python -m training.studies.framing` measures both numbers for a detector on FER2013 faces.
    """

    scale: float
    down: float

    def square(self, bbox: tuple[float, float, float, float]) -> Box:
        """The square in whole pixels; it may extend over the border of the image."""
        left, top, right, bottom = bbox
        side = max(1, round(self.scale * max(right - left, bottom - top)))
        x = (left + right) / 2 - side / 2
        y = (top + bottom) / 2 + self.down * side - side / 2
        return (round(x), round(y), round(x) + side, round(y) + side)


@dataclass(frozen=True)
class Detection:
    """One detected face.

    `bbox` is (left, top, right, bottom) in pixels of the image. `score` can be compared only within one detector.
    `landmarks` are None or five points (x, y) in pixels of the image: the left eye, the right eye, the nose tip, the
    left and the right corner of the mouth, where left is the image's left.
    """

    bbox: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...] | None = None

    @property
    def area(self) -> float:
        """The area of the box in square pixels."""
        return (self.bbox[2] - self.bbox[0]) * (self.bbox[3] - self.bbox[1])


@runtime_checkable
class FaceDetector(Protocol):
    """A face detector: its name, the framing of its boxes, and `detect`. Threads must be able to share one."""

    name: str
    framing: Framing

    def detect(self, image: Image.Image) -> list[Detection]:
        """The faces of an upright RGB image, in any order; an empty list when there is none."""
        ...
