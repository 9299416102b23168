"""Compare both pipelines on the same faces."""

from __future__ import annotations

from collections.abc import Sequence

from emotion_hub.detectors import FaceDetector, detector_or
from emotion_hub.faces import DetectedPhoto, locate
from emotion_hub.images import ImageSource
from emotion_hub.labels import LabelSet
from emotion_hub.predictor import EmotionPredictor, check_repeats, embedded_predictor
from emotion_hub.results import Comparison

__all__ = ["compare", "compare_detected"]


def compare(
    image: ImageSource,
    *,
    native48: EmotionPredictor | None = None,
    upscale224: EmotionPredictor | None = None,
    detector: FaceDetector | str | None = None,
    whole: bool = False,
    repeats: int = 1,
    labels: str | Sequence[str] | LabelSet | None = None,
) -> list[Comparison]:
    """Both pipelines' predictions for each face, largest first; the embedded checkpoints are the default.

    Faces are detected once, so both pipelines get the same crop. Each pipeline runs `repeats` times and reports its
    median run, so that ratios of times are stable. `labels` is as in `EmotionPredictor.with_labels`. Raises ImageError
    for content that is not an image.
    """
    sides = [native48 or embedded_predictor("native48"), upscale224 or embedded_predictor("upscale224")]
    if labels is not None:
        sides = [side.with_labels(labels) for side in sides]
    photo = locate(image, detector_or(detector, sides[0].detector), whole=whole)
    return compare_detected(photo, native48=sides[0], upscale224=sides[1], repeats=repeats)


def compare_detected(
    photo: DetectedPhoto,
    *,
    native48: EmotionPredictor | None = None,
    upscale224: EmotionPredictor | None = None,
    repeats: int = 1,
    limit: int | None = None,
) -> list[Comparison]:
    """`compare` for a photo whose faces are detected already; with `limit` only the largest faces."""
    check_repeats(repeats)  # checked here, too, since a photo may have no face
    sides = (native48 or embedded_predictor("native48"), upscale224 or embedded_predictor("upscale224"))
    return [
        Comparison(*(side.pipeline(face, photo.timings, repeats=repeats) for side in sides))
        for face in photo.faces[:limit]
    ]
