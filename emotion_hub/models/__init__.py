"""Networks by name: the public functions of the registry."""

from emotion_hub.models.registry import ModelEntry, StartingWeights, create_model, get_entry, list_models

__all__ = ["ModelEntry", "StartingWeights", "create_model", "get_entry", "list_models"]
