"""HTTP: `create_app()` answers as the Hub's Inference API does."""

from __future__ import annotations

from emotion_hub.serve.app import create_app
from emotion_hub.serve.inference import EndpointHandler

__all__ = ["EndpointHandler", "create_app"]
