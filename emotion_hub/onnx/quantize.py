"""Quantise an ONNX file to int8, calibrated on training faces.

The method is that of Jacob et al. 2018, https://arxiv.org/abs/1712.05877.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError, missing_extra
from emotion_hub.onnx.export import INPUT, METADATA_KEY, record_of
from emotion_hub.preprocess import PreprocessConfig, Preprocessor

__all__ = ["BATCH", "CALIBRATION_FACES", "FEWEST", "Quantized", "quantize_onnx"]

#: Largest number of faces in a calibration, spread evenly over the given ones, and the smallest number accepted.
CALIBRATION_FACES, FEWEST = 512, 32

#: Faces per batch of the calibration.
BATCH = 32


@dataclass(frozen=True)
class Quantized:
    """A written file: its path, its bytes, and the number of faces that it was calibrated on."""

    path: Path
    bytes: int
    faces: int


def quantize_onnx(source: str | Path, path: str | Path, faces: Sequence[Image.Image]) -> Quantized:
    """Write the int8 form of `source`, a float32 file of `export_onnx`, to `path`; the file is replaced atomically.

    Weights are quantised per channel. The range of each activation is that of its values on at most 512 of `faces`,
    spread evenly over them and read one after another. These must be training faces, never faces on which the network
    is evaluated. Raises InputError for fewer than 32 faces, CheckpointError for an ONNX file not written by emotion_hub
    and MissingDependencyError without onnx.
    """
    from emotion_hub.onnx.runtime import onnxruntime  # noqa: F401  imported first: this module disables the telemetry

    try:
        import onnx
        from onnxruntime.quantization import (
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quant_pre_process,
            quantize_static,
        )
    except ImportError as error:
        raise missing_extra("quantising", "onnx", error) from error
    if len(faces) < FEWEST:
        raise InputError(f"{len(faces)} faces to calibrate on: give at least {FEWEST}, of the training split")
    path = Path(path)
    model = onnx.load(str(source))
    record = record_of({p.key: p.value for p in model.metadata_props}, Path(source).name)
    chosen = np.linspace(0, len(faces) - 1, min(len(faces), CALIBRATION_FACES)).astype(int).tolist()
    reader = _CalibrationReader(Preprocessor(PreprocessConfig.from_dict(record["preprocess"])), faces, chosen)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        shaped, partial = Path(folder) / "shaped.onnx", Path(folder) / path.name
        quant_pre_process(str(source), str(shaped), skip_symbolic_shape=True)
        quantize_static(
            str(shaped),
            str(partial),
            reader,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # float biases take a third of the bytes of integer biases with their scales, and run as fast
            extra_options={"QuantizeBias": False},
        )
        quantized = onnx.load(str(partial))
        props = {p.key: p.value for p in quantized.metadata_props}
        props[METADATA_KEY] = json.dumps({**record, "storage": "int8", "calibration_faces": len(chosen)})
        onnx.helper.set_model_props(quantized, props)
        onnx.checker.check_model(quantized)
        onnx.save(quantized, str(partial))
        os.replace(partial, path)
    return Quantized(path, path.stat().st_size, len(chosen))


class _CalibrationReader:
    """Calibration data for ONNX Runtime: preprocessed faces, float32, (N, C, H, W), at most `BATCH` per batch."""

    def __init__(self, preprocessor: Preprocessor, faces: Sequence[Image.Image], chosen: Sequence[int]) -> None:
        parts = (chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH))
        self.batches = (np.stack([preprocessor(faces[i]) for i in part]) for part in parts)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch as input of the network; None after the last one."""
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}
