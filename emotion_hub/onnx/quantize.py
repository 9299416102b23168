"""Eight-bit integers: a float32 ONNX file of ours, calibrated on faces (static quantisation, Jacob et al. 2018, https://arxiv.org/abs/1712.05877)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from emotion_hub.errors import InputError, missing_extra
from emotion_hub.onnx.export import INPUT, METADATA_KEY, record_of
from emotion_hub.preprocess import PreprocessConfig, Preprocessor

__all__ = ["BATCH", "CALIBRATION_FACES", "FEWEST", "Quantized", "quantize_onnx"]

#: Faces that a calibration takes of those it is given, spread evenly over them, and the fewest it accepts.
CALIBRATION_FACES, FEWEST = 512, 32

#: Faces that go through the network at once.
BATCH = 32


@dataclass(frozen=True)
class Quantized:
    """What was written: the file, its bytes, and how many faces set the ranges of its activations."""

    path: Path
    bytes: int
    faces: int


def quantize_onnx(source: str | Path, path: str | Path, faces: Sequence[Image.Image]) -> Quantized:
    """Write the int8 form of `source`, a float32 file of `export_onnx`, to `path`, whole or not at all.

    Weights get 8 bits a channel, activations 8 bits between the smallest and largest values that 512 of `faces` (training faces; never those it is
    measured on), spread evenly over them, bring about; each is asked for when its turn comes. Raises InputError for fewer than 32 faces,
    CheckpointError for a file that is none of ours and MissingDependencyError without onnx.
    """
    from emotion_hub.onnx.runtime import onnxruntime  # noqa: F401  first: it switches the telemetry off

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
    reader = _Faces(Preprocessor(PreprocessConfig.from_dict(record["preprocess"])), faces, chosen)
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
            extra_options={
                "QuantizeBias": False
            },  # float biases take a third of the bytes of integers with their scales, and the same time
        )
        made = onnx.load(str(partial))
        props = {p.key: p.value for p in made.metadata_props if p.key != METADATA_KEY}
        onnx.helper.set_model_props(
            made, {**props, METADATA_KEY: json.dumps({**record, "storage": "int8", "calibration_faces": len(chosen)})}
        )
        onnx.checker.check_model(made)
        onnx.save(made, str(partial))
        os.replace(partial, path)
    return Quantized(path, path.stat().st_size, len(chosen))


class _Faces:
    """ONNX Runtime's reader of calibration data: prepared faces, a batch a call, then None."""

    def __init__(self, preprocessor: Preprocessor, faces: Sequence[Image.Image], chosen: Sequence[int]) -> None:
        parts = (chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH))
        self.batches: Iterator[np.ndarray] = (np.stack([preprocessor(faces[i]) for i in part]) for part in parts)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return iter(self.get_next, None)

    __next__ = get_next
