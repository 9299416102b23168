"""Name of this machine: processor, cores and load average."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

__all__ = ["hardware"]


def hardware() -> dict[str, Any]:
    """Processor, cores and the load average of the last minute.

    A load above 0 before a measurement means that other processes were running, and times may be too long.
    """
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
