"""Face detectors behind one protocol: YuNet where its file is to be had, the LBP cascade of scikit-image otherwise."""

from __future__ import annotations

import os
from functools import lru_cache

from emotion_hub.detectors.base import Box, Detection, FaceDetector, Framing
from emotion_hub.detectors.lbp import LbpDetector
from emotion_hub.detectors.yunet import YUNET_FILE, YUNET_REPOSITORY, YUNET_VARIABLE, YuNetDetector

__all__ = ["YUNET_VARIABLE", "Box", "Detection", "FaceDetector", "Framing", "LbpDetector", "YuNetDetector", "default_detector"]


def default_detector() -> FaceDetector:
    """YuNet when `EMOTION_HUB_YUNET` names its file or the Hub's cache has it, else the LBP cascade; one object a process and file.

    Nothing is downloaded: `hf download opencv/face_detection_yunet` or a Space's `preload_from_hub` fills the cache. Raises
    DetectorError when the variable names a file that is not YuNet: a set variable is never ignored.
    """
    return _detector(os.environ.get(YUNET_VARIABLE, ""))


@lru_cache(maxsize=4)
def _detector(named: str) -> FaceDetector:
    """The Hub's cache is looked into here, once a process, and not for every photo."""
    path = named or _cached_yunet()
    return YuNetDetector(path) if path else LbpDetector()


def _cached_yunet() -> str:
    """The path of YuNet's file in the Hub's cache, or nothing."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(YUNET_REPOSITORY, YUNET_FILE)
    return path if isinstance(path, str) else ""
