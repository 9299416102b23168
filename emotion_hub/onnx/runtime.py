"""Import ONNX Runtime with its telemetry disabled, and open sessions.

Every other module imports ONNX Runtime from here. From version 1.31 on, it writes a device id and an event database to
the user's cache folder and sends the events, unless `ORT_DISABLE_TELEMETRY` is set before its import;
`disable_telemetry_events()` cannot prevent the files. A value that the user has set is kept. The import raises
MissingDependencyError when ONNX Runtime is not installed.
"""

from __future__ import annotations

import os
from pathlib import Path

from emotion_hub.errors import CheckpointError, MissingDependencyError, first_line

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    import onnxruntime
except ImportError as error:
    raise MissingDependencyError(
        "ONNX Runtime is not installed, which emotion_hub's base dependencies include: pip install onnxruntime"
    ) from error

__all__ = ["open_session"]


def open_session(path: str | Path, threads: int | None = None) -> onnxruntime.InferenceSession:
    """An inference session of an ONNX file on the CPU; `threads` per call are by default the machine's cores.

    Raises CheckpointError for a file that is not ONNX and for one whose external data are missing.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base class but Exception
        if "External data path" in str(error):
            raise CheckpointError(
                f"{Path(path).name!r} reads its weights from another file of its folder, which is missing there: "
                "copy both, or write a file that needs no other with `python -m emotion_hub export`"
            ) from error
        raise CheckpointError(f"{Path(path).name!r} cannot be opened as an ONNX file: {first_line(error)}") from error
