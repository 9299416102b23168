"""The answers as the OpenAPI document describes them; a test holds the real answers to these."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CompareAnswer",
    "ComparedFace",
    "ComparedSide",
    "ErrorAnswer",
    "ExplainAnswer",
    "FaceAnswer",
    "FacePrediction",
    "HealthAnswer",
    "LabelScore",
    "ModelAnswer",
    "ModelsAnswer",
    "PredictAnswer",
    "ReadyAnswer",
]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ErrorAnswer(_Answer):
    """Why not."""

    error: str = Field(description="What came, the rule it broke and what to do.")


class FacePrediction(_Answer):
    """One face's expression."""

    label: str = Field(description="The most probable expression.")
    label_id: int = Field(ge=0, description="Its position among the labels.")
    confidence: float = Field(ge=0, le=1, description="Its probability.")
    probs: dict[str, float] = Field(description="The probability of each expression; they sum to 1.")
    left_out: dict[str, float] = Field(
        default_factory=dict, description="The model's probability of each expression that `labels` leaves out."
    )
    bbox: list[int] = Field(
        min_length=4, max_length=4, description="left, top, right, bottom in pixels of the upright picture."
    )
    score: float | None = Field(description="The detector's score; null when the whole picture was taken.")
    detector: str | None = Field(description="What found the face; null when the whole picture was taken.")
    model: str = Field(description="Which model answered.")
    timings: dict[str, float] = Field(
        description="Milliseconds: decode, detect, preprocess, inference (a share of the batch), total."
    )


class FaceAnswer(FacePrediction):
    """One face's expression, with the fields of the technical report's API, which repeat it under other names."""

    predictions: dict[str, float] = Field(description="The same as probs.")
    predicted_class: str = Field(description="The same as label.")
    processing_time: float = Field(
        ge=0, description="Seconds from the picture's bytes to this answer, without waiting: timings.total / 1000."
    )


class PredictAnswer(_Answer):
    """The largest face's fields, null without a face, and every face, largest first."""

    predictions: dict[str, float] | None
    predicted_class: str | None
    confidence: float | None
    processing_time: float = Field(ge=0)
    label: str | None
    label_id: int | None
    probs: dict[str, float] | None
    left_out: dict[str, float] = Field(default_factory=dict)
    bbox: list[int] | None
    score: float | None
    detector: str | None
    model: str
    timings: dict[str, float]
    width: int = Field(ge=1, description="Of the upright picture, in pixels.")
    height: int = Field(ge=1, description="Of the upright picture, in pixels.")
    faces: list[FaceAnswer] = Field(description="Every face, largest first; empty where there is none.")


class ComparedSide(FacePrediction):
    """One model's answer and what the model costs."""

    parameters: int = Field(ge=0)
    input_bytes: int = Field(ge=0, description="Of the network's input for one face, in float32.")


class ComparedFace(_Answer):
    """Two models on one face."""

    bbox: list[int] = Field(min_length=4, max_length=4)
    agree: bool = Field(description="Whether both name the same expression.")
    distance: float = Field(
        ge=0, description="Total variation between the two distributions: 0 equal, 1 nothing shared."
    )
    ratios: dict[str, float] = Field(description="How many times longer the second took, by step.")
    native48: ComparedSide
    upscale224: ComparedSide


class CompareAnswer(_Answer):
    """Every face, largest first."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    faces: list[ComparedFace]


class ExplainAnswer(_Answer):
    """Why the model gave the largest face that score."""

    method: str
    model: str
    target: str = Field(description="The expression that is explained.")
    versus: str | None = Field(description="The one it is set against.")
    confidence: float = Field(ge=0, le=1, description="The model's probability of the target.")
    milliseconds: float = Field(ge=0)
    parameters: dict[str, Any] = Field(description="What the method ran with.")
    scores: dict[str, Any] = Field(
        description="What was measured of the map, such as deletion, insertion and the regions' shares."
    )
    empty: bool = Field(description="Whether nothing in the face speaks for the target.")
    size: list[int] = Field(description="Height and width of the network's input.")
    bbox: list[int] = Field(min_length=4, max_length=4)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    overlay: str = Field(description="The map over the face: a PNG file in base64.")


class LabelScore(_Answer):
    """The Hub's shape of one label."""

    label: str
    score: float


class ModelAnswer(_Answer):
    """One served model; the figures are those of its report, null where there is none."""

    name: str
    backend: str
    labels: list[str]
    preprocess: dict[str, Any]
    parameters: int
    accuracy: float | None
    macro_f1: float | None
    n: int | None
    split: str | None


class ModelsAnswer(_Answer):
    """The served models, and the methods that explain them."""

    default: str
    models: list[ModelAnswer]
    methods: list[str]


class HealthAnswer(_Answer):
    """The process answers."""

    status: str
    version: str


class ReadyAnswer(_Answer):
    """The models are loaded and have run."""

    ready: bool
    models: list[str]
