"""The command line, one module per command; `main` runs it."""

from __future__ import annotations

from emotion_hub.cli.main import main

__all__ = ["main"]
