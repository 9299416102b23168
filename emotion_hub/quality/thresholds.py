"""Thresholds of the face warnings, each with the measurement behind it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from emotion_hub.errors import ConfigError

__all__ = ["THRESHOLDS", "Thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """The limits of the warnings; `training/studies/quality.md` has the rates at these values.

    They were chosen on 1,000 faces of FER2013's validation split, random crops of photos without faces, and the faces
    of openly licensed photos; figures below that the page lacks were measured on them at that time. Raises ConfigError
    for a value that is not a number above 0.
    """

    #: Smallest score of YuNet on a ready-made crop. 2.8% of the faces and 95% of the crops without one are below. The
    #: network's own confidence separates less: at a limit below which 5% of 600 faces are, it rejected 30% of 420 such
    #: crops, and the energy of the logits 58%.
    face_score: float = 0.15
    #: A detected face with a lower score of YuNet is checked like a ready-made crop. The 12 detections in 300 crops
    #: without a face had at most 0.83, the photos' faces of 79 pixels and more at least 0.89.
    sure_score: float = 0.87
    #: Smallest score of a crop whose landmarks are used; pose and scores fail together.
    landmark_score: float = 0.5
    #: Largest share of a detected face's crop outside the photo. native48 loses 1 point of accuracy where 15% of the
    #: crop repeat the photo's edge, 4 points at 25%, 12 points at 40%.
    cut_off: float = 0.15
    #: Smallest side of the face in pixels of the photo. native48 loses 3 points at 28 pixels, 7 points at 24 and 27
    #: points at 16; at 32 it loses less than 1.
    side: float = 28.0
    #: Smallest 95th percentile of the gray levels, 0..255. A percentile near the top, not the mean, because the mean
    #: depends on the colour of the skin. 0.4% of the faces are below, and all of them at 0.35 of their brightness.
    bright_level: float = 90.0
    #: Largest share of pixels with a gray level of 250 and more. 1% of the faces are above, 87% at twice their
    #: brightness.
    white_share: float = 0.25
    #: Smallest standard deviation of the gray levels. 0.1% of the faces are flagged, 93% at a quarter of their
    #: contrast, which costs 6 points of accuracy; half the contrast costs 2 points.
    contrast: float = 20.0
    #: Smallest sharpness (`measures.sharpness`). 0.1% of the faces are below. A Gaussian blur of 0.75 pixels has a
    #: median of 0.76 and costs 3 points of accuracy; one of 1.25 pixels has at most 0.73 and costs 18 points.
    sharpness: float = 0.8
    #: Largest angle to the side in degrees. 4% of the faces are above; native48 is right for 57% of them and for 69% of
    #: the others.
    yaw: float = 35.0
    #: Largest tilt of the line of the eyes in degrees. YuNet's landmarks understate the tilt: a rotation by 40 degrees
    #: gives a median of 6 on FER2013's faces. 2% of the faces are above.
    roll: float = 12.0
    #: Largest share of flat blocks in the inner face. 0.5% of the faces have more than 0.04, a flat box of 0.4 of the
    #: side has a median of 0.16.
    flat_share: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigError(f"{field.name}={value!r}: a threshold is a finite number above 0")


#: The thresholds of every entry point.
THRESHOLDS = Thresholds()
