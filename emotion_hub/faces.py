"""Faces in a photo, as square crops framed as the training images are."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from emotion_hub.detectors import Box, FaceDetector, default_detector
from emotion_hub.images import crop

__all__ = ["READY_MADE_SIDE", "Face", "find_faces", "whole_image"]

#: An image with no side longer than this is taken as a face that is cut out already.
READY_MADE_SIDE = 64

#: A shorter side than this holds no expression that a 48-pixel network could read.
SMALLEST_SIDE = 12


@dataclass(frozen=True)
class Face:
    """A face cut out of a photo.

    `image` is the square RGB crop; `bbox` the detector's box xyxy in whole pixels, inside the photo; `square` the crop's
    box, which may reach over the border (edge pixels are repeated there); `score` and `detector` are None when the whole
    image was taken.
    """

    image: Image.Image
    bbox: Box
    square: Box
    score: float | None = None
    detector: str | None = None


def find_faces(image: Image.Image, detector: FaceDetector | None = None) -> list[Face]:
    """The faces of an upright RGB image, largest first; empty when there is none.

    An image of at most 64 pixels a side is a ready-made crop and is used whole. `detector` defaults to
    `default_detector()`.
    """
    if min(image.size) < SMALLEST_SIDE:
        return []
    if max(image.size) <= READY_MADE_SIDE:
        return [whole_image(image)]
    detector = detector or default_detector()
    found = sorted(detector.detect(image), key=lambda d: d.area, reverse=True)
    faces = []
    for detection in found:
        bbox = _inside(detection.bbox, image)
        if bbox is None:
            continue
        square = detector.framing.square(detection.bbox)
        if _inside(square, image) is None:  # a sliver at the border, framed outside
            continue
        faces.append(Face(crop(image, square), bbox, square, round(detection.score, 4), detector.name))
    return faces


def whole_image(image: Image.Image) -> Face:
    """The image itself as the face, for callers who know it is one; preprocessing pads it to a square."""
    box = (0, 0, image.width, image.height)
    return Face(image, box, box)


def _inside(bbox: tuple[float, float, float, float], image: Image.Image) -> Box | None:
    """The box in whole pixels cut to the image, or None when nothing of it is inside."""
    left, top = max(0, round(bbox[0])), max(0, round(bbox[1]))
    right, bottom = min(image.width, round(bbox[2])), min(image.height, round(bbox[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None
