"""Faces of a photo: decode, detect, and cut out square crops.

Crops are framed as the training images are; edge pixels are repeated where a crop reaches over the photo's border.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from emotion_hub.detectors import Box, FaceDetector, WholeImageDetector, default_detector
from emotion_hub.images import ImageSource, crop, load_image
from emotion_hub.quality import DeferredWarnings, FaceWarning, detected_warnings

__all__ = ["READY_MADE_SIDE", "DetectedPhoto", "Face", "find_faces", "locate", "whole_image"]

#: An image with no side longer than this, in pixels, is taken as a cropped face.
READY_MADE_SIDE = 64

#: An image with a shorter side than this, in pixels, shows no expression that a 48-pixel network could read.
SMALLEST_SIDE = 12


@dataclass(frozen=True)
class Face:
    """A face cut out of a photo.

    `image` is the square RGB crop; `bbox` is the detector's box, xyxy in whole pixels, inside the photo; `square`
    is the crop's box, which may reach over the border. `score`, `detector` and `landmarks`, those of `Detection`, are
    None when the whole image was taken. `warnings` are reasons to doubt a prediction for this face; those
    of a ready-made crop are computed when they are first read.
    """

    image: Image.Image
    bbox: Box
    square: Box
    score: float | None = None
    detector: str | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    warnings: Sequence[FaceWarning] = ()


@dataclass(frozen=True)
class DetectedPhoto:
    """A decoded photo (upright RGB), its faces, largest first, and the milliseconds of `decode` and `detect`."""

    photo: Image.Image
    faces: tuple[Face, ...]
    timings: Mapping[str, float]


def locate(image: ImageSource, detector: FaceDetector | None = None, *, whole: bool = False) -> DetectedPhoto:
    """The upright photo and its faces, largest first, with the time that decoding and detection took.

    The time of detection includes that of the faces' warnings.

    `whole=True` takes the whole photo as the face. Raises ImageError for content that is not an image.
    """
    started = time.perf_counter()
    photo = load_image(image)
    decoded = time.perf_counter()
    faces = [whole_image(photo)] if whole else find_faces(photo, detector)
    detected = time.perf_counter()
    timings = {"decode": (decoded - started) * 1000, "detect": (detected - decoded) * 1000}
    return DetectedPhoto(photo, tuple(faces), timings)


def find_faces(image: Image.Image, detector: FaceDetector | None = None) -> list[Face]:
    """The faces of an upright RGB image, largest first; an empty list when there is none.

    An image of at most 64 pixels per side is a cropped face and is used whole. `detector` defaults to
    `default_detector()`.
    """
    if min(image.size) < SMALLEST_SIDE:
        return []
    if max(image.size) <= READY_MADE_SIDE:
        return [whole_image(image)]
    detector = detector or default_detector()
    if isinstance(detector, WholeImageDetector):
        return [whole_image(image)]
    faces = []
    for detection in sorted(detector.detect(image), key=lambda d: d.area, reverse=True):
        bbox = _clip(detection.bbox, image)
        if bbox is None:
            continue
        square = detector.framing.square(detection.bbox)
        if _clip(square, image) is None:  # a narrow box at the border, whose framed square lies outside
            continue
        face = crop(image, square)
        warnings = detected_warnings(face, detection, square, image.size, detector.name)
        found = (round(detection.score, 4), detector.name, detection.landmarks)
        faces.append(Face(face, bbox, square, *found, warnings))
    return faces


def whole_image(image: Image.Image) -> Face:
    """The image itself as the face, for callers who know that it is one; preprocessing pads it to a square."""
    box = (0, 0, image.width, image.height)
    return Face(image, box, box, warnings=DeferredWarnings(image))


def _clip(bbox: tuple[float, float, float, float], image: Image.Image) -> Box | None:
    """The box in whole pixels, clipped to the image, or None when it lies outside."""
    left, top = max(0, round(bbox[0])), max(0, round(bbox[1]))
    right, bottom = min(image.width, round(bbox[2])), min(image.height, round(bbox[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None
