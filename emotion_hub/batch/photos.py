"""Face detection in a photo, with reduced JPEG decoding for large photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from emotion_hub.batch.rows import DetectedFace
from emotion_hub.detectors import Detection, FaceDetector, Framing, YuNetDetector
from emotion_hub.faces import Face, find_faces, whole_image
from emotion_hub.images import ImageSource, load_image, load_reduced

__all__ = ["PhotoFaces", "detect_faces"]


@dataclass(frozen=True, slots=True)
class PhotoFaces:
    """The upright photo's full size in pixels, its face crops, largest first, and their boxes at that size."""

    width: int
    height: int
    crops: tuple[Face, ...]
    faces: tuple[DetectedFace, ...]


def detect_faces(
    source: ImageSource, detector: FaceDetector | None, min_face: int | None = None, *, check_crops: bool = False
) -> PhotoFaces:
    """The faces that `detector` finds; with None the whole picture is the face.

    With `min_face`, a JPEG file is decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 of its size at which the detector
    still gets the input sizes that it would get at full size. It is decoded again at full size, for the crops, when one
    of the faces has fewer than `min_face` pixels. Only YuNet's input sizes are known: other detectors get every photo
    at its full size, and so does a file object, which can be read only once. Raises ImageError for a source that cannot
    be decoded. The warnings of a ready-made crop are left out unless `check_crops` is set.

    Reducing further, to the input size of YuNet's first pass alone, was measured and is not done: photos that need the
    second pass cost a third more, and detection takes twice the time of all other steps.
    """
    side = None if min_face is None or hasattr(source, "read") else _min_side(detector, min_face)
    if side is None or min_face is None:
        photo = load_image(source)
        return _photo_faces(_faces(photo, detector), photo.size, photo.size, check_crops)
    photo, full = load_reduced(source, side)
    if photo.size == full or detector is None:
        return _photo_faces(_faces(photo, detector), photo.size, full, check_crops)
    detected = _FixedDetections(detector.name, detector.framing, detector.detect(photo))
    faces = find_faces(photo, detected)
    if all(min(face.image.size) >= min_face for face in faces):
        return _photo_faces(faces, photo.size, full, check_crops)
    scaled = detected.scaled(full[0] / photo.width, full[1] / photo.height)
    return _photo_faces(find_faces(load_image(source), scaled), full, full, check_crops)


@dataclass
class _FixedDetections:
    """A detector that returns given detections, so that a photo is not searched twice."""

    name: str
    framing: Framing
    detections: Sequence[Detection]

    def detect(self, image: Image.Image) -> list[Detection]:
        return list(self.detections)

    def scaled(self, x: float, y: float) -> _FixedDetections:
        """The same detections in an image that is `x` times as wide and `y` times as high."""
        detections = []
        for detection in self.detections:
            left, top, right, bottom = detection.bbox
            points = detection.landmarks and tuple((a * x, b * y) for a, b in detection.landmarks)
            detections.append(Detection((left * x, top * y, right * x, bottom * y), detection.score, points))
        return replace(self, detections=detections)


def _min_side(detector: FaceDetector | None, min_face: int) -> int | None:
    """Pixels that a photo's long side must keep; None for a photo that must not be reduced."""
    if detector is None:
        return min_face
    return max(detector.PASS_SIDES) if isinstance(detector, YuNetDetector) else None


def _faces(photo: Image.Image, detector: FaceDetector | None) -> list[Face]:
    return [whole_image(photo)] if detector is None else find_faces(photo, detector)


def _photo_faces(faces: list[Face], size: tuple[int, int], full: tuple[int, int], check_crops: bool) -> PhotoFaces:
    """`faces` were found in the photo at `size`; the boxes are scaled to `full`."""
    boxes = [face.bbox for face in faces]
    if size != full:
        x, y = full[0] / size[0], full[1] / size[1]
        boxes = [(round(a * x), round(b * y), round(c * x), round(d * y)) for a, b, c, d in boxes]
    rows = (
        DetectedFace(box, face.score, face.detector, _codes(face, check_crops))
        for box, face in zip(boxes, faces, strict=True)
    )
    return PhotoFaces(*full, tuple(faces), tuple(rows))


def _codes(face: Face, check_crops: bool) -> tuple[str, ...] | None:
    """The codes of a face's warnings; None for a ready-made crop that is not checked."""
    if face.detector is None and not check_crops:
        return None
    return tuple(warning.code for warning in face.warnings)
