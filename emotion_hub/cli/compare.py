"""`emotion-hub compare`: predictions of native48 and upscale224 per face."""

from __future__ import annotations

import argparse
from functools import cache, partial

from emotion_hub.cli.options import add_option, add_picture_options, add_pictures
from emotion_hub.cli.predict import PredictionLayout, left_out_note

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from emotion_hub.drawing import Box
    from emotion_hub.predictor import EmotionPredictor
    from emotion_hub.quality import FaceWarning
    from emotion_hub.results import Comparison

__all__ = ["EXAMPLES", "SIDES", "SUMMARY", "ComparisonLayout", "add_options", "run"]

SUMMARY = "compare native48 and upscale224 on every face"

EXAMPLES = (
    "compare photo.jpg",
    "compare photos/ --format csv --out both.csv",
    "compare group.jpg --labels six_class --json",
    "compare photo.jpg --ladder",
)

#: Both sides of a comparison; an embedded checkpoint has the name of its side.
SIDES = ("native48", "upscale224")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_pictures(parser)
    add_picture_options(parser)
    add_option(
        parser,
        "--ladder",
        action="store_true",
        help="also predict each face reduced to 48, 40, 32, 28, 24, 20, 16 and 12 pixels per side",
    )


def run(args: argparse.Namespace) -> int:
    """The exit status: 1 when at least one picture could not be read, else 0."""
    from emotion_hub.cli.pictures import process_pictures

    @cache
    def predictor_of(name: str) -> EmotionPredictor:
        from emotion_hub.predictor import embedded_predictor

        predictor = embedded_predictor(name, args.backend)
        return predictor.with_labels(args.labels) if args.labels else predictor

    layouts = {name: PredictionLayout(partial(predictor_of, name)) for name in SIDES}
    if args.ladder:
        from emotion_hub.cli.ladder import LadderComparison, LadderLayout, compare_with_ladders

        def compare_ladders(source: Any) -> list[LadderComparison]:
            from emotion_hub.faces import locate

            native48, upscale224 = predictor_of("native48"), predictor_of("upscale224")
            photo = locate(source, native48.detector, whole=args.whole)
            return compare_with_ladders(photo, native48, upscale224)

        return process_pictures(args, compare_ladders, LadderLayout(layouts), _box)

    def compare_faces(source: Any) -> list[Comparison]:
        from emotion_hub.comparison import compare

        native48, upscale224 = predictor_of("native48"), predictor_of("upscale224")
        return compare(source, whole=args.whole, native48=native48, upscale224=upscale224)

    return process_pictures(args, compare_faces, ComparisonLayout(layouts), _box)


class ComparisonLayout:
    """Columns of a comparison."""

    columns = (("NATIVE48", 16), ("UPSCALE224", 16), ("VERDICT", 7), ("TIME (MS)", 12), ("BOX", 0))

    def __init__(self, layouts: Mapping[str, PredictionLayout]) -> None:
        self.layouts = layouts

    def cells(self, face: Comparison) -> Sequence[str]:
        """Both labels with their probabilities, the verdict, both networks' times in milliseconds, the box."""
        from emotion_hub.cli.pictures import box_cell

        both = (face.native48.prediction, face.upscale224.prediction)
        labels = [f"{side.label} {side.confidence:.1%}" for side in both]
        times = " / ".join(f"{side.timings['inference']:.1f}" for side in both)
        return *labels, "agree" if face.agree else "differ", times, box_cell(both[0].bbox)

    def details(self, face: Any) -> Sequence[Sequence[str]]:
        """No further rows."""
        return ()

    def field_names(self) -> Sequence[str]:
        """The verdict's columns, then the columns of `predict` for each side, prefixed with the side's name."""
        return ("agree", "distance", *(f"{side}_{name}" for side in SIDES for name in self.layouts[side].field_names()))

    def fields(self, face: Any) -> Mapping[str, Any]:
        """The values of the columns in `field_names`, by name."""
        values = {
            f"{side}_{name}": value
            for side in SIDES
            for name, value in self.layouts[side].fields(getattr(face, side).prediction).items()
        }
        return {"agree": face.agree, "distance": face.distance, **values}

    def warnings(self, face: Comparison) -> Sequence[FaceWarning]:
        """Reasons to doubt both predictions, which are for the same crop."""
        return face.native48.prediction.warnings

    def note(self, face: Any) -> str:
        """The remark that is printed once below the table."""
        return left_out_note(face.native48.prediction)


def _box(face: Comparison, number: int) -> Box:
    from emotion_hub.drawing import Box, colour_of

    both = (face.native48.prediction, face.upscale224.prediction)
    return Box(both[0].bbox, " | ".join(f"{side.label} {side.confidence:.0%}" for side in both), colour_of(number))
