"""Head pose from a detector's five landmarks: yaw and roll in degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["NOSE_DEPTH", "Pose", "head_pose"]

#: Distance of the nose tip in front of the line of the eyes, in half distances of the eyes. The yaw needs it and is
#: approximate, because it differs between people.
NOSE_DEPTH = 1.1

#: Eyes that are closer than this, in pixels, give no direction.
_MIN_EYES = 1.0


@dataclass(frozen=True)
class Pose:
    """The rotation of a head in degrees.

    `yaw`, -90..90, is positive where the nose points to the image's right. `roll`, -180..180, is positive where the
    right eye is lower than the left one, where left and right are the image's.
    """

    yaw: float
    roll: float


def head_pose(landmarks: Sequence[Sequence[float]] | None) -> Pose | None:
    """The pose of five points (x, y): left eye, right eye, nose tip, left and right corner of the mouth.

    In a head that is turned by the angle t, the eyes lie at -cos t and cos t around their centre and the nose tip at
    NOSE_DEPTH sin t, in half distances of the eyes; the ratio of the nose's offset to half the eyes' distance is
    NOSE_DEPTH tan t. All points are taken along the line of the eyes, so that roll does not change the yaw. None
    without landmarks, and for points that are not finite or whose eyes coincide.
    """
    if landmarks is None or len(landmarks) < 3:
        return None
    (left_x, left_y), (right_x, right_y), (nose_x, nose_y) = ((float(p[0]), float(p[1])) for p in landmarks[:3])
    across, down = right_x - left_x, right_y - left_y
    distance = math.hypot(across, down)
    offset = (nose_x - (left_x + right_x) / 2) * across + (nose_y - (left_y + right_y) / 2) * down
    if not math.isfinite(offset) or not math.isfinite(distance) or distance < _MIN_EYES:
        return None
    ratio = offset / distance / (distance / 2)
    return Pose(math.degrees(math.atan(ratio / NOSE_DEPTH)), math.degrees(math.atan2(down, across)))
