"""Response schemas for the OpenAPI document, as pydantic models.

Tests validate real responses against them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from emotion_hub.quality import CODES

__all__ = [
    "CompareResponse",
    "ComparedFace",
    "ComparedSide",
    "ErrorResponse",
    "ExplainResponse",
    "FacePrediction",
    "FaceResponse",
    "FaceWarning",
    "HealthResponse",
    "LabelScore",
    "ModelInfo",
    "ModelsResponse",
    "PredictResponse",
    "ReadyResponse",
]


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ErrorResponse(_Response):
    """The reason of an error."""

    error: str = Field(description="The value that was refused, the rule, and the next step.")


class FaceWarning(_Response):
    """A reason to doubt the prediction for a face."""

    code: Literal[*CODES] = Field(description="The kind of the warning.")  # type: ignore[valid-type]
    value: float = Field(description="What was measured.")
    unit: str = Field(description="The unit of value and threshold.")
    threshold: float = Field(description="The limit that the value crosses.")
    message: str = Field(description="What is wrong with the face, and the next step.")


class FacePrediction(_Response):
    """The predicted expression of one face."""

    label: str = Field(description="The most probable expression.")
    label_id: int = Field(ge=0, description="Its position among the labels.")
    confidence: float = Field(ge=0, le=1, description="Its probability.")
    probs: dict[str, float] = Field(description="The probability of each expression; they sum to 1.")
    left_out: dict[str, float] = Field(
        default_factory=dict, description="The model's probability of each expression that `labels` leaves out."
    )
    prediction_set: list[str] | None = Field(
        default=None,
        min_length=1,
        description="The expressions, the most probable first, that hold the true one at the model's nominal coverage "
        "(`prediction_sets` of /models); absent for a model without prediction sets.",
    )
    bbox: list[int] = Field(
        min_length=4, max_length=4, description="left, top, right, bottom in pixels of the upright image."
    )
    score: float | None = Field(description="The detector's score; null if the whole image is the face.")
    detector: str | None = Field(description="The detector that found the face; null if the whole image is the face.")
    model: str = Field(description="The model that made the prediction.")
    timings: dict[str, float] = Field(
        description="Milliseconds: decode, detect, preprocess, inference (a share of the batch), total."
    )
    warnings: list[FaceWarning] = Field(
        description="Reasons to doubt the prediction, such as a blurred face; empty for a good one. A face with the "
        "code not_a_face, which comes first, has its probabilities all the same."
    )


class FaceResponse(FacePrediction):
    """The predicted expression of one face, with the fields of the technical report's API.

    Those fields repeat others under different names.
    """

    predictions: dict[str, float] = Field(description="The same as probs.")
    predicted_class: str = Field(description="The same as label.")
    processing_time: float = Field(
        ge=0, description="Seconds from the image's bytes to the prediction, without waiting: timings.total / 1000."
    )


class PredictResponse(_Response):
    """The fields of the largest face, null without a face, and all faces, largest first."""

    predictions: dict[str, float] | None
    predicted_class: str | None
    confidence: float | None
    processing_time: float = Field(ge=0)
    label: str | None
    label_id: int | None
    probs: dict[str, float] | None
    left_out: dict[str, float] = Field(default_factory=dict)
    prediction_set: list[str] | None = None
    bbox: list[int] | None
    score: float | None
    detector: str | None
    model: str
    timings: dict[str, float]
    warnings: list[FaceWarning]
    width: int = Field(ge=1, description="Width of the upright image in pixels.")
    height: int = Field(ge=1, description="Height of the upright image in pixels.")
    faces: list[FaceResponse] = Field(description="All faces, largest first; empty if there is none.")


class ComparedSide(FacePrediction):
    """The prediction of one of two models, and the model's size."""

    parameters: int = Field(ge=0, description="The network's number of parameters.")
    input_bytes: int = Field(ge=0, description="Bytes of the network's input for one face, in float32.")


class ComparedFace(_Response):
    """The predictions of two models for one face."""

    bbox: list[int] = Field(min_length=4, max_length=4)
    agree: bool = Field(description="Whether both models predict the same expression.")
    distance: float = Field(
        ge=0, description="Total variation distance of the two distributions: 0 if equal, 1 if disjoint."
    )
    ratios: dict[str, float] = Field(description="Time of the second model divided by that of the first, per step.")
    native48: ComparedSide
    upscale224: ComparedSide


class CompareResponse(_Response):
    """All faces, largest first."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    faces: list[ComparedFace]


class ExplainResponse(_Response):
    """The explanation of the prediction for the largest face."""

    method: str
    model: str
    target: str = Field(description="The expression that is explained.")
    versus: str | None = Field(description="The expression with which the target is contrasted.")
    confidence: float = Field(ge=0, le=1, description="The model's probability of the target.")
    milliseconds: float = Field(ge=0)
    parameters: dict[str, Any] = Field(description="The method's parameters.")
    scores: dict[str, Any] = Field(
        description="Metrics of the map, such as deletion, insertion and the shares of the face's regions."
    )
    empty: bool = Field(description="Whether no part of the face supports the target.")
    size: list[int] = Field(description="Height and width of the network's input in pixels.")
    bbox: list[int] = Field(min_length=4, max_length=4)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    overlay: str = Field(description="The map drawn over the face: a PNG file in base64.")


class LabelScore(_Response):
    """One label and its score, in the shape of the Hub's Inference API.

    `warnings` are those of the face; absent without the parameter `warnings`.
    """

    label: str
    score: float
    warnings: list[FaceWarning] | None = None


class ModelInfo(_Response):
    """One served model. The figures are from its evaluation report; they are null without one.

    `prediction_sets` is the nominal coverage of its prediction sets and each label's threshold of 1 - probability; null
    without prediction sets.
    """

    name: str
    backend: str
    labels: list[str]
    preprocess: dict[str, Any]
    parameters: int
    prediction_sets: dict[str, Any] | None
    accuracy: float | None
    macro_f1: float | None
    n: int | None
    split: str | None


class ModelsResponse(_Response):
    """The served models and the explanation methods."""

    default: str
    models: list[ModelInfo]
    methods: list[str]


class HealthResponse(_Response):
    """The process is running."""

    status: str
    version: str


class ReadyResponse(_Response):
    """The models are loaded and warmed up."""

    ready: bool
    models: list[str]
