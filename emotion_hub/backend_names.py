"""Names of the inference backends.

This module imports nothing, because `emotion-hub --help` reads it.
"""

from __future__ import annotations

__all__ = ["AUTO", "BACKENDS"]

#: Backends that can run a network.
BACKENDS = ("torch", "onnx", "onnx-int8")

#: Stands for the default backend of a checkpoint: `emotion_hub.backends.default_backend`.
AUTO = "auto"
