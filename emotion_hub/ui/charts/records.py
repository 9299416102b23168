"""Records of the embedded networks: settings, report, training, files, card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from emotion_hub.checkpoints import (
    CONFIG_FILE,
    INT8_FILE,
    ONNX_FILE,
    REPORT_FILE,
    TRAINING_FILE,
    WEIGHTS_FILE,
    embedded_checkpoints,
)
from emotion_hub.preprocess import PreprocessConfig
from emotion_hub.ui.choices import role_of
from emotion_hub.ui.downloads import CARD_FILE

__all__ = ["NetworkRecord", "network_record", "network_records"]


@dataclass(frozen=True)
class NetworkRecord:
    """What the files beside a checkpoint say. `report`, `training` and `card` are empty where the file is missing.

    `role` is the side of a comparison that the network belongs to. `onnx_bytes` counts `model.onnx` and the weights in
    `model.safetensors` that it reads, `int8_bytes` the 8-bit file; both are None without the file.
    """

    name: str
    role: str
    config: Mapping[str, Any]
    report: Mapping[str, Any]
    training: Mapping[str, Any]
    onnx_bytes: int | None
    int8_bytes: int | None
    card: str

    @property
    def side_class(self) -> str:
        """The CSS class that sets the colour of the network's side."""
        return "eh-net-48" if self.role == "native48" else "eh-net-224"

    @property
    def input(self) -> str:
        """The network's input in words, such as "48×48 gray"."""
        settings = self.config["preprocess"]
        colour = "gray" if settings["channels"] == 1 else f"{settings['channels']} channels"
        return f"{settings['size']}×{settings['size']}, {colour}"


def network_record(name: str, folder: Path) -> NetworkRecord:
    """The record of the checkpoint in a folder."""
    config = _read_json(folder / CONFIG_FILE)
    onnx, weights, int8 = (folder / file for file in (ONNX_FILE, WEIGHTS_FILE, INT8_FILE))
    card = folder / CARD_FILE
    return NetworkRecord(
        name,
        role_of(PreprocessConfig.from_dict(config["preprocess"])),
        config,
        _read_json(folder / REPORT_FILE),
        _read_json(folder / TRAINING_FILE),
        onnx.stat().st_size + weights.stat().st_size if onnx.is_file() else None,
        int8.stat().st_size if int8.is_file() else None,
        card.read_text(encoding="utf-8") if card.is_file() else "",
    )


@lru_cache(maxsize=1)
def network_records() -> tuple[NetworkRecord, ...]:
    """The records of all embedded checkpoints, by name; read once, because these files do not change."""
    return tuple(network_record(name, folder) for name, folder in embedded_checkpoints().items())


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
