"""Face detectors behind one protocol: YuNet where its file is named, the LBP cascade of scikit-image otherwise."""

from __future__ import annotations

import os
from functools import lru_cache

from emotion_hub.detectors.base import Box, Detection, FaceDetector, Framing
from emotion_hub.detectors.lbp import LbpDetector
from emotion_hub.detectors.yunet import YUNET_VARIABLE, YuNetDetector

__all__ = ["YUNET_VARIABLE", "Box", "Detection", "FaceDetector", "Framing", "LbpDetector", "YuNetDetector", "default_detector"]


def default_detector() -> FaceDetector:
    """YuNet when `EMOTION_HUB_YUNET` names its file, else the LBP cascade; one object a process and file.

    Raises DetectorError when the variable names a file that is not YuNet: a set variable is never ignored.
    """
    return _detector(os.environ.get(YUNET_VARIABLE, ""))


@lru_cache(maxsize=4)
def _detector(path: str) -> FaceDetector:
    return YuNetDetector(path) if path else LbpDetector()
