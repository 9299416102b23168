"""Explanations of predictions: relevance maps, metrics and overlays."""

from __future__ import annotations

from emotion_hub.explainers.base import Explanation, Progress
from emotion_hub.explainers.registry import METHODS, METRICS, Method
from emotion_hub.explainers.run import explain, explain_face, list_methods, predictor_of
from emotion_hub.explainers.scores import score_explanation

__all__ = [
    "METHODS",
    "METRICS",
    "Explanation",
    "Method",
    "Progress",
    "explain",
    "explain_face",
    "list_methods",
    "predictor_of",
    "score_explanation",
]
