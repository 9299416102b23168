"""Faces of a photo, from a JPEG decoded at a reduced size where its faces stay large enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from emotion_hub.batch.rows import FoundFace
from emotion_hub.detectors import Detection, FaceDetector, Framing, YuNetDetector
from emotion_hub.faces import Face, find_faces, whole_image
from emotion_hub.images import ImageSource, load_image, load_reduced

__all__ = ["ScannedPhoto", "scan"]


@dataclass(frozen=True, slots=True)
class ScannedPhoto:
    """Upright full size in pixels, the faces' crops largest first, and their boxes in pixels of the full size."""

    width: int
    height: int
    crops: tuple[Face, ...]
    faces: tuple[FoundFace, ...]


def scan(source: ImageSource, detector: FaceDetector | None, min_face: int | None = None) -> ScannedPhoto:
    """The faces that `detector` finds; with None the whole picture is the face. Raises ImageError for what is not a picture.

    With `min_face`, a JPEG file is decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 that leaves the detector's looks what they are. It is decoded again
    in full, for the crops, when one of the faces has fewer than `min_face` pixels. Only YuNet's looks are known; other detectors get every photo at its
    full size, and so does a file object, which can be read only once.

    Reducing further, to YuNet's first look alone, was measured and is not done: photos that need the second look cost a third more, and it takes twice
    the time of all the rest.
    """
    side = None if min_face is None or hasattr(source, "read") else _side(detector, min_face)
    if side is None:
        photo = load_image(source)
        return _scanned(_faces(photo, detector), photo.size, photo.size)
    photo, full = load_reduced(source, side)
    if photo.size == full or detector is None:
        return _scanned(_faces(photo, detector), photo.size, full)
    found = _Found(detector.name, detector.framing, detector.detect(photo))
    faces = find_faces(photo, found)
    if all(min(face.image.size) >= min_face for face in faces):
        return _scanned(faces, photo.size, full)
    return _scanned(
        find_faces(load_image(source), found.scaled(full[0] / photo.width, full[1] / photo.height)), full, full
    )


@dataclass(frozen=True)
class _Found:
    """A detector whose answer is known."""

    name: str
    framing: Framing
    detections: Sequence[Detection]

    def detect(self, image: Image.Image) -> list[Detection]:
        return list(self.detections)

    def scaled(self, x: float, y: float) -> _Found:
        scale = (x, y, x, y)
        return replace(
            self,
            detections=[
                Detection(tuple(v * k for v, k in zip(d.bbox, scale, strict=True)), d.score) for d in self.detections
            ],
        )


def _side(detector: FaceDetector | None, min_face: int) -> int | None:
    """Pixels that a photo's long side must keep; None for what is not reduced."""
    return min_face if detector is None else max(detector.LOOKS) if isinstance(detector, YuNetDetector) else None


def _faces(photo: Image.Image, detector: FaceDetector | None) -> list[Face]:
    return [whole_image(photo)] if detector is None else find_faces(photo, detector)


def _scanned(faces: list[Face], size: tuple[int, int], full: tuple[int, int]) -> ScannedPhoto:
    boxes = [face.bbox for face in faces]
    if size != full:
        scale = (full[0] / size[0], full[1] / size[1]) * 2
        boxes = [tuple(round(value * factor) for value, factor in zip(box, scale, strict=True)) for box in boxes]
    return ScannedPhoto(
        *full,
        tuple(faces),
        tuple(FoundFace(box, face.score, face.detector) for box, face in zip(boxes, faces, strict=True)),
    )
