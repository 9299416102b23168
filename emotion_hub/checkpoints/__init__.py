"""Checkpoint files: embedded in the package, in a folder or on the Hub."""

from __future__ import annotations

from emotion_hub.checkpoints.files import (
    CONFIG_FILE,
    INT8_FILE,
    ONNX_FILE,
    PAIR_FILE,
    REPORT_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
    checkpoint_summary,
    embedded_checkpoints,
    file_hash,
    local_folder,
    pair_figures,
    resolve_file,
)
from emotion_hub.checkpoints.hub import DownloadOptions, download_file

__all__ = [
    "CONFIG_FILE",
    "INT8_FILE",
    "ONNX_FILE",
    "PAIR_FILE",
    "REPORT_FILE",
    "TRAINING_FILE",
    "WEIGHTS_FILE",
    "DownloadOptions",
    "checkpoint_summary",
    "download_file",
    "embedded_checkpoints",
    "file_hash",
    "local_folder",
    "pair_figures",
    "resolve_file",
]
