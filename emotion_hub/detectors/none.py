"""Detector without detection: takes the whole image as the face."""

from __future__ import annotations

from PIL import Image

from emotion_hub.detectors.base import Detection, Framing

__all__ = ["WholeImageDetector"]


class WholeImageDetector:
    """A detector for images that are face crops already: its one box is the whole image."""

    name = "none"
    framing = Framing(1.0, 0.0)

    def detect(self, image: Image.Image) -> list[Detection]:
        """One detection: the image's own box with score 1."""
        return [Detection((0, 0, image.width, image.height), 1.0)]
