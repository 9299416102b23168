"""Command line `emotion-hub`: one module per command, run by `main`."""

from __future__ import annotations

from emotion_hub.cli.main import main

__all__ = ["main"]
