"""Requests and responses of the Hub's Inference API for image classification.

A request is an image or JSON; a response is a list of {"label", "score"}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion_hub.backends import finite_logits
from emotion_hub.errors import InputError, shown
from emotion_hub.images import ImageSource
from emotion_hub.interop.json_bodies import decode_base64, load_json
from emotion_hub.labels import LabelSet
from emotion_hub.prediction_sets import PredictionSets
from emotion_hub.predictor import softmax
from emotion_hub.quality import FaceWarning

__all__ = ["FUNCTIONS", "InferenceRequest", "ranked", "read_request"]

#: Functions from logits to scores; "none" returns the logits.
FUNCTIONS = ("softmax", "sigmoid", "none")

_PARAMETERS = ("top_k", "function_to_apply", "whole", "prediction_set", "warnings")


@dataclass(frozen=True)
class InferenceRequest:
    """One image and the parameters of its classification.

    `top_k` is the number of labels in the response, None for all. `function_to_apply` is one of `FUNCTIONS`. `whole`
    says that the image is a face, so that no face is detected. `prediction_set` leaves the labels of the prediction set
    in the response, and no others. `warnings` adds the face's warnings to every row of the response.
    """

    image: ImageSource
    top_k: int | None = None
    function_to_apply: str = "softmax"
    whole: bool = False
    prediction_set: bool = False
    warnings: bool = False

    @classmethod
    def of(cls, inputs: Any, parameters: Any = None) -> InferenceRequest:
        """The request for `inputs` (bytes, base64 text, a PIL image) and `parameters` (an object or None).

        Raises InputError, naming the parameter, for an unknown or invalid one and for missing inputs.
        """
        if isinstance(inputs, str):
            inputs = decode_base64(inputs, "inputs")
        if inputs is None:
            raise InputError('there is no picture; send its bytes, or {"inputs": base64, "parameters": {...}}')
        parameters = {} if parameters is None else parameters
        if not isinstance(parameters, Mapping):
            raise InputError(f"parameters={shown(parameters)}: an object with {', '.join(_PARAMETERS)}")
        if unknown := sorted(set(parameters) - set(_PARAMETERS)):
            raise InputError(f"no parameter {', '.join(map(shown, unknown[:5]))}; there are {', '.join(_PARAMETERS)}")
        given = {key: value for key, value in parameters.items() if value is not None}
        top_k = given.get("top_k")
        function = given.get("function_to_apply", "softmax")
        switches = {name: given.get(name, False) for name in ("whole", "prediction_set", "warnings")}
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
            raise InputError(f"top_k={shown(top_k)}: a whole number of at least 1")
        if function not in FUNCTIONS:
            raise InputError(f"function_to_apply={shown(function)}; choose from {', '.join(FUNCTIONS)}")
        for name, value in switches.items():
            if not isinstance(value, bool):
                raise InputError(f"{name}={shown(value)}: true or false")
        return cls(inputs, top_k, function, **switches)


def read_request(body: bytes, content_type: str = "") -> InferenceRequest:
    """The request in an HTTP body: JSON for the content type application/json, else the bytes of the image.

    Raises InputError for a body that is not a valid request.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return InferenceRequest.of(body or None)
    values = load_json(body)
    if not isinstance(values, Mapping):
        raise InputError(
            f'the body is a JSON {type(values).__name__}; send {{"inputs": base64, "parameters": {{...}}}}'
        )
    if not isinstance(values.get("inputs"), str):
        raise InputError(f"inputs={shown(values.get('inputs'))}: the picture as base64 text")
    return InferenceRequest.of(values["inputs"], values.get("parameters"))


def ranked(
    logits: np.ndarray,
    labels: LabelSet,
    request: InferenceRequest,
    prediction_sets: PredictionSets | None = None,
    warnings: Sequence[FaceWarning] = (),
) -> list[dict[str, Any]]:
    """[{"label", "score"}], the best first, from the logits of one face, (num_classes,).

    Each row has `warnings` of the face, too, where the request asks for them.

    Raises CheckpointError for logits that are not finite, and InputError for a request of the prediction set of a
    checkpoint without `prediction_sets`.
    """
    scores = finite_logits(logits).astype(np.float64)
    inside = np.ones(len(scores), dtype=bool)
    if request.prediction_set:
        if prediction_sets is None:
            raise InputError("prediction_set=True: this checkpoint has no prediction sets; leave the parameter out")
        inside = prediction_sets.members(softmax(scores)[None], labels.labels)[0]
    if request.function_to_apply == "softmax":
        scores = softmax(scores)
    elif request.function_to_apply == "sigmoid":
        scores = 1 / (1 + np.exp(-scores))
    best = [i for i in np.argsort(-scores, kind="stable") if inside[i]][: request.top_k]
    more = {"warnings": [warning.to_dict() for warning in warnings]} if request.warnings else {}
    return [{"label": labels.labels[i], "score": float(scores[i]), **more} for i in best]
