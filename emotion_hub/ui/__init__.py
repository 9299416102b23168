"""Gradio demo, one module per tab; `build_demo` builds it."""

from __future__ import annotations

from emotion_hub.errors import missing_extra

try:
    from emotion_hub.ui.demo import build_demo, launch_options
except ModuleNotFoundError as error:
    raise missing_extra("the demo", "app", error) from error

__all__ = ["build_demo", "launch_options"]
