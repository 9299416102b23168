"""Output of `emotion-hub compare --ladder`: a row per size of each face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotion_hub.cli.compare import SIDES, ComparisonLayout
from emotion_hub.comparison import compare_detected
from emotion_hub.faces import DetectedPhoto
from emotion_hub.perturb import SIDES as PIXELS
from emotion_hub.perturb import Ladder, resolution_ladder
from emotion_hub.predictor import EmotionPredictor
from emotion_hub.results import Comparison

__all__ = ["LadderComparison", "LadderLayout", "compare_with_ladders"]


@dataclass(frozen=True)
class LadderComparison(Comparison):
    """A comparison and the resolution ladder of the same face."""

    ladder: Ladder

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON types, with the ladder under `ladder`."""
        return {**super().to_dict(), "ladder": self.ladder.to_dict()}


def compare_with_ladders(
    photo: DetectedPhoto, native48: EmotionPredictor, upscale224: EmotionPredictor
) -> list[LadderComparison]:
    """Comparison and ladder of every face of the photo, largest face first."""
    pairs = compare_detected(photo, native48=native48, upscale224=upscale224)
    return [
        LadderComparison(pair.native48, pair.upscale224, resolution_ladder(face, native48, upscale224))
        for pair, face in zip(pairs, photo.faces, strict=True)
    ]


class LadderLayout(ComparisonLayout):
    """Columns of a comparison, with one more row per reduced size."""

    def details(self, face: LadderComparison) -> Sequence[Sequence[str]]:
        """For each size from the largest down: the size, both labels with their probabilities, and the verdict."""
        ladder = face.ladder
        rows = zip(ladder.sides, ladder.native48.predictions, ladder.upscale224.predictions, strict=True)
        return [
            (
                f"  {side} px",
                f"{small.label} {small.confidence:.1%}",
                f"{large.label} {large.confidence:.1%}",
                "agree" if small.label == large.label else "differ",
            )
            for side, small, large in reversed(list(rows))
        ]

    def field_names(self) -> Sequence[str]:
        """The columns of a comparison, then for each network the stable size and its label at each size."""
        return *super().field_names(), *(f"{side}_{name}" for side in SIDES for name in _names(PIXELS))

    def fields(self, face: LadderComparison) -> Mapping[str, Any]:
        """The values of the columns in `field_names`, by name."""
        values: dict[str, Any] = {}
        for side in SIDES:
            part = getattr(face.ladder, side)
            cells = (part.stable_from, *(prediction.label for prediction in part.predictions))
            values.update(zip((f"{side}_{name}" for name in _names(part.sides)), cells, strict=True))
        return {**super().fields(face), **values}

    def note(self, face: LadderComparison) -> str:
        """The remark that is printed once below the table."""
        about = "N px: the same face, reduced to N pixels per side before both networks."
        return "\n".join(filter(None, [about, super().note(face)]))


def _names(sides: Sequence[int]) -> list[str]:
    return ["stable_from", *(f"label_{side}px" for side in sides)]
