"""The names of the backends; apart, because `emotion-hub --help` reads them and nothing else."""

from __future__ import annotations

__all__ = ["AUTO", "BACKENDS"]

#: What may run the network.
BACKENDS = ("torch", "onnx", "onnx-int8")

#: Stands for the default backend: see `emotion_hub.backends.default_backend`.
AUTO = "auto"
