"""Facial-expression recognition on native 48-pixel faces and their upscales.

    from emotion_hub import EmotionPredictor
    EmotionPredictor.from_pretrained("native48").predict("photo.jpg")

Importing this package loads neither torch nor gradio nor transformers; the names below load what they need.
"""

from __future__ import annotations

from importlib import import_module

from emotion_hub.version import __version__ as __version__

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would be a tenth of `emotion-hub --help`
if TYPE_CHECKING:
    from typing import Any

    from emotion_hub.comparison import compare
    from emotion_hub.explainers import Explanation, explain
    from emotion_hub.models import create_model, list_models
    from emotion_hub.models.classifier import EmotionClassifier
    from emotion_hub.perturb import resolution_ladder, stress
    from emotion_hub.predictor import EmotionPredictor
    from emotion_hub.predictor_ensemble import PredictorEnsemble
    from emotion_hub.results import Comparison, Prediction

__all__ = [
    "Comparison",
    "EmotionClassifier",
    "EmotionPredictor",
    "Explanation",
    "Prediction",
    "PredictorEnsemble",
    "compare",
    "create_model",
    "explain",
    "list_models",
    "resolution_ladder",
    "stress",
]

_HOME = {
    "Comparison": "emotion_hub.results",
    "EmotionClassifier": "emotion_hub.models.classifier",
    "EmotionPredictor": "emotion_hub.predictor",
    "Explanation": "emotion_hub.explainers",
    "Prediction": "emotion_hub.results",
    "PredictorEnsemble": "emotion_hub.predictor_ensemble",
    "compare": "emotion_hub.comparison",
    "create_model": "emotion_hub.models",
    "explain": "emotion_hub.explainers",
    "list_models": "emotion_hub.models",
    "resolution_ladder": "emotion_hub.perturb",
    "stress": "emotion_hub.perturb",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'emotion_hub' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
