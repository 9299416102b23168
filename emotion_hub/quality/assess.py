"""Warnings for a face: measures of its crop compared with the thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from emotion_hub.detectors.base import Box, Detection
from emotion_hub.detectors.yunet import YuNetDetector
from emotion_hub.preprocess import NATIVE48, Preprocessor
from emotion_hub.quality.face_check import check_face
from emotion_hub.quality.face_warning import NOT_A_FACE, FaceWarning
from emotion_hub.quality.measures import FaceMeasures, measure_face
from emotion_hub.quality.pose import Pose, head_pose
from emotion_hub.quality.thresholds import THRESHOLDS, Thresholds

__all__ = ["crop_warnings", "detected_warnings", "prepared_warnings", "shrunk"]

#: The face that all measures are made on: gray, 48x48.
_PREPARE = Preprocessor(NATIVE48)

#: A crop without a face and with a larger share of flat blocks is blank, not occluded.
_BLANK = 0.75

#: A larger crop is reduced by a whole number first, to at least this many pixels per side, for speed.
_REDUCED = 4 * NATIVE48.size


def crop_warnings(image: Image.Image, thresholds: Thresholds = THRESHOLDS) -> tuple[FaceWarning, ...]:
    """The warnings for a ready-made crop, or for a whole image that is taken as the face; empty for a good one.

    YuNet runs once on the crop, for `not_a_face` and the pose. A crop that is not a face keeps the warnings on its gray
    levels, since a face may be missed because it is dark or blurred. Faces that are too small are not checked, because
    YuNet misses them in the enlarged crop. Raises ImageTooLargeError as `Preprocessor.prepare` does.
    """
    return prepared_warnings(shrunk(image), min(image.size), thresholds)


def prepared_warnings(gray: Image.Image, side: int, thresholds: Thresholds = THRESHOLDS) -> tuple[FaceWarning, ...]:
    """`crop_warnings` from the gray 48-pixel face and the shorter side of the crop it was made from, in pixels."""
    found = check_face(gray) if side >= thresholds.side else None
    score = _score(found, side, thresholds)
    return tuple(_warnings(gray, side, score, _pose_of(found, thresholds), 0.0, thresholds))


def detected_warnings(
    crop: Image.Image,
    detection: Detection,
    square: Box,
    photo_size: tuple[int, int],
    detector: str,
    thresholds: Thresholds = THRESHOLDS,
) -> tuple[FaceWarning, ...]:
    """The warnings for the square crop of a detected face; empty for a good one.

    `square` is the crop's box in the photo, whose (width, height) in pixels is `photo_size`. A face that YuNet found
    with a high score is a face. Others are checked like a ready-made crop: those with a low score, and those of another
    detector, whose scores have another scale.
    """
    gray, side = shrunk(crop), min(crop.size)
    outside = _outside(square, photo_size)
    if side < thresholds.side:
        return tuple(_warnings(gray, side, 1.0, None, outside, thresholds))
    if detector == YuNetDetector.name and detection.score >= thresholds.sure_score:
        return tuple(_warnings(gray, side, 1.0, head_pose(detection.landmarks), outside, thresholds))
    found = check_face(gray)
    pose = head_pose(detection.landmarks) or _pose_of(found, thresholds)
    return tuple(_warnings(gray, side, _score(found, side, thresholds), pose, outside, thresholds))


def shrunk(image: Image.Image) -> Image.Image:
    """The gray 48x48 face."""
    gray = image if image.mode == "L" else image.convert("L")
    factor = min(gray.size) // _REDUCED
    return _PREPARE.prepare(gray.reduce(factor) if factor > 1 else gray)


def _score(found: Detection | None, side: int, thresholds: Thresholds) -> float:
    """The score of the check, 0 without a detection, 1 for a face that is too small to be checked."""
    if side < thresholds.side:
        return 1.0
    return 0.0 if found is None else found.score


def _pose_of(found: Detection | None, thresholds: Thresholds) -> Pose | None:
    return head_pose(found.landmarks) if found is not None and found.score >= thresholds.landmark_score else None


def _outside(box: Box, size: tuple[int, int]) -> float:
    """The share of a box, 0..1, that lies outside an image of this (width, height); 0 for an empty box."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top)
    inside = max(0, min(right, size[0]) - max(left, 0)) * max(0, min(bottom, size[1]) - max(top, 0))
    return 1 - inside / area if area > 0 else 0.0


def _warnings(
    gray: Image.Image, side: int, score: float, pose: Pose | None, outside: float, limits: Thresholds
) -> Iterator[FaceWarning]:
    """The warnings in the order of `CODES`. Of several with one cause only the first is given."""
    measures = measure_face(np.asarray(gray))
    is_face = score >= limits.face_score
    if not is_face:
        yield FaceWarning.of(NOT_A_FACE, score, limits.face_score)
    if is_face and outside > limits.cut_off:
        yield FaceWarning.of("cut_off", 100 * outside, 100 * limits.cut_off)
    is_small = side < limits.side
    if is_small:
        yield FaceWarning.of("small", side, limits.side)
    light = _light(measures, limits)
    if light is not None:
        yield light
    if measures.sharpness < limits.sharpness and not is_small and measures.contrast > 0:
        yield FaceWarning.of("blurred", measures.sharpness, limits.sharpness)
    if is_face and pose is not None and abs(pose.yaw) > limits.yaw:
        yield FaceWarning.of("turned", abs(pose.yaw), limits.yaw)
    if is_face and pose is not None and abs(pose.roll) > limits.roll:
        yield FaceWarning.of("tilted", abs(pose.roll), limits.roll)
    if light is None and limits.flat_share < measures.flat_share < (1.0 if is_face else _BLANK):
        yield FaceWarning.of("occluded", 100 * measures.flat_share, 100 * limits.flat_share)


def _light(measures: FaceMeasures, limits: Thresholds) -> FaceWarning | None:
    """The first of dark, overexposed and low_contrast that applies."""
    if measures.bright_level < limits.bright_level:
        return FaceWarning.of("dark", measures.bright_level, limits.bright_level)
    if measures.white_share > limits.white_share:
        return FaceWarning.of("overexposed", 100 * measures.white_share, 100 * limits.white_share)
    if measures.contrast < limits.contrast:
        return FaceWarning.of("low_contrast", measures.contrast, limits.contrast)
    return None
