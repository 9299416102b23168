"""Progress bars on standard error."""

from __future__ import annotations

from typing import Any

__all__ = ["bar"]


def bar(items: Any = None, *, progress: bool, **options: Any) -> Any:
    """tqdm over `items`; it is shown only with `progress` and where standard error is a terminal, never in a log file.

    tqdm is a dependency of huggingface-hub, so it is always installed.
    """
    from tqdm import tqdm

    return tqdm(items, disable=None if progress else True, **options)
