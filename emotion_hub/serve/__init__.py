"""HTTP server: predictions, comparisons and explanations of uploaded photos.

`create_app()` is a FastAPI application; it also answers in the shape of the Hub's Inference API.
"""

from __future__ import annotations

from emotion_hub.errors import missing_extra

try:
    from emotion_hub.interop.handler import EndpointHandler
    from emotion_hub.serve.app import create_app
    from emotion_hub.serve.config import ServeConfig
    from emotion_hub.serve.demo import mount_demo
except ModuleNotFoundError as error:
    raise missing_extra("the server", "serve", error) from error

__all__ = ["EndpointHandler", "ServeConfig", "create_app", "mount_demo"]
