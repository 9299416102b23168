"""Networks by name."""

from emotion_hub.errors import missing_extra

try:
    from emotion_hub.models.registry import ModelEntry, create_model, get_entry, list_models
except ModuleNotFoundError as error:
    raise missing_extra("this network", "torch", error) from error

__all__ = ["ModelEntry", "create_model", "get_entry", "list_models"]
