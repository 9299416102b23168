"""`emotion-hub compare`: native48 and upscale224 side by side for every face."""

from __future__ import annotations

import argparse
from functools import cache, partial

from emotion_hub.cli.options import add_picture_options, add_pictures
from emotion_hub.cli.predict import PredictionLayout

TYPE_CHECKING = False  # as in emotion_hub
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from emotion_hub.drawing import Box
    from emotion_hub.predictor import EmotionPredictor
    from emotion_hub.results import Comparison

__all__ = ["EXAMPLES", "SUMMARY", "add_options", "run"]

SUMMARY = "native48 and upscale224 side by side"

EXAMPLES = (
    "compare photo.jpg",
    "compare photos/ --format csv --out both.csv",
    "compare group.jpg --labels six_class --json",
)

SIDES = ("native48", "upscale224")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_pictures(parser)
    add_picture_options(parser)


def run(args: argparse.Namespace) -> int:
    """The exit status."""
    from emotion_hub.cli.pictures import answer_pictures

    @cache
    def side(name: str) -> EmotionPredictor:
        from emotion_hub.predictor import embedded_predictor

        predictor = embedded_predictor(name, args.backend)
        return predictor.with_labels(args.labels) if args.labels else predictor

    def answer(source: Any) -> list[Comparison]:
        from emotion_hub.predictor import compare

        return compare(source, whole=args.whole, **{name: side(name) for name in SIDES})

    return answer_pictures(args, answer, _Layout({name: PredictionLayout(partial(side, name)) for name in SIDES}), _box)


class _Layout:
    columns = (("NATIVE48", 16), ("UPSCALE224", 16), ("VERDICT", 7), ("TIME (MS)", 12), ("BOX", 0))

    def __init__(self, layouts: Mapping[str, PredictionLayout]) -> None:
        self.layouts = layouts

    def cells(self, face: Comparison) -> Sequence[str]:
        """Both labels with their probabilities, the verdict, both networks' milliseconds, the box."""
        from emotion_hub.cli.pictures import box_cell

        both = (face.native48.prediction, face.upscale224.prediction)
        labels = [f"{side.label} {side.confidence:.1%}" for side in both]
        times = " / ".join(f"{side.timings['inference']:.1f}" for side in both)
        return *labels, "agree" if face.agree else "differ", times, box_cell(both[0].bbox)

    def field_names(self) -> Sequence[str]:
        """Each side's columns of `predict` under its name, after the verdict."""
        return ("agree", "distance", *(f"{side}_{name}" for side in SIDES for name in self.layouts[side].field_names()))

    def fields(self, face: Comparison) -> Mapping[str, Any]:
        """The values of `field_names`."""
        values = {
            f"{side}_{name}": value
            for side in SIDES
            for name, value in self.layouts[side].fields(getattr(face, side).prediction).items()
        }
        return {"agree": face.agree, "distance": face.distance, **values}

    def note(self, face: Comparison) -> str:
        """What a table says below its rows."""
        return self.layouts["native48"].note(face.native48.prediction)


def _box(face: Comparison, number: int) -> Box:
    from emotion_hub.drawing import Box, colour_of

    both = (face.native48.prediction, face.upscale224.prediction)
    return Box(both[0].bbox, " | ".join(f"{side.label} {side.confidence:.0%}" for side in both), colour_of(number))
