"""Lazy loading: functions and classes that registries name as text."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["load_attribute"]


def load_attribute(package: str, home: str) -> Any:
    """The object that `home`, "module:name", names in `package`; its module is imported now.

    Raises ModuleNotFoundError for a module that cannot be imported.
    """
    module, _, name = home.partition(":")
    return getattr(import_module(f"{package}.{module}"), name)
