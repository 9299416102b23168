"""Handler of a Hugging Face Inference Endpoint: the Inference API's image classification without an HTTP framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotion_hub.errors import InputError
from emotion_hub.interop.inference_api import InferenceRequest, ranked
from emotion_hub.predictor import EmotionPredictor, locate

__all__ = ["EndpointHandler"]


class EndpointHandler:
    """Answers requests in the shape of the Hub's Inference API; what an Inference Endpoint calls.

    The largest face is answered for; a picture without a face gives an empty list. `whole` takes the picture as the face, as `transformers.pipeline`
    does.
    """

    def __init__(self, path: str | Path = "native48", *, predictor: EmotionPredictor | None = None) -> None:
        """`path` is a checkpoint's folder, an embedded name or a Hub id; a ready predictor goes first."""
        self.predictor = predictor or EmotionPredictor.from_pretrained(path)

    def __call__(self, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`data` is {"inputs": ..., "parameters": {...}}; raises InputError for anything else and ImageError for what is no picture."""
        if not isinstance(data, Mapping):
            raise InputError(f'{type(data).__name__} came; send {{"inputs": ..., "parameters": {{...}}}}')
        return self.answer(InferenceRequest.of(data.get("inputs"), data.get("parameters")))

    def answer(self, request: InferenceRequest) -> list[dict[str, Any]]:
        """[{"label", "score"}], the best first; raises ImageError for what is no picture."""
        scene = locate(request.image, self.predictor.detector, whole=request.whole)
        if not scene.faces:
            return []
        logits = self.predictor.backend.logits(self.predictor.preprocessor(scene.faces[0].image)[None])[0]
        return ranked(logits, self.predictor.labels, request)
