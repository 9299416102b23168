"""Networks by name."""

from emotion_hub.models.registry import ModelEntry, create_model, get_entry, list_models

__all__ = ["ModelEntry", "create_model", "get_entry", "list_models"]
