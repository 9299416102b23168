"""Faces of a photo, from a JPEG decoded at a reduced size where its faces stay large enough."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_hub.detectors import FaceDetector, YuNetDetector
from emotion_hub.faces import Face, find_faces, whole_image
from emotion_hub.images import ImageSource, load_image, load_reduced
from emotion_hub.scoring.rows import FoundFace

__all__ = ["MIN_SHARE", "ScannedPhoto", "scan"]

#: YuNet looks at a photo whose largest face is smaller than this share of the long side a second time, at `LOOKS[1]` pixels, to find more small faces.
MIN_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class ScannedPhoto:
    """Upright full size in pixels, the faces' crops largest first, and their boxes in pixels of the full size."""

    width: int
    height: int
    crops: tuple[Face, ...]
    faces: tuple[FoundFace, ...]


def scan(source: ImageSource, detector: FaceDetector | None, min_face: int | None = None) -> ScannedPhoto:
    """The faces that `detector` finds; with None the whole picture is the face. Raises ImageError for what is not a picture.

    With `min_face`, a JPEG file is decoded at the smallest of 1/2, 1/4 and 1/8 that keeps the detector's looks or, where that is none, its first look.
    It is decoded again in full when a face has fewer than `min_face` pixels, and when only the first look was kept and the second is needed. Only
    YuNet's looks are known; other detectors get every photo at its full size, and so does a file object, which can be read only once.
    """
    sides = () if min_face is None or hasattr(source, "read") else _sides(detector, min_face)
    photo, full = load_reduced(source, sides)
    faces = [whole_image(photo)] if detector is None else find_faces(photo, detector)
    if photo.size == full or detector is None or _large_enough(faces, min_face, max(photo.size), sides[0]):
        return _scanned(faces, photo.size, full)
    photo = load_image(source)
    return _scanned(find_faces(photo, detector), photo.size, photo.size)


def _sides(detector: FaceDetector | None, min_face: int) -> tuple[int, ...]:
    """Long sides that a photo may be reduced to, the preferred one first."""
    return (min_face,) if detector is None else detector.LOOKS[::-1] if isinstance(detector, YuNetDetector) else ()


def _large_enough(faces: list[Face], min_face: int, long: int, both_looks: int) -> bool:
    """Whether the full photo would give the same faces and no better crops."""
    smallest = min((min(face.image.size) for face in faces), default=None)
    if long >= both_looks:
        return smallest is None or smallest >= min_face
    return smallest is not None and smallest >= max(min_face, MIN_SHARE * long)


def _scanned(faces: list[Face], size: tuple[int, int], full: tuple[int, int]) -> ScannedPhoto:
    boxes = [face.bbox for face in faces]
    if size != full:
        scale = (full[0] / size[0], full[1] / size[1]) * 2
        boxes = [tuple(round(value * factor) for value, factor in zip(box, scale, strict=True)) for box in boxes]
    return ScannedPhoto(*full, tuple(faces), tuple(FoundFace(box, face.score, face.detector) for box, face in zip(boxes, faces, strict=True)))
