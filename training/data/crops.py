"""Crop the largest face out of each photo, and count what was found."""

from __future__ import annotations

from PIL import Image

from emotion_hub.detectors import FaceDetector, default_detector
from emotion_hub.errors import ImageError
from emotion_hub.faces import READY_MADE_SIDE, find_faces

__all__ = ["LargestFace"]


class LargestFace:
    """Crops photos as `emotion_hub predict` does, and counts `photos`, `no_face` and `several_faces`.

    An image of at most 64 pixels per side is a cropped face already and is returned as it is.
    """

    def __init__(self, detector: FaceDetector | None = None) -> None:
        """A detector of None is `default_detector()`."""
        self.detector = detector or default_detector()
        self.photos = self.no_face = self.several_faces = 0

    def __call__(self, photo: Image.Image) -> Image.Image:
        """The square crop of the largest face of an upright photo; raises ImageError for a photo without a face."""
        self.photos += 1
        ready = max(photo.size) <= READY_MADE_SIDE
        faces = find_faces(photo if ready else photo.convert("RGB"), self.detector)
        self.several_faces += len(faces) > 1
        if not faces:
            self.no_face += 1
            raise ImageError(
                f"{self.detector.name} finds no face in it; give a photo with a face, or --no-detect for cropped faces"
            )
        return faces[0].image
