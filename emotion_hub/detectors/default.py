"""The default detector: YuNet from the packaged file, or from the one that an environment variable names."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from emotion_hub.detectors.base import FaceDetector
from emotion_hub.detectors.yunet import MODEL_FILE, YUNET_VARIABLE, YuNetDetector
from emotion_hub.errors import DetectorError

__all__ = ["default_detector"]


def default_detector() -> FaceDetector:
    """YuNet from the file in this package, or from the one that `EMOTION_HUB_YUNET` names.

    Raises DetectorError when the variable names no file or a file that is not YuNet: a set variable is never ignored.
    """
    named = os.environ.get(YUNET_VARIABLE, "")
    if named and not Path(named).is_file():
        raise DetectorError(
            f"{YUNET_VARIABLE}={named!r} names no file; give it the path of a YuNet ONNX file, or unset it to use the packaged one"
        )
    return _yunet(named or str(MODEL_FILE))


@lru_cache(maxsize=4)
def _yunet(path: str) -> FaceDetector:
    return YuNetDetector(path)
