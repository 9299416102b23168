"""Time and memory of commands in new processes, relative to their imports."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotion_hub.examples import example_path

__all__ = ["commands", "run_once"]

ROOT = Path(__file__).parent.parent

#: {name: (arguments of Python, name of the process it is compared with, "" for none)}; bare processes come first.
PROCESSES: dict[str, tuple[list[str], str]] = {
    "python -c pass": (["-c", "pass"], ""),
    "import onnxruntime, PIL.Image, numpy": (["-c", "import onnxruntime, PIL.Image, numpy"], ""),
    "emotion-hub --help": (["-m", "emotion_hub", "--help"], "python -c pass"),
    "emotion-hub models": (["-m", "emotion_hub", "models"], "python -c pass"),
    "emotion-hub predict photo.jpg": (
        ["-m", "emotion_hub", "predict", str(example_path("astronaut"))],
        "import onnxruntime, PIL.Image, numpy",
    ),
}


#: Starts the process from a small process: on Linux, the peak memory of a child includes that of the forking process.
_LAUNCH = """
import os, sys, time
started = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), time.perf_counter() - started, usage.ru_maxrss)
"""


def commands(rounds: int = 9) -> dict[str, dict[str, Any]]:
    """{command: median seconds, peak memory in MB, and time relative to the bare process}.

    The commands alternate in rounds.
    """
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in PROCESSES}
    for turn in range(rounds + 1):  # the first round fills the disk cache and is not counted
        for name, (arguments, _) in PROCESSES.items():
            figures = run_once(arguments)
            if turn:
                measured[name].append(figures)
    rows: dict[str, dict[str, Any]] = {}
    for name, (_, bare) in PROCESSES.items():
        seconds, memory = (statistics.median(values) for values in zip(*measured[name], strict=True))
        rows[name] = {"seconds": seconds, "megabytes": memory}
        if bare:
            pairs = zip(measured[name], measured[bare], strict=True)
            ratios = [own[0] / other[0] for own, other in pairs]
            rows[name] |= {"over": bare, "ratio": statistics.median(ratios)}
    return rows


def run_once(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak megabytes of `python ARGUMENTS`; raises RuntimeError when it fails."""
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    launched = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCH, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    status, seconds, kilobytes = launched.stdout.split()
    if status != "0":
        raise RuntimeError(
            f"python {' '.join(arguments)} ended with status {status}; run this command to see its error"
        )
    return float(seconds), float(kilobytes) / 1000
