"""`emotion-hub predict`: the expression of every face in each picture."""

from __future__ import annotations

import argparse
from functools import cache

from emotion_hub.cli.options import add_model, add_picture_options, add_pictures

TYPE_CHECKING = False  # without importing typing, as in emotion_hub/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from emotion_hub.drawing import Box
    from emotion_hub.predictor import EmotionPredictor
    from emotion_hub.predictor_ensemble import PredictorEnsemble
    from emotion_hub.quality import FaceWarning
    from emotion_hub.results import Prediction

__all__ = ["EXAMPLES", "SUMMARY", "PredictionLayout", "add_options", "left_out_note", "run"]

SUMMARY = "predict the expression of every face in each picture"

EXAMPLES = (
    "predict photo.jpg",
    "predict photos/ --format csv --out faces.csv",
    "predict 'photos/**/*.png' --model upscale224 --labels six_class",
    "predict group.jpg --annotate boxed/",
    "predict - --json < photo.jpg",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_pictures(parser)
    add_model(parser, about="; names joined by + are averaged, such as native48+upscale224")
    add_picture_options(parser)


def run(args: argparse.Namespace) -> int:
    """The exit status: 1 when at least one picture could not be read, else 0."""
    from emotion_hub.cli.pictures import process_pictures

    @cache
    def predictor() -> EmotionPredictor | PredictorEnsemble:
        from emotion_hub.predictor_ensemble import from_names

        return from_names(args.model, backend=args.backend, labels=args.labels)

    def predict(source: Any) -> list[Prediction]:
        return predictor().predict(source, whole=args.whole)

    return process_pictures(args, predict, PredictionLayout(predictor), _box)


class PredictionLayout:
    """Columns of a prediction."""

    columns = (("LABEL", 9), ("PROBABILITY", 11), ("RUNNER-UP", 16), ("BOX", 17), ("PREDICTION SET", 0))

    def __init__(self, predictor: Callable[[], EmotionPredictor | PredictorEnsemble]) -> None:
        """`predictor` is called for the header of a CSV file and the remark below a table."""
        self._predictor = predictor

    def cells(self, face: Prediction) -> Sequence[str]:
        """The label, its probability, the second label with its probability, the box and the prediction set."""
        from emotion_hub.cli.pictures import box_cell

        second = f"{face.runner_up} {face.probs[face.runner_up]:.1%}" if face.runner_up else "-"
        labels = ", ".join(face.prediction_set or ("-",))
        return face.label, f"{face.confidence:.1%}", second, box_cell(face.bbox), labels

    def details(self, face: Prediction) -> Sequence[Sequence[str]]:
        """No further rows."""
        return ()

    def field_names(self) -> Sequence[str]:
        """The names of a face's columns: one per probability, and one per label that --labels leaves out."""
        own = ("label", "confidence", "runner_up", "left", "top", "right", "bottom", "score", "detector", "model")
        predictor = self._predictor()
        left_out = predictor.classes.left_out(dict.fromkeys(predictor.labels.labels, 0.0))
        return (
            *own,
            "prediction_set",
            "warnings",
            *(f"prob_{label}" for label in predictor.classes.labels),
            *(f"left_out_{label}" for label in left_out),
        )

    def fields(self, face: Prediction) -> Mapping[str, Any]:
        """The values of the columns in `field_names`, by name."""
        box = dict(zip(("left", "top", "right", "bottom"), face.bbox, strict=True))
        own = {name: getattr(face, name) for name in ("label", "confidence", "runner_up", "score", "detector", "model")}
        return (
            own
            | box
            | {"prediction_set": "|".join(face.prediction_set or ())}
            | {"warnings": "|".join(warning.code for warning in face.warnings)}
            | {f"prob_{label}": p for label, p in face.probs.items()}
            | {f"left_out_{label}": p for label, p in face.left_out.items()}
        )

    def warnings(self, face: Prediction) -> Sequence[FaceWarning]:
        """Reasons to doubt the prediction."""
        return face.warnings

    def note(self, face: Prediction) -> str:
        """The remark that is printed once below the table."""
        sets = getattr(self._predictor(), "prediction_sets", None) if face.prediction_set else None
        return "\n".join(filter(None, [sets and f"PREDICTION SET: {sets.meaning}.", left_out_note(face)]))


def left_out_note(face: Prediction) -> str:
    """What --labels left out; empty for nothing."""
    if not face.left_out:
        return ""
    return f"Without {', '.join(face.left_out)}: the other probabilities are renormalised to 1."


def _box(face: Prediction, number: int) -> Box:
    from emotion_hub.drawing import Box, colour_of

    return Box(face.bbox, f"{face.label} {face.confidence:.0%}", colour_of(number))
