"""Handler of a Hugging Face Inference Endpoint.

It implements image classification of the Inference API without an HTTP framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.interop.inference_api import InferenceRequest, ranked
from emotion_hub.predictor import EmotionPredictor, locate

__all__ = ["EndpointHandler"]


class EndpointHandler:
    """Image classification in the format of the Hub's Inference API; an Inference Endpoint calls it.

    The largest face is classified; an image without a face gives an empty list. With the parameter `whole`, the image
    is the face, as in `transformers.pipeline`; with `prediction_set`, only labels of the prediction set are returned;
    with `warnings`, each row has the warnings of the face.
    """

    def __init__(self, path: str | Path = "native48", *, predictor: EmotionPredictor | None = None) -> None:
        """Load the checkpoint at `path` (a folder, an embedded name or a Hub id), or use `predictor` instead."""
        self.predictor = predictor or EmotionPredictor.from_pretrained(path)

    def __call__(self, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        """[{"label", "score"}], the best first, for {"inputs": ..., "parameters": {...}}.

        Raises InputError for other data and ImageError for inputs that are not an image.
        """
        if not isinstance(data, Mapping):
            raise InputError(f'the data is a {type(data).__name__}; send {{"inputs": ..., "parameters": {{...}}}}')
        return self.answer(InferenceRequest.of(data.get("inputs"), data.get("parameters")))

    def answer(self, request: InferenceRequest) -> list[dict[str, Any]]:
        """[{"label", "score"}], the best first.

        Raises ImageError for inputs that are not an image, and InputError for a request of the prediction set of a
        checkpoint that has none.
        """
        photo = locate(request.image, self.predictor.detector, whole=request.whole)
        if not photo.faces:
            return []
        pixel_values = self.predictor.preprocessor(photo.faces[0].image)[None]
        logits = self.predictor.backend.logits(pixel_values)[0]
        return ranked(logits, self.predictor.labels, request, self.predictor.prediction_sets, photo.faces[0].warnings)
