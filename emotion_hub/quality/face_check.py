"""Face check of a ready-made crop: YuNet on the enlarged, padded face."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image

from emotion_hub.detectors.base import Detection
from emotion_hub.detectors.yunet import MODEL_FILE, YuNetDetector
from emotion_hub.images import crop

__all__ = ["CHECK_PAD", "CHECK_SIDE", "check_face"]

#: The face is enlarged to CHECK_SIDE pixels and its edge is repeated by CHECK_PAD pixels on every side, because YuNet
#: finds no face that fills the image.
CHECK_SIDE, CHECK_PAD = 128, 32

#: The score below which the check's detections are dropped; lower ones would cost time and change no warning.
_LOWEST = 0.1


@lru_cache(maxsize=1)
def _detector() -> YuNetDetector:
    """The packaged YuNet, whatever the environment names: the threshold was measured with this file."""
    # one thread: an image of 192 pixels is too small to share, and threads that wait for each other are slow under load
    return YuNetDetector(MODEL_FILE, threshold=_LOWEST, threads=1)


def check_face(gray: Image.Image) -> Detection | None:
    """The best detection in a prepared face, with box and landmarks in pixels of `gray`; None without one.

    `gray` is square, in mode L. The score is low where the crop shows no face: see
    `training/studies/quality.md`.
    """
    large = gray.convert("RGB").resize((CHECK_SIDE, CHECK_SIDE), Image.Resampling.BICUBIC)
    padded = crop(large, (-CHECK_PAD, -CHECK_PAD, CHECK_SIDE + CHECK_PAD, CHECK_SIDE + CHECK_PAD))
    best = max(_detector().detect(padded), key=lambda detection: detection.score, default=None)
    if best is None:
        return None
    scale = gray.width / CHECK_SIDE
    left, top, right, bottom = ((v - CHECK_PAD) * scale for v in best.bbox)
    points = tuple(((x - CHECK_PAD) * scale, (y - CHECK_PAD) * scale) for x, y in best.landmarks or ())
    return Detection((left, top, right, bottom), best.score, points)
