"""Progress bars on standard error."""

from __future__ import annotations

from typing import Any

__all__ = ["bar"]


def bar(items: Any = None, *, progress: bool, **options: Any) -> Any:
    """tqdm over `items`, shown only where `progress` is set and standard error is a terminal: no bar ends up in a log file.

    tqdm is a dependency of huggingface-hub, so every installation has it.
    """
    from tqdm import tqdm

    return tqdm(items, disable=None if progress else True, **options)
