"""Warnings of a ready-made crop, computed when they are first read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

from PIL import Image

from emotion_hub.quality.assess import prepared_warnings, shrunk
from emotion_hub.quality.face_warning import FaceWarning

__all__ = ["DeferredWarnings"]


class DeferredWarnings(Sequence[FaceWarning]):
    """`crop_warnings(image)` as a sequence that computes them on first use, and equals the tuple of them.

    The check of a ready-made crop takes about as long as a small network, so callers that read only labels and
    probabilities do not pay for it. Holds the gray 48-pixel face, not the image.
    """

    def __init__(self, image: Image.Image) -> None:
        self._gray, self._side = shrunk(image), min(image.size)

    @cached_property
    def _warnings(self) -> tuple[FaceWarning, ...]:
        return prepared_warnings(self._gray, self._side)

    def __len__(self) -> int:
        return len(self._warnings)

    @overload
    def __getitem__(self, index: int) -> FaceWarning: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[FaceWarning, ...]: ...

    def __getitem__(self, index: int | slice) -> FaceWarning | tuple[FaceWarning, ...]:
        return self._warnings[index]

    def __eq__(self, other: object) -> bool:
        return tuple(other) == self._warnings if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._warnings)

    def __repr__(self) -> str:
        return repr(self._warnings)
