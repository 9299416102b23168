"""YuNet's file from the Hub: fetched once, in the background, checked before it is used, and not asked for again and again."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import threading
import time
from pathlib import Path
from typing import Any

from emotion_hub.detectors.yunet import YUNET_FILE, YUNET_REPOSITORY, YUNET_SHA256, YUNET_VARIABLE, YuNetDetector
from emotion_hub.errors import DetectorError

__all__ = ["PAUSE", "WAIT", "YuNetSource", "checked_yunet"]

#: Seconds that a process waits for the Hub, all its photos together; and for which a failure is remembered.
WAIT, PAUSE = 3.0, 300.0

#: Seconds for the one question that tells whether the Hub answers at all.
ASK = 10.0

logger = logging.getLogger(__name__)


class YuNetSource:
    """Where YuNet comes from when no file is named: the Hub's cache, else the Hub. Thread safe.

    The Hub may hang in a name server, in a connection that is accepted and never answered, or in a trickle of bytes, and no timeout of an
    HTTP client bounds them all. So a daemon thread fetches, and callers wait for it, but `wait` seconds in all, counted from the first call.
    What comes later is used from then on; what fails is not tried again before `pause` seconds have passed.
    """

    def __init__(self, wait: float = WAIT, pause: float = PAUSE) -> None:
        self.wait, self.pause = wait, pause
        #: Why there is no YuNet, in words for the page; empty while there is one or it may still come.
        self.problem = ""
        self._found: YuNetDetector | None = None
        self._thread: threading.Thread | None = None
        self._until: float | None = None
        self._failed_at: float | None = None
        self._lock = threading.Lock()

    @property
    def fetching(self) -> bool:
        """Whether the file is on its way."""
        return self._thread is not None

    def detector(self, *, wait: bool = True) -> YuNetDetector | None:
        """YuNet, or None while there is none; starts to fetch it where that has not been tried lately. `wait` False returns at once."""
        if self._found is not None:
            return self._found
        with self._lock:
            if self._found is None and self._thread is None and not self._failed_lately():
                self._look()
            thread, until = self._thread, self._until
        if thread is not None and wait and until is not None:
            thread.join(max(0.0, until - time.monotonic()))
        return self._found

    def _failed_lately(self) -> bool:
        return self._failed_at is not None and time.monotonic() - self._failed_at < self.pause

    def _look(self) -> None:
        """The cache is asked here, a fetch started; the lock is held."""
        from huggingface_hub import constants, try_to_load_from_cache

        if importlib.util.find_spec("cv2") is None:
            self._settle(None, "it needs OpenCV: pip install opencv-python-headless")
            return
        cached = try_to_load_from_cache(YUNET_REPOSITORY, YUNET_FILE)
        damaged = False
        if isinstance(cached, str):
            try:
                self._settle(checked_yunet(cached), "")
                return
            except (DetectorError, OSError) as error:
                damaged = True
                self._settle(None, str(error))
        if constants.is_offline_mode():
            self._settle(None, self.problem or "its file is not in the Hub's cache, and HF_HUB_OFFLINE is set")
            return
        if self._until is None:
            self._until = time.monotonic() + self.wait
        self._thread = threading.Thread(target=self._fetch, args=(damaged,), name="yunet", daemon=True)
        self._thread.start()

    def _fetch(self, again: bool) -> None:
        found, problem = None, ""
        try:
            found = checked_yunet(_download(again))
        except Exception as error:  # whatever the network, the disk or OpenCV says, the cascade goes on; it is logged and shown
            problem = str(error) if isinstance(error, DetectorError) else f"the Hub did not give its file ({_brief(error)})"
        with self._lock:
            self._settle(found, problem)
            self._thread = None

    def _settle(self, found: YuNetDetector | None, problem: str) -> None:
        self._found, self.problem = found, problem
        self._failed_at = None if found else time.monotonic()
        if problem:
            logger.info("no YuNet: %s", problem)


def checked_yunet(path: str | Path) -> YuNetDetector:
    """The detector of a file with the published SHA-256; raises DetectorError for another one, before OpenCV parses it."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if digest != YUNET_SHA256:
        raise DetectorError(
            f"the Hub's {YUNET_FILE} has the SHA-256 {digest[:12]}…, not {YUNET_SHA256[:12]}…, and is not used; "
            f"set {YUNET_VARIABLE} to the path of the right file"
        )
    return YuNetDetector(path)


def _download(again: bool) -> str:
    """The path in the cache. One question without retries comes first: a Hub that is down is known at once, and not asked six times."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        """No progress bar: who asked for a prediction did not ask for a download."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    # No token: the repository is public, and a token that has expired would be refused where none is not.
    get_hf_file_metadata(hf_hub_url(YUNET_REPOSITORY, YUNET_FILE), token=False, timeout=ASK)
    return hf_hub_download(YUNET_REPOSITORY, YUNET_FILE, token=False, force_download=again, tqdm_class=Silent)


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
