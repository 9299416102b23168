"""Face detectors behind one protocol: YuNet where its file is to be had, the LBP cascade of scikit-image otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from emotion_hub.detectors.base import Box, Detection, FaceDetector, Framing
from emotion_hub.detectors.hub import YuNetSource
from emotion_hub.detectors.lbp import LbpDetector
from emotion_hub.detectors.yunet import YUNET_FILE, YUNET_VARIABLE, YuNetDetector

__all__ = [
    "YUNET_FILE",
    "YUNET_VARIABLE",
    "AtWork",
    "Box",
    "Detection",
    "FaceDetector",
    "Framing",
    "LbpDetector",
    "YuNetDetector",
    "default_detector",
    "detector_at_work",
]

#: The value of the variable that turns YuNet off: nothing is fetched.
OFF = "off"

_SOURCE = YuNetSource()


@dataclass(frozen=True)
class AtWork:
    """The detector that answers now; whether YuNet is on its way; where it is not and does not answer, the reason in words."""

    detector: FaceDetector
    pending: bool = False
    problem: str = ""


def default_detector() -> FaceDetector:
    """YuNet where it can be had, else the LBP cascade; ask again for every photo, for YuNet may come later.

    YuNet is the file that `EMOTION_HUB_YUNET` names, else the one in the Hub's cache, else the Hub's, which is fetched once and cached, and
    not in offline mode (`HF_HUB_OFFLINE=1`). A Hub that does not answer delays a process by 3 seconds in all, and a failure is remembered for
    five minutes; the fetch goes on in the background, and later photos get YuNet when it is there. `EMOTION_HUB_YUNET=off` keeps to the
    cascade. Raises DetectorError when the variable names a file that is not YuNet: a set variable is never ignored.
    """
    return _at_work(wait=True).detector


def detector_at_work() -> AtWork:
    """Which detector answers and why, without waiting for the Hub; starts to fetch YuNet as `default_detector` does."""
    return _at_work(wait=False)


def _at_work(*, wait: bool) -> AtWork:
    named = os.environ.get(YUNET_VARIABLE, "")
    if named.lower() == OFF:
        return AtWork(_cascade(), problem=f"{YUNET_VARIABLE}={OFF} turns it off")
    if named:
        return AtWork(_named(named))
    found = _SOURCE.detector(wait=wait)
    return AtWork(found) if found else AtWork(_cascade(), _SOURCE.fetching, _SOURCE.problem)


@lru_cache(maxsize=4)
def _named(path: str) -> FaceDetector:
    return YuNetDetector(path)


@lru_cache(maxsize=1)
def _cascade() -> FaceDetector:
    return LbpDetector()
