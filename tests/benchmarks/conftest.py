"""Fixture that restores torch's number of threads after each benchmark test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def restored_torch_threads() -> Iterator[None]:
    """Benchmarks set torch's number of threads, which later tests would inherit."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
