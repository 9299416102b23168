"""Fixture of the demo's tests: a new pool of models."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from emotion_hub.ui.choices import FOLDERS_VARIABLE, MORE_VARIABLE, ROLE_VARIABLES
from emotion_hub.ui.models import shared_pool


@pytest.fixture
def new_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No operator's models, and a new pool for every test."""
    for variable in (*ROLE_VARIABLES.values(), MORE_VARIABLE, FOLDERS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    shared_pool.cache_clear()
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("model"):
            thread.join(30)
    shared_pool.cache_clear()
