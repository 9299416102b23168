"""HTML notices of a face's warnings, beside its prediction."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from emotion_hub.quality import NOT_A_FACE, FaceWarning

__all__ = ["is_doubtful", "not_a_face_notice", "quality_notice"]


def is_doubtful(warnings: Sequence[FaceWarning]) -> bool:
    """Whether the warnings say that there is probably no face."""
    return any(warning.code == NOT_A_FACE for warning in warnings)


def not_a_face_notice(warnings: Sequence[FaceWarning]) -> str:
    """The notice that stands before the prediction for what is probably not a face; empty for a face."""
    return _notice([warning for warning in warnings if warning.code == NOT_A_FACE])


def quality_notice(warnings: Sequence[FaceWarning]) -> str:
    """The notice with all other warnings of a face; empty without one."""
    return _notice([warning for warning in warnings if warning.code != NOT_A_FACE])


def _notice(warnings: Sequence[FaceWarning]) -> str:
    """One paragraph per warning. Each has its code in `data-code`."""
    if not warnings:
        return ""
    texts = "".join(f'<p data-code="{escape(w.code)}">{escape(w.message)}</p>' for w in warnings)
    return f'<div class="eh-note eh-notice eh-quality" role="note">{texts}</div>'
