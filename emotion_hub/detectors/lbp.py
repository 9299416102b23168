"""The LBP cascade for frontal faces that scikit-image ships, tuned to answer like a detector."""

from __future__ import annotations

import math
import threading

import numpy as np
from PIL import Image, ImageOps

from emotion_hub.detectors.base import Detection, Framing
from emotion_hub.errors import MissingDependencyError

__all__ = ["LbpDetector"]


class LbpDetector:
    """scikit-image's LBP cascade for frontal faces, asked several times and believed when the answers agree.

    One pass of the cascade misses faces and sees some in fur and gravel, but a face draws many neighbouring windows
    and draws them again when the picture is mirrored, turned a little or widened; a texture draws few. So the windows
    of all looks are counted, and a spot that draws enough is a face. Each look shrinks the
    picture under a fixed 24-pixel window, as the cascade was trained; scikit-image's own way, a growing window,
    truncates its features to whole pixels. Thread safe: calls take turns.
    """

    name = "LBP cascade"
    framing = Framing(scale=1.03, down=0.0)  # training/studies/framing.md

    #: Mirrored, degrees turned, widening, and by what part of a step the pyramid starts lower.
    LOOKS = ((True, 0, 0.9, 0.75), (False, 8, 1.0, 0.25), (True, 0, 1.22, 0.0), (False, -8, 1.0, 0.75))
    #: Geometric mean of the sides in pixels at which a photo is looked at, and how far it is enlarged for that at most.
    AT = (400, 1.0)
    #: A crowd, where the largest face takes less than this part of the longer side, is looked at again, three times.
    CROWD, CROWD_AT = 0.1, (600, 1.6)
    #: Windows a look that make a spot certain (score 1), and the least score of a face. On the photos this was set with,
    #: also rescaled, mirrored, darkened and cropped, textures reach 0.35; faces start at 0.42, but one mirrored one at 0.33.
    CERTAIN, MIN_SCORE = 10, 0.4
    #: Of two spots that overlap by more than this part of the smaller, the clearer one stays.
    MAX_OVERLAP = 0.3

    WINDOW = 24
    STEP = 1.15
    #: Edge pixels repeated around each level, so that a face filling the picture has room.
    MARGIN = 6

    def __init__(self) -> None:
        """Load the cascade from scikit-image's wheel; raises MissingDependencyError without scikit-image."""
        try:
            from skimage.data import lbp_frontal_face_cascade_filename
            from skimage.feature import Cascade
        except ImportError as error:
            raise MissingDependencyError("the fallback face detector needs scikit-image: pip install scikit-image") from error
        self._cascade = Cascade(lbp_frontal_face_cascade_filename())
        self._lock = threading.Lock()

    def detect(self, image: Image.Image) -> list[Detection]:
        """Upright frontal faces, clearest first; `score` is 1 from ten windows a look on, and lower in proportion."""
        gray = image.convert("L")
        found = self._agreed(gray, self.LOOKS, self.AT)
        largest = max((d.bbox[2] - d.bbox[0] for d in found), default=math.inf)
        if largest < self.CROWD * max(image.size):
            closer = self._agreed(gray, self.LOOKS[:3], self.CROWD_AT)
            found = closer if len(closer) >= len(found) else found
        return found

    def _agreed(self, gray: Image.Image, looks: tuple[tuple[bool, int, float, float], ...], at: tuple[int, float]) -> list[Detection]:
        """The spots that drew enough windows, in all looks or all but one, without those that overlap a clearer one."""
        scale = min(at[1], at[0] / math.sqrt(gray.width * gray.height))
        hits = np.concatenate([self._look(gray, scale, *look, number) for number, look in enumerate(looks)])
        certain = self.CERTAIN * len(looks)
        found: list[Detection] = []
        for spot in _spots(hits, math.ceil(self.MIN_SCORE * certain)):
            x, y, side = np.median(spot[:, :3], axis=0).tolist()
            bbox = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
            seen = len(np.unique(spot[:, 3])) >= len(looks) - 1
            if seen and all(_overlap(bbox, other.bbox) <= self.MAX_OVERLAP for other in found):
                found.append(Detection(bbox, min(1.0, len(spot) / certain)))
        return found

    def _look(self, gray: Image.Image, scale: float, mirrored: bool, degrees: int, widening: float, start: float, number: int) -> np.ndarray:
        """float64, (N, 4): centre x, centre y and side in photo pixels of each accepted window, and the look's number."""
        stretch = math.sqrt(widening)
        width, height = max(1, round(gray.width * scale * stretch)), max(1, round(gray.height * scale / stretch))
        view = gray.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        if mirrored:
            view = ImageOps.mirror(view)
        if degrees:
            view = view.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=round(float(np.asarray(view).mean())))
        windows = self._windows(view, self.STEP**-start)
        if degrees:
            cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            x, y = windows[:, 0] - width / 2, windows[:, 1] - height / 2
            windows[:, 0], windows[:, 1] = cos * x - sin * y + width / 2, sin * x + cos * y + height / 2
        if mirrored:
            windows[:, 0] = width - windows[:, 0]
        across, down = gray.width / width, gray.height / height
        return np.column_stack([windows * (across, down, math.sqrt(across * down)), np.full(len(windows), float(number))])

    def _windows(self, view: Image.Image, scale: float) -> np.ndarray:
        """float64, (N, 3): centre x, centre y and side, in pixels of `view`, of the windows that the cascade accepts."""
        windows = []
        smallest = self.WINDOW - 4
        while min(view.size) * scale >= smallest:
            size = (round(view.width * scale), round(view.height * scale))
            level = np.asarray(view.resize(size, Image.Resampling.BILINEAR)).astype(np.float32)
            # whole numbers around zero keep the cascade's float32 integral image exact; LBP is blind to the offset
            level = np.pad(level - round(float(level.mean())), self.MARGIN, mode="edge")
            with self._lock:  # one window size; a threshold of 1 keeps scikit-image from merging the windows
                accepted = self._cascade.detect_multi_scale(level, 1.2, 1.0, (self.WINDOW, self.WINDOW), (self.WINDOW + 1, self.WINDOW + 1), 1, 1.0)
            across, down = view.width / size[0], view.height / size[1]
            middle = self.WINDOW / 2 - self.MARGIN
            windows += [((w["c"] + middle) * across, (w["r"] + middle) * down, self.WINDOW * across) for w in accepted]
            scale /= self.STEP
        return np.asarray(windows, dtype=np.float64).reshape(-1, 3)


def _spots(hits: np.ndarray, least: int) -> list[np.ndarray]:
    """Groups of at least `least` of the (N, 4) hits that lie around one of them, largest first; each hit in one group."""
    x, y, side = (hits[:, k].astype(np.float32) for k in range(3))
    smaller = np.minimum(side[:, None], side)
    near = (abs(x[:, None] - x) < 0.25 * smaller) & (abs(y[:, None] - y) < 0.25 * smaller) & (np.maximum(side[:, None], side) < 1.3 * smaller)
    free = np.ones(len(hits), dtype=bool)
    counts = near.sum(axis=0)
    spots = []
    while len(hits) and counts.max() >= least:
        members = near[counts.argmax()] & free
        spots.append(hits[members])
        counts -= near[members].sum(axis=0)
        free &= ~members
        counts[~free] = 0
    return spots


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """The part of the smaller box that lies in the other, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0.0) * max(height, 0.0) / smaller
