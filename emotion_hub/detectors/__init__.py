"""Face detectors behind one protocol: YuNet, and the LBP cascade of scikit-image."""

from __future__ import annotations

import os
from functools import lru_cache

from emotion_hub.detectors.base import Box, Detection, FaceDetector, Framing
from emotion_hub.detectors.lbp import LbpDetector
from emotion_hub.detectors.yunet import MODEL_FILE, YUNET_VARIABLE, YuNetDetector

__all__ = ["YUNET_VARIABLE", "Box", "Detection", "FaceDetector", "Framing", "LbpDetector", "YuNetDetector", "default_detector"]

#: The value of the variable that turns YuNet off.
OFF = "off"


def default_detector() -> FaceDetector:
    """YuNet from the file in this package, or from the one that `EMOTION_HUB_YUNET` names; with `EMOTION_HUB_YUNET=off` the LBP cascade.

    Raises DetectorError when the variable names a file that is not YuNet: a set variable is never ignored.
    """
    named = os.environ.get(YUNET_VARIABLE, "")
    return _cascade() if named.lower() == OFF else _yunet(named or str(MODEL_FILE))


@lru_cache(maxsize=4)
def _yunet(path: str) -> FaceDetector:
    return YuNetDetector(path)


@lru_cache(maxsize=1)
def _cascade() -> FaceDetector:
    return LbpDetector()
