"""Sentences of the answers: verdicts, costs, sets, calibration, accuracy."""

from __future__ import annotations

from typing import Any

import pytest

from emotion_hub.quality import FaceWarning
from emotion_hub.results import Prediction
from emotion_hub.ui.html.basics import factor
from emotion_hub.ui.html.verdict import (
    MIN_FACES,
    accuracy_sentence,
    any_of,
    calibration_sentence,
    comparison_verdict,
    cost_sentence,
    prediction_verdict,
    set_sentence,
)
from tests.fakes.drawn_results import TIMINGS, pair_of, prediction

NO_FACE = (FaceWarning.of("not_a_face", 0.0, 0.15),)
DARK = (FaceWarning.of("dark", 20, 90.0),)


def of_set(*labels: str, p: float = 0.62) -> Prediction:
    return prediction(labels[0], p, prediction_set=labels)


def test_labels_are_an_alternative() -> None:
    assert [any_of(labels) for labels in (["sad"], ["sad", "fear"], ["sad", "fear", "neutral"])] == [
        "sad",
        "sad or fear",
        "sad, fear or neutral",
    ]


@pytest.mark.parametrize(
    ("face", "sentence"),
    [
        (of_set("happy"), "The network says happy."),
        (of_set("happy", p=0.4), "The network says happy."),
        (of_set("sad", "neutral", p=0.9), "The network says sad, but is not sure."),
        (of_set("sad", "neutral", "fear"), "The network says sad, but is not sure."),
        (prediction("happy", 0.5), "The network says happy."),
        (prediction("happy", 0.49), "The network says happy, but is not sure."),
        (prediction("happy", 0.99, warnings=NO_FACE), "This is probably not a face; the network would say happy."),
        (prediction("happy", 0.9, warnings=DARK), "The network says happy."),
    ],
)
def test_the_verdict_on_a_prediction(face: Prediction, sentence: str) -> None:
    assert prediction_verdict(face) == sentence


@pytest.mark.parametrize(
    ("small", "large", "sentence"),
    [
        (of_set("happy"), of_set("happy"), "Both say happy."),
        (of_set("happy", "sad"), of_set("happy"), "Both say happy; the 48-pixel network is not sure."),
        (of_set("happy"), of_set("happy", "sad"), "Both say happy; the 224-pixel network is not sure."),
        (of_set("happy", "sad"), of_set("happy", "sad"), "Both say happy, and neither is sure."),
        (prediction("happy", 0.4), prediction("happy", 0.6), "Both say happy; the 48-pixel network is not sure."),
        (of_set("happy"), of_set("sad"), "The networks disagree: happy from 48 pixels, sad from 224 pixels."),
        (
            of_set("happy", "sad"),
            of_set("sad", "happy"),
            "The networks disagree: happy from 48 pixels, sad from 224 pixels.",
        ),
        (prediction(warnings=NO_FACE), prediction("sad", warnings=NO_FACE), "This is probably not a face."),
        (prediction(warnings=NO_FACE), prediction(warnings=NO_FACE), "This is probably not a face."),
    ],
)
def test_the_verdict_on_a_comparison(small: Prediction, large: Prediction, sentence: str) -> None:
    assert comparison_verdict(pair_of(small, large)) == sentence


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(65.33, "65"), (9.96, "10"), (9.94, "9.9"), (2.5, "2.5"), (1.0, "1.0"), (0.96, "1.0"), (0.84, "0.84")],
)
def test_factors_have_two_digits(ratio: float, words: str) -> None:
    assert factor(ratio) == words


def test_the_costs_are_those_of_both_steps() -> None:
    slow = TIMINGS | {"preprocess": 2.0, "inference": 10.0}
    pair = pair_of(prediction(), prediction(timings=slow))
    assert cost_sentence(pair) == "The 224-pixel input is 65 times larger and takes 12 times as long."
    no_time = TIMINGS | {"preprocess": 0.0, "inference": 0.0}
    assert "times as long" in cost_sentence(pair_of(prediction(timings=no_time), prediction()))


@pytest.mark.parametrize(
    ("faces", "sentence"),
    [
        ({"48": of_set("sad"), "224": of_set("sad")}, ""),
        ({"48": prediction(), "224": prediction()}, ""),
        ({"48": of_set("sad", "fear"), "224": of_set("sad", "fear")}, "Likely: sad or fear."),
        ({"48": of_set("sad", "fear"), "224": of_set("happy")}, "Likely: sad or fear (48); happy (224)."),
        ({"48": of_set("sad", "fear"), "224": prediction()}, "Likely: sad or fear."),
    ],
)
def test_a_prediction_set_is_named_where_it_has_several_labels(faces: dict[str, Prediction], sentence: str) -> None:
    assert set_sentence(faces) == sentence


