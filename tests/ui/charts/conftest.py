"""Records of a network whose report was changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emotion_hub.checkpoints import REPORT_FILE, embedded_checkpoints
from emotion_hub.ui.charts import NetworkRecord, network_record


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., NetworkRecord]:
    """A function that returns the record of native48 after a change of its report, or without a file."""

    def record(change: Callable[[dict[str, Any]], object] = lambda report: None, *, without: str = "") -> NetworkRecord:
        folder = tmp_path / "native48"
        shutil.copytree(embedded_checkpoints()["native48"], folder)
        path = folder / REPORT_FILE
        report = json.loads(path.read_text())
        change(report)
        path.write_text(json.dumps(report))
        if without:
            (folder / without).unlink()
        return network_record("native48", folder)

    return record