# what the model's report says

#: Faces with a confidence from 0.4 to 0.6 and above 0.8; there is none between, and few below 0.4.
RELIABILITY = [
    {"from": 0.2, "to": 0.4, "n": MIN_FACES - 1, "accuracy": 0.31},
    {"from": 0.4, "to": 0.6, "n": 1250, "accuracy": 0.52},
    {"from": 0.8, "to": 1.0, "n": MIN_FACES, "accuracy": 0.93},
]
FIGURES = {"reliability": RELIABILITY}


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (0.41, "52% of the 1,250 with about 41%."),
        (0.6, "52% of the 1,250 with about 60%."),
        (0.81, f"93% of the {MIN_FACES} with about 81%."),
        (1.0, f"93% of the {MIN_FACES} with about 100%."),
    ],
)
def test_the_meaning_of_a_percentage_is_that_of_its_own_row(confidence: float, words: str) -> None:
    assert calibration_sentence({"": (confidence, FIGURES)}) == (
        f"What the percentages mean: of the test faces, the label was right for {words}"
    )


@pytest.mark.parametrize(
    ("confidence", "figures"),
    [
        (0.4, FIGURES),  # too few faces
        (0.7, FIGURES),  # none
        (0.2, FIGURES),  # below the table
        (0.5, {}),
        (0.5, {"reliability": []}),
        (0.5, {"accuracy": 0.7, "n": 3589}),
    ],
)
def test_nothing_is_said_of_a_percentage_that_was_not_measured(confidence: float, figures: dict[str, Any]) -> None:
    assert calibration_sentence({"48": (confidence, figures)}) == ""


def test_both_sides_percentages_are_in_one_sentence_and_an_unmeasured_one_is_left_out() -> None:
    both = calibration_sentence({"48": (0.5, FIGURES), "224": (0.9, FIGURES)})
    assert both.endswith(f"52% of the 1,250 with about 50% (48) and 93% of the {MIN_FACES} with about 90% (224).")
    assert calibration_sentence({"48": (0.5, FIGURES), "224": (0.9, {})}).endswith("with about 50% (48).")


def measured(accuracy: float, low: float, high: float, n: int = 3589) -> dict[str, Any]:
    return {"accuracy": accuracy, "interval": (low, high), "n": n}


@pytest.mark.parametrize(
    ("small", "large", "overlap"),
    [
        (measured(0.68, 0.66, 0.70), measured(0.67, 0.65, 0.69), True),
        (measured(0.67, 0.65, 0.69), measured(0.68, 0.66, 0.70), True),
        (measured(0.68, 0.66, 0.70), measured(0.72, 0.70, 0.74), True),
        (measured(0.60, 0.58, 0.62), measured(0.68, 0.66, 0.70), False),
        (measured(0.68, 0.66, 0.70), measured(0.60, 0.58, 0.62), False),
    ],
)
def test_the_accuracies_are_compared_by_their_intervals(
    small: dict[str, Any], large: dict[str, Any], overlap: bool
) -> None:
    sentence = accuracy_sentence({"48": small, "224": large})
    low, high = small["interval"]
    assert sentence.startswith(f"On 3,589 test faces: {small['accuracy']:.1%} of them right from 48 pixels")
    assert f"({100 * low:.1f} to {100 * high:.1f})" in sentence
    assert ("the intervals overlap, so neither is shown to be better" in sentence) is overlap
    assert ("the intervals do not overlap" in sentence) is not overlap


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"48": measured(0.68, 0.66, 0.70)},
        {"48": measured(0.68, 0.66, 0.70), "224": {}},
        {"48": measured(0.68, 0.66, 0.70), "224": {"accuracy": 0.67, "n": 3589}},
        {"48": measured(0.68, 0.66, 0.70), "224": {"interval": (0.6, 0.7), "n": 3589}},
        {"48": measured(0.68, 0.66, 0.70), "224": measured(0.67, 0.65, 0.69, n=28709)},
    ],
)
def test_accuracies_are_not_compared_unless_both_were_measured_on_as_many_faces(figures: dict[str, Any]) -> None:
    assert accuracy_sentence(figures) == ""
